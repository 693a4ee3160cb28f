/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_mve.h"

#if !defined(__ARM_FEATURE_MVE) || !(__ARM_FEATURE_MVE & 1)
#error "tinyc_conv_2d_s8_mve.c needs Helium: compile with -mcpu=cortex-m55 or -mcpu=cortex-m85 (-march=armv8.1-m.main+mve)"
#endif

#include <arm_mve.h>

/* Blocks of four pixels, as the assembly reads it. */
typedef struct {
    const int8_t *x[4];        /* the pixels of the first block: `depth` bytes each, rounded up to 16 */
    uint32_t counter;          /* (full rounds of the unrolled loop - 1) << 16 | (output zero point & 0xffff) */
    uint32_t skip;             /* bytes of code before the step that the unrolled loop begins with, plus 1 (Thumb) */
    uint32_t many;             /* whether there are full rounds */
    const int32_t *stream;
    const int32_t *stream_end;
    uint32_t blocks;           /* >= 1 */
    uint32_t x_step;           /* from a block's pixels to the next block's */
    uint32_t output_step;      /* from the end of a block's output to the next block's */
    uint32_t output[4];        /* addresses of the first block's output pixels, less 4; multiples of 4 */
} frame;

/* 16 k of two channels and four pixels: 128 multiply-accumulates in 14 instructions (56 bytes). The accumulators are all even
 * registers: r0, r2, r4, r6 of the first channel's four pixels, r8, r10, r12, lr of the second's. */
#define STEP(MAC)                      \
    "vldrw.u32 q4, [r9], #16\n\t"      \
    "vldrb.u8 q0, [r1], #16\n\t"       \
    MAC " r0, q0, q4\n\t"              \
    "vldrb.u8 q1, [r3], #16\n\t"       \
    MAC " r2, q1, q4\n\t"              \
    "vldrb.u8 q2, [r5], #16\n\t"       \
    MAC " r4, q2, q4\n\t"              \
    "vldrb.u8 q3, [r7], #16\n\t"       \
    MAC " r6, q3, q4\n\t"              \
    "vldrw.u32 q5, [r9], #16\n\t"      \
    MAC " r8, q0, q5\n\t"              \
    MAC " r10, q1, q5\n\t"             \
    MAC " r12, q2, q5\n\t"             \
    MAC " lr, q3, q5\n\t"
#define STEP_BYTES 56
#define UNROLLED 8

/* Two channels of four pixels, to the halfwords of `out`: a first step, a jump into the unrolled loop, requantization.
 * The carry flag is clear before and after. Up to 1 + 8 steps the jump at `entry` goes into the loop, which then falls through at its
 * end. With more steps it goes to `many`, which sets the carry, so that the loop goes on; it clears the carry when the counter in the
 * upper half of r11 runs out. */
#define TWO_CHANNELS(out, entry, jump, many, loop, RECORD, TIES) \
    "ldm sp, {r1, r3, r5, r7, r11}\n\t"                          \
    STEP("vmladav.s8")                                           \
    "ldr pc, [sp, #" entry "]\n"                                 \
    many ":\n\t"                                                 \
    "cmp r11, #0\n\t"                                            \
    "ldr pc, [sp, #" jump "]\n"                                  \
    loop "0:\n\t"                                                \
    "subs.w r11, r11, #0x10000\n"                                \
    loop ":\n\t"                                                 \
    STEP("vmladava.s8") STEP("vmladava.s8")                      \
    STEP("vmladava.s8") STEP("vmladava.s8")                      \
    STEP("vmladava.s8") STEP("vmladava.s8")                      \
    STEP("vmladava.s8") STEP("vmladava.s8")                      \
    "bcs.w " loop "0b\n\t"                                       \
    "vmov q0[2], q0[0], r0, r4\n\t"                              \
    "vmov q0[3], q0[1], r2, r6\n\t"                              \
    "vmov q1[2], q1[0], r8, r12\n\t"                             \
    "vmov q1[3], q1[1], r10, lr\n\t"                             \
    "ldm r9!, " RECORD "\n\t"                                    \
    "vadd.i32 q0, q0, r0\n\t"                                    \
    "vadd.i32 q1, q1, r6\n\t"                                    \
    "vqrdmulh.s32 q0, q0, r2\n\t"                                \
    "vqrdmulh.s32 q1, q1, r8\n\t"                                \
    TIES("q0", "r12", "q1", "lr")                                \
    "vrshl.s32 q0, r4\n\t"                                       \
    "vrshl.s32 q1, r10\n\t"                                      \
    "vqmovnb.s32 " out ", q0\n\t"                                \
    "vqmovnt.s32 " out ", q1\n\t"                                \
    "vqadd.s16 " out ", " out ", r11\n\t"

