/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_mve.h"

#if !defined(__ARM_FEATURE_MVE) || !(__ARM_FEATURE_MVE & 1)
#error "tinyc_conv_3x3_s8_mve.c needs Helium: compile with -mcpu=cortex-m55 or -mcpu=cortex-m85 (-march=armv8.1-m.main+mve)"
#endif

#include <arm_mve.h>

/* Blocks of four neighbouring output pixels, as the assembly reads it. An input row lies as [channel / 16][column][channel % 16]. */
typedef struct {
    const int8_t *row[3];      /* at the first block's first column */
    uint32_t plane;            /* bytes from 16 channels of a row to the next 16 */
    uint32_t counter;          /* (channels / 16 - 1) << 16 | (output zero point & 0xffff) */
    const int32_t *stream;
    const int32_t *stream_end;
    uint32_t blocks;           /* >= 1 */
    uint32_t x_step;           /* bytes from a block's first column to the next block's */
    uint32_t output_step;      /* from the end of a block's output to the next block's */
    uint32_t output[4];        /* addresses of the first block's output pixels, less 4; multiples of 4 */
} frame;

/* One tap, 16 input channels, two output channels and the four pixels in a, b, c, d. The accumulators are all even registers. */
#define TAP(MAC, a, b, c, d)           \
    "vldrw.u32 q4, [r9], #16\n\t"      \
    MAC " r0, " a ", q4\n\t"           \
    MAC " r2, " b ", q4\n\t"           \
    "vldrw.u32 q5, [r9], #16\n\t"      \
    MAC " r4, " c ", q4\n\t"           \
    MAC " r6, " d ", q4\n\t"           \
    MAC " r8, " a ", q5\n\t"           \
    MAC " r10, " b ", q5\n\t"          \
    MAC " r12, " c ", q5\n\t"          \
    MAC " lr, " d ", q5\n\t"
#define LOAD(q, x, column) "vldrw.u32 " q ", [" x ", #16 * " column "]\n\t"
#define FIRST "vmladav.s8"
#define NEXT "vmladava.s8"

/* The three taps of a filter row share their columns: 36 instructions for 384 multiply-accumulates at a stride of 1, 39 at 2. There
 * the order of the taps is 0, 2, 1. */
#define ROW_1(MAC, x)                                                       \
    LOAD("q0", x, "0") LOAD("q1", x, "1") LOAD("q2", x, "2") LOAD("q3", x, "3") \
    TAP(MAC, "q0", "q1", "q2", "q3")                                        \
    LOAD("q0", x, "4")                                                      \
    TAP(NEXT, "q1", "q2", "q3", "q0")                                       \
    LOAD("q1", x, "5")                                                      \
    TAP(NEXT, "q2", "q3", "q0", "q1")
#define ROW_2(MAC, x)                                                       \
    LOAD("q0", x, "0") LOAD("q1", x, "2") LOAD("q2", x, "4") LOAD("q3", x, "6") \
    TAP(MAC, "q0", "q1", "q2", "q3")                                        \
    LOAD("q0", x, "8")                                                      \
    TAP(NEXT, "q1", "q2", "q3", "q0")                                       \
    LOAD("q0", x, "1") LOAD("q1", x, "3") LOAD("q2", x, "5") LOAD("q3", x, "7") \
    TAP(NEXT, "q0", "q1", "q2", "q3")

/* Two output channels of four pixels, to the halfwords of `out`. */
#define TWO_CHANNELS(ROW, out, again, more)                     \
    "ldm sp, {r1, r3, r5, r7, r11}\n\t"                         \
    ROW(FIRST, "r1")                                            \
    again ":\n\t"                                               \
    ROW(NEXT, "r3")                                             \
    ROW(NEXT, "r5")                                             \
    "subs.w r11, r11, #0x10000\n\t"                             \
    "bcs.w " more "f\n"                                         \
    again "0:\n\t"                                              \
    "vmov q0[2], q0[0], r0, r4\n\t"                             \
    "vmov q0[3], q0[1], r2, r6\n\t"                             \
    "vmov q1[2], q1[0], r8, r12\n\t"                            \
    "vmov q1[3], q1[1], r10, lr\n\t"                            \
    "ldm r9!, {r0, r2, r4, r6, r8, r10, r12, lr}\n\t"           \
    "vadd.i32 q0, q0, r0\n\t"                                   \
    "vadd.i32 q1, q1, r6\n\t"                                   \
    "vqrdmulh.s32 q0, q0, r2\n\t"                               \
    "vqrdmulh.s32 q1, q1, r8\n\t"                               \
    TINYC_MVE_TIES("q0", "r12", "q1", "lr")                     \
    "vrshl.s32 q0, r4\n\t"                                      \
    "vrshl.s32 q1, r10\n\t"                                     \
    "vqmovnb.s32 " out ", q0\n\t"                               \
    "vqmovnt.s32 " out ", q1\n\t"                               \
    "vqadd.s16 " out ", " out ", r11\n\t"