/* On the stack: 0 pixels, 16 counter, 20 and 28 where the two jumps go, 24 and 32 where they go in the end, 36 stream, 40 its end,
 * 44 blocks, 48 and 52 steps. q7 has the output addresses. Bytes of an output word interleave: channels 0 and 2, then 1 and 3. */
#define BLOCKS(RECORD, TIES)                                          \
    __asm volatile(                                                   \
        "push {r4-r11, lr}\n\t"                                       \
        "vpush {d8-d15}\n\t"                                          \
        "sub sp, sp, #56\n\t"                                         \
        "ldm r0!, {r1-r7}\n\t"                                        \
        "stm sp, {r1-r5}\n\t"                                         \
        "adr.w r2, 2f\n\t"                                            \
        "adr.w r4, 3f\n\t"                                            \
        "add r2, r2, r6\n\t"                                          \
        "add r4, r4, r6\n\t"                                          \
        "mov r1, r2\n\t"                                              \
        "mov r3, r4\n\t"                                              \
        "cbz r7, 8f\n\t"                                              \
        "adr.w r1, 4f\n\t"                                            \
        "adr.w r3, 5f\n\t"                                            \
        "adds r1, r1, #1\n\t"                                         \
        "adds r3, r3, #1\n"                                           \
        "8:\n\t"                                                      \
        "add r5, sp, #20\n\t"                                         \
        "stm r5!, {r1-r4}\n\t"                                        \
        "ldm r0!, {r1-r4, r6}\n\t"                                    \
        "stm r5, {r1-r4, r6}\n\t"                                     \
        "vldrw.u32 q7, [r0]\n"                                        \
        "6:\n\t" /* four pixels */                                    \
        "ldr r9, [sp, #36]\n\t"                                       \
        "adds.w r9, r9, #0\n" /* no carry */                          \
        "1:\n\t" /* four channels */                                  \
        TWO_CHANNELS("q6", "20", "24", "4", "2", RECORD, TIES)        \
        TWO_CHANNELS("q0", "28", "32", "5", "3", RECORD, TIES)        \
        "vqmovnb.s16 q6, q6\n\t"                                      \
        "vqmovnt.s16 q6, q0\n\t"                                      \
        "vstrw.32 q6, [q7, #4]!\n\t"                                  \
        "ldr r0, [sp, #40]\n\t"                                       \
        "cmp r9, r0\n\t" /* no carry below */                         \
        "bne.w 1b\n\t"                                                \
        "ldr r0, [sp, #44]\n\t"                                       \
        "subs r0, r0, #1\n\t"                                         \
        "beq 7f\n\t"                                                  \
        "str r0, [sp, #44]\n\t"                                       \
        "ldrd r2, r4, [sp, #48]\n\t"                                  \
        "ldm sp, {r1, r3, r5, r7}\n\t"                                \
        "add r1, r1, r2\n\t"                                          \
        "add r3, r3, r2\n\t"                                          \
        "add r5, r5, r2\n\t"                                          \
        "add r7, r7, r2\n\t"                                          \
        "stm sp, {r1, r3, r5, r7}\n\t"                                \
        "vadd.i32 q7, q7, r4\n\t"                                     \
        "b.w 6b\n"                                                    \
        "7:\n\t"                                                      \
        "add sp, sp, #56\n\t"                                         \
        "vpop {d8-d15}\n\t"                                           \
        "pop {r4-r11, pc}\n\t")

/* All channels of `stream` for blocks of four pixels. In assembly because it needs every register; compilers spill. */
static TINYC_MVE_ASSEMBLY void blocks(const frame *f __attribute__((unused))) {
    BLOCKS("{r0, r2, r4, r6, r8, r10, r12, lr}", TINYC_MVE_TIES);
}

/* The same for layers whose negative values are all clamped. */
static TINYC_MVE_ASSEMBLY void blocks_relu(const frame *f __attribute__((unused))) {
    BLOCKS("{r0, r2, r4, r6, r8, r10}", TINYC_MVE_NO_TIES);
}