#define MORE(ROW, again, more)                                  \
    more ":\n\t"                                                \
    "add r1, r1, r7\n\t"                                        \
    "add r3, r3, r7\n\t"                                        \
    "add r5, r5, r7\n\t"                                        \
    ROW(NEXT, "r1")                                             \
    "b.w " again "b\n"

/* On the stack: 0 rows, 12 plane, 16 counter, 20 stream, 24 its end, 28 blocks, 32 and 36 steps. q7 has the output addresses. Bytes of
 * an output word interleave: channels 0 and 2, then 1 and 3. */
#define BLOCKS(ROW)                                             \
    __asm volatile(                                             \
        "push {r4-r11, lr}\n\t"                                 \
        "vpush {d8-d15}\n\t"                                    \
        "sub sp, sp, #40\n\t"                                   \
        "ldm r0!, {r1-r10}\n\t"                                 \
        "stm sp, {r1-r10}\n\t"                                  \
        "vldrw.u32 q7, [r0]\n"                                  \
        "6:\n\t" /* four pixels */                              \
        "ldr r9, [sp, #20]\n"                                   \
        "1:\n\t" /* four channels */                            \
        TWO_CHANNELS(ROW, "q6", "2", "4")                       \
        TWO_CHANNELS(ROW, "q0", "3", "5")                       \
        "vqmovnb.s16 q6, q6\n\t"                                \
        "vqmovnt.s16 q6, q0\n\t"                                \
        "vstrw.32 q6, [q7, #4]!\n\t"                            \
        "ldr r0, [sp, #24]\n\t"                                 \
        "cmp r9, r0\n\t"                                        \
        "bne.w 1b\n\t"                                          \
        "ldr r0, [sp, #28]\n\t"                                 \
        "subs r0, r0, #1\n\t"                                   \
        "beq 7f\n\t"                                            \
        "str r0, [sp, #28]\n\t"                                 \
        "ldrd r2, r4, [sp, #32]\n\t"                            \
        "ldm sp, {r1, r3, r5}\n\t"                              \
        "add r1, r1, r2\n\t"                                    \
        "add r3, r3, r2\n\t"                                    \
        "add r5, r5, r2\n\t"                                    \
        "stm sp, {r1, r3, r5}\n\t"                              \
        "vadd.i32 q7, q7, r4\n\t"                               \
        "b.w 6b\n"                                              \
        "7:\n\t"                                                \
        "add sp, sp, #40\n\t"                                   \
        "vpop {d8-d15}\n\t"                                     \
        "pop {r4-r11, pc}\n"                                    \
        MORE(ROW, "2", "4")                                     \
        MORE(ROW, "3", "5"))

/* All channels of `stream` for blocks of four pixels. In assembly because it needs every register; compilers spill. */
static TINYC_MVE_ASSEMBLY void blocks_1(const frame *f __attribute__((unused))) {
    BLOCKS(ROW_1);
}

static TINYC_MVE_ASSEMBLY void blocks_2(const frame *f __attribute__((unused))) {
    BLOCKS(ROW_2);
}

/* The last rows of the image that were needed. */
typedef struct {
    const tinyc_conv_3x3_mve_params *p;
    int8_t *slots;    /* three rows */
    int8_t *spare;    /* room for a block's output, where the output's words are not aligned; else NULL */
    int32_t columns;  /* of a row, with padding */
    int32_t size;     /* bytes of a row */
} window;

static void fill(int8_t *to, int32_t size, int32_t value) {
    const int8x16_t values = vdupq_n_s8((int8_t)value);
    for (; size > 0; size -= 16) {
        vstrbq_s8(to, values);
        to += 16;
    }
}

/* Puts row `y` of `image`, or a row of padding, into a slot. Columns before and after the image keep their padding. */
static void load_row(const window *w, const int8_t *image, int32_t y, int32_t slot) {
    const tinyc_conv_3x3_mve_params *const p = w->p;
    const int32_t depth = p->input_depth;
    int8_t *to = w->slots + slot * w->size;
    const int32_t room = w->columns - p->pad_width;
    const int32_t count = p->input_width < room ? p->input_width : room;
    if (y < 0 || y >= p->input_height) {
        fill(to, w->size, p->input_zero_point);
        return;
    }
    const int8_t *from = image + y * p->input_width * depth;
    to += 16 * p->pad_width;
    for (int32_t left = depth; left > 0; left -= 16) {
        const int8_t *s = from;
        int8_t *d = to;
        __asm volatile(
            "vctp.8 %[left]\n\t"
            "dls lr, %[count]\n"
            "1:\n\t"
            "vpst\n\t"
            "vldrbt.u8 q0, [%[s]]\n\t"
            "add %[s], %[depth]\n\t"
            "vstrb.8 q0, [%[d]], #16\n\t"
            "le lr, 1b"
            : [s] "+r"(s), [d] "+r"(d)
            : [left] "r"(left), [count] "r"(count), [depth] "r"(depth)
            : "lr", "q0", "cc", "memory");
        from += 16;
        to += 16 * w->columns;
    }
}