/* Pixels that are gathered until there are enough for a call. */
typedef struct {
    const tinyc_conv_2d_mve_params *p;
    frame f;
    int8_t *patches;  /* p->queue of them, `stride` bytes each, a multiple of 16 */
    int8_t *spare;    /* room for the output of `spare_pixels`, where the output's words are not aligned; else NULL */
    int32_t spare_pixels;
    int8_t *output;   /* of the first pixel gathered */
    int32_t stride;
    int32_t filled;
} queue;

/* `count` >= 1 times: copies `size` bytes from every `step` bytes to every `stride` bytes. Touches nothing else. */
static inline void gather(int8_t *to, const int8_t *from, int32_t count, int32_t size, int32_t step, int32_t stride) {
    for (; size > 0; size -= 16) {
        int8_t *d = to;
        const int8_t *s = from;
        __asm volatile(
            "vctp.8 %[size]\n\t"
            "dls lr, %[count]\n"
            "1:\n\t"
            "vpstt\n\t"
            "vldrbt.u8 q0, [%[s]]\n\t"
            "vstrbt.8 q0, [%[d]]\n\t"
            "add %[s], %[step]\n\t"
            "add %[d], %[stride]\n\t"
            "le lr, 1b"
            : [s] "+r"(s), [d] "+r"(d)
            : [size] "r"(size), [count] "r"(count), [step] "r"(step), [stride] "r"(stride)
            : "lr", "q0", "cc", "memory");
        to += 16;
        from += 16;
    }
}

/* `count` pixels, `q->stride` bytes apart from `x` on. */
static void multiply(queue *q, const int8_t *x, int32_t count) {
    const int32_t channels = q->p->output_depth;
    const int32_t pitch = q->spare != NULL ? (channels + 3) & ~3 : channels;
    q->f.x_step = (uint32_t)(4 * q->stride);
    q->f.output_step = (uint32_t)(3 * pitch);
    while (count > 0) {
        /* Whole blocks, or a last one that repeats its last pixel; or blocks that only go to the spare room. */
        int32_t pixels = count < 4 ? count : count & ~3;
        int8_t *to = q->output;
        if (q->spare != NULL) {
            pixels = count < q->spare_pixels ? count : q->spare_pixels;
            to = q->spare;
        }
        for (int32_t i = 0; i < 4; i++) {
            const int32_t pixel = i < pixels ? i : pixels - 1;
            q->f.x[i] = x + pixel * q->stride;
            q->f.output[i] = (uint32_t)(uintptr_t)(to + pixel * pitch) - 4u;
        }
        q->f.blocks = (uint32_t)(pixels + 3) / 4u;
        (q->p->ties != 0 ? blocks : blocks_relu)(&q->f);
        if (q->spare != NULL) {
            gather(q->output, q->spare, pixels, channels, pitch, channels);
        }
        q->output += pixels * channels;
        x += pixels * q->stride;
        count -= pixels;
    }
}

/* Gathers the patches of `count` neighbouring output pixels, whose window covers filter columns `first` to `end` - 1 inside the image;
 * the first one's window begins at (y, x) of `image`. */
static void gather_patches(queue *q, const int8_t *image, int32_t y, int32_t x, int32_t first, int32_t end, int32_t count) {
    const tinyc_conv_2d_mve_params *const p = q->p;
    const int32_t depth = p->input_depth;
    const int32_t row = p->input_width * depth;
    const int32_t ky_first = y < 0 ? -y : 0;
    const int32_t ky_end = p->input_height - y < p->filter_height ? p->input_height - y : p->filter_height;
    const int32_t filter_row = p->filter_width * depth;
    const int32_t size = (end - first) * depth;
    const int32_t step = p->stride_width * depth;
    int8_t *to = q->patches + q->filled * q->stride;
    if (end - first < p->filter_width || ky_end - ky_first < p->filter_height) {
        const int8x16_t padding = vdupq_n_s8((int8_t)p->input_zero_point);
        for (int32_t i = 0; i < count * q->stride; i += 16) {
            vstrbq_s8(to + i, padding);
        }
    }
    to += ky_first * filter_row + first * depth;
    const int8_t *from = image + (y + ky_first) * row + (x + first) * depth;
    /* The longer loop is the inner one. */
    if (count > ky_end - ky_first) {
        for (int32_t ky = ky_first; ky < ky_end; ky++) {
            gather(to, from, count, size, step, q->stride);
            to += filter_row;
            from += row;
        }
    } else if (ky_end > ky_first) {
        for (int32_t i = 0; i < count; i++) {
            gather(to, from, ky_end - ky_first, size, row, filter_row);
            to += q->stride;
            from += step;
        }
    }
    q->filled += count;
}