static void copy(int8_t *to, const int8_t *from, int32_t size) {
    for (; size > 0; size -= 16) {
        const mve_pred16_t inside = vctp8q((uint32_t)size);
        vstrbq_p_s8(to, vldrbq_z_s8(from, inside), inside);
        to += 16;
        from += 16;
    }
}

/* `count` blocks from output column `column` on, of the row that begins at `output`. The frame's rows are those of column 0. */
static void blocks(const window *w, const frame *row, int8_t *output, int32_t column, int32_t count) {
    const tinyc_conv_3x3_mve_params *const p = w->p;
    const int32_t channels = p->output_depth;
    const int32_t pitch = w->spare != NULL ? (channels + 3) & ~3 : channels;
    frame f = *row;
    output += column * channels;
    f.blocks = (uint32_t)count;
    for (int32_t i = 0; i < 3; i++) {
        f.row[i] += 16 * column * p->stride;
    }
    for (int32_t i = 0; i < 4; i++) {
        f.output[i] = (uint32_t)(uintptr_t)((w->spare != NULL ? w->spare : output) + i * pitch) - 4u;
    }
    (p->stride == 1 ? blocks_1 : blocks_2)(&f);
    if (w->spare != NULL) {
        for (int32_t i = 0; i < 4; i++) {
            copy(output + i * channels, w->spare + i * pitch, channels);
        }
    }
}

static void clamp(int8_t *data, int32_t count, int32_t low, int32_t high) {
    const int8x16_t lows = vdupq_n_s8((int8_t)low);
    const int8x16_t highs = vdupq_n_s8((int8_t)high);
    for (; count > 0; count -= 16) {
        const mve_pred16_t inside = vctp8q((uint32_t)count);
        vstrbq_p_s8(data, vminq_s8(vmaxq_s8(vldrbq_z_s8(data, inside), lows), highs), inside);
        data += 16;
    }
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_conv_3x3_s8_mve(const tinyc_conv_3x3_mve_params *params, const int8_t *input,
                                        const int32_t *restrict stream, int8_t *output, void *scratch) {
    const tinyc_conv_3x3_mve_params *const p = params;
    const int32_t channels = p->output_depth;
    const int32_t planes = (p->input_depth + 15) / 16;
    const int32_t width = p->output_width;
    const int32_t outputs = p->batches * p->output_height * width * channels;
    window w;
    w.p = p;
    w.columns = (width - 1) * p->stride + 3;
    w.size = planes * w.columns * 16;
    w.slots = scratch;
    w.spare = ((channels | (int32_t)(uintptr_t)output) & 3) != 0 ? w.slots + 3 * w.size : NULL;
    frame f;
    f.plane = (uint32_t)(16 * w.columns);
    f.counter = (uint32_t)(planes - 1) << 16 | ((uint32_t)p->output_zero_point & 0xffffu);
    f.stream = stream;
    f.stream_end = stream + (channels + 3) / 4 * (planes * 144 + 16);
    f.x_step = (uint32_t)(64 * p->stride);
    f.output_step = (uint32_t)(3 * channels);
    fill(w.slots, 3 * w.size, p->input_zero_point);
    for (int32_t batch = 0; batch < p->batches; batch++) {
        int32_t next = -p->pad_height; /* the next row to load, and its slot */
        int32_t slot = 0;
        for (int32_t row = 0; row < p->output_height; row++) {
            const int32_t end = row * p->stride - p->pad_height + 3;
            for (; next < end; next++) {
                load_row(&w, input, next, slot);
                slot = slot == 2 ? 0 : slot + 1;
            }
            /* The oldest row is in the slot to be overwritten next. */
            int32_t oldest = slot;
            for (int32_t i = 0; i < 3; i++) {
                f.row[i] = w.slots + oldest * w.size;
                oldest = oldest == 2 ? 0 : oldest + 1;
            }
            if (w.spare == NULL) {
                blocks(&w, &f, output, 0, width / 4);
                if ((width & 3) != 0) {
                    blocks(&w, &f, output, width - 4, 1);
                }
            } else {
                for (int32_t column = 0; column < width; column += 4) {
                    blocks(&w, &f, output, column > width - 4 ? width - 4 : column, 1);
                }
            }
            output += width * channels;
        }
        input += p->input_height * p->input_width * p->input_depth;
    }
    if (p->activation_min > -128 || p->activation_max < 127) {
        clamp(output - outputs, outputs, p->activation_min, p->activation_max);
    }
}