static void flush(queue *q) {
    multiply(q, q->patches, q->filled);
    q->filled = 0;
}

/* All windows of one row of output pixels, `y` the input row where they begin. */
static void gather_row(queue *q, const int8_t *image, int32_t y) {
    const tinyc_conv_2d_mve_params *const p = q->p;
    for (int32_t column = 0; column < p->output_width;) {
        const int32_t x = column * p->stride_width - p->pad_width;
        int32_t count = 1;
        int32_t first = 0;
        int32_t end = p->filter_width;
        if (x < 0 || x + end > p->input_width) {
            first = x < 0 ? (-x < end ? -x : end) : 0;
            end = p->input_width - x < end ? p->input_width - x : end;
            end = end > first ? end : first;
        } else {
            count = p->queue - q->filled;
            const int32_t inside = (p->input_width - end - x) / p->stride_width + 1;
            const int32_t left = p->output_width - column;
            count = count < inside ? count : inside;
            count = count < left ? count : left;
        }
        gather_patches(q, image, y, x, first, end, count);
        column += count;
        if (q->filled == p->queue) {
            flush(q);
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
TINYC_KERNEL void tinyc_conv_2d_s8_mve(const tinyc_conv_2d_mve_params *params, const int8_t *input,
                                       const int32_t *restrict stream, int8_t *output, void *scratch) {
    const tinyc_conv_2d_mve_params *const p = params;
    const int32_t depth = p->filter_height * p->filter_width * p->input_depth;
    const int32_t steps = (depth + 15) / 16 - 1;
    const int32_t channels = p->output_depth;
    const int32_t pixels = p->batches * p->output_height * p->output_width;
    queue q;
    q.p = p;
    q.stride = 16 * (steps + 1);
    q.patches = scratch;
    q.spare = p->spare > 0 || ((uintptr_t)output & 3u) != 0u ? q.patches + p->queue * q.stride : NULL;
    q.spare_pixels = p->spare > 0 ? p->spare : 4;
    q.output = output;
    q.filled = 0;
    /* `steps` follow the first one: `rounds` full ones after a first round of 1 to 8. */
    const int32_t rounds = steps > 0 ? (steps - 1) / UNROLLED : 0;
    const int32_t begin = steps > 0 ? steps - rounds * UNROLLED : 0;
    q.f.many = rounds > 0 ? 1u : 0u;
    q.f.counter = (uint32_t)(rounds - 1) << 16 | ((uint32_t)p->output_zero_point & 0xffffu);
    q.f.skip = (uint32_t)((UNROLLED - begin) * STEP_BYTES + (begin == 0 ? 4 : 0)) + 1u;
    q.f.stream = stream;
    q.f.stream_end = stream + (channels + 3) / 4 * (steps + 1) * 16 + (channels + 3) / 4 * (p->ties != 0 ? 16 : 12);
    if (p->direct > 0) {
        /* Pixels that can be read where they are, 16 bytes at a time. */
        const int32_t patch_stride = q.stride;
        q.stride = depth;
        multiply(&q, input, p->direct);
        q.stride = patch_stride;
        for (int32_t pixel = p->direct; pixel < pixels; pixel++) {
            gather(q.patches + q.filled * q.stride, input + pixel * depth, 1, depth, depth, q.stride);
            q.filled++;
            if (q.filled == p->queue) {
                flush(&q);
            }
        }
    } else {
        for (int32_t batch = 0; batch < p->batches; batch++) {
            for (int32_t row = 0; row < p->output_height; row++) {
                gather_row(&q, input, row * p->stride_height - p->pad_height);
            }
            input += p->input_height * p->input_width * p->input_depth;
        }
    }
    flush(&q);
    if (p->activation_min > -128 || p->activation_max < 127) {
        clamp(output, pixels * channels, p->activation_min, p->activation_max);
    }
}
