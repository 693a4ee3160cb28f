/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_mve.h"

#if !defined(__ARM_FEATURE_MVE) || !(__ARM_FEATURE_MVE & 1)
#error "tinyc_depthwise_conv_3x3_s8_mve.c needs Helium: compile with -mcpu=cortex-m55 or -mcpu=cortex-m85 (-march=armv8.1-m.main+mve)"
#endif

#include <arm_mve.h>

/* A strip is four lines of the image, transposed: strip[channel / 16][place][channel % 16][line], with places along the lines, 64
 * bytes each. A gather of four words is then a patch of one channel, four places by four lines. */
#define PLACE 64

/* Lines to transpose, as the assembly reads it. */
typedef struct {
    const int8_t *line[4];  /* 16 channels of the first place */
    int32_t step[4];        /* bytes from place to place */
    int8_t *strip;
    int32_t places;         /* >= 1 */
    int32_t channels;       /* 1 to 16: what is read */
} transposition;

static TINYC_MVE_ASSEMBLY void transpose(const transposition *t __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "ldm r0, {r1-r11}\n\t"
        "vctp.8 r11\n\t"
        "dls lr, r10\n"
        "1:\n\t"
        "vpstttt\n\t"
        "vldrbt.u8 q0, [r1]\n\t"
        "vldrbt.u8 q1, [r2]\n\t"
        "vldrbt.u8 q2, [r3]\n\t"
        "vldrbt.u8 q3, [r4]\n\t"
        "add r1, r1, r5\n\t"
        "vst40.8 {q0, q1, q2, q3}, [r9]\n\t"
        "add r2, r2, r6\n\t"
        "vst41.8 {q0, q1, q2, q3}, [r9]\n\t"
        "add r3, r3, r7\n\t"
        "vst42.8 {q0, q1, q2, q3}, [r9]\n\t"
        "add r4, r4, r8\n\t"
        "vst43.8 {q0, q1, q2, q3}, [r9]!\n\t"
        "le lr, 1b\n\t"
        "pop {r4-r11, pc}\n\t");
}

/* The strip that is `COUNT` lines on: its last lines are its first ones now, in q`COUNT` to q3, and the others are read as above. */
#define NEXT_STRIP(COUNT, KEPT, READ)               \
    __asm volatile(                                 \
        "push {r4-r11, lr}\n\t"                     \
        "vpush {d8-d11}\n\t"                        \
        "ldm r0, {r1-r11}\n\t"                      \
        "vctp.8 r11\n\t"                            \
        "dls lr, r10\n"                             \
        "1:\n\t"                                    \
        "vld40.8 {q0, q1, q2, q3}, [r9]\n\t"        \
        "vld41.8 {q0, q1, q2, q3}, [r9]\n\t"        \
        "vld42.8 {q0, q1, q2, q3}, [r9]\n\t"        \
        "vld43.8 {q0, q1, q2, q3}, [r9]\n\t"        \
        READ                                        \
        "vst40.8 {" KEPT "}, [r9]\n\t"              \
        "vst41.8 {" KEPT "}, [r9]\n\t"              \
        "vst42.8 {" KEPT "}, [r9]\n\t"              \
        "vst43.8 {" KEPT "}, [r9]!\n\t"             \
        "le lr, 1b\n\t"                             \
        "vpop {d8-d11}\n\t"                         \
        "pop {r4-r11, pc}\n\t")

static TINYC_MVE_ASSEMBLY void one_line_on(const transposition *t __attribute__((unused))) {
    NEXT_STRIP(1, "q1, q2, q3, q4",
               "vpst\n\t"
               "vldrbt.u8 q4, [r4]\n\t"
               "add r4, r4, r8\n\t");
}

static TINYC_MVE_ASSEMBLY void two_lines_on(const transposition *t __attribute__((unused))) {
    NEXT_STRIP(2, "q2, q3, q4, q5",
               "vpstt\n\t"
               "vldrbt.u8 q4, [r3]\n\t"
               "vldrbt.u8 q5, [r4]\n\t"
               "add r3, r3, r7\n\t"
               "add r4, r4, r8\n\t");
}

/* A strip to convolve, as the assembly reads it. A block is four outputs along the line; the rest may overlap them. */
typedef struct {
    const int32_t *stream;
    int8_t *output;
    int32_t zero_point;     /* of the output */
    int32_t block_step;     /* output bytes from block to block */
    int32_t next_place;     /* from a channel's last patch to the next channel's first */
    int32_t next_output;
    int32_t blocks;         /* >= 0 */
    int32_t rest;           /* how much follows the blocks, or 0 */
    int32_t rest_place;     /* added to places and output before that */
    int32_t rest_output;
    int32_t channels;
    int32_t next_group;     /* from the end of 16 channels to the next 16 */
    uint32_t place[4];      /* addresses of the first patch's words, less two places */
    uint32_t offsets[4];    /* from the output to the four of a patch (stride 1) or of a block (stride 2) */
    uint16_t pairs[8];      /* from the output to the eight of two patches, interleaved (stride 1) */
    uint32_t mask;          /* predicate of the outputs to store (stride 2) */
} strip;

/* Registers: r1 stream, r3 output, r5 bias, r7 multiplier, r9 shift, r8 what TINYC_MVE_TIES needs, r10 zero point, r11 channels left in
 * the group, r12 block step, q4 places. Stack: 0 next_place, 4 next_output, 8 blocks, 12 rest, 16 rest_place, 20 rest_output,
 * 24 channels, 28 next_group, 32 offsets. */
#define BEGIN                             \
    "push {r4-r11, lr}\n\t"               \
    "vpush {d8-d15}\n\t"                  \
    "sub sp, sp, #48\n\t"                 \
    "ldm r0!, {r1, r3, r10, r12}\n\t"     \
    "ldm r0!, {r4-r9, r11, lr}\n\t"       \
    "stm sp, {r4-r9, r11, lr}\n\t"        \
    "vldrw.u32 q4, [r0]\n\t"              \
    "vldrw.u32 q7, [r0, #16]\n\t"         \
    "vstrw.32 q7, [sp, #32]\n\t"          \
    "vldrw.u32 q5, [r0, #32]\n\t"         \
    "ldr r0, [r0, #48]\n\t"               \
    "vmsr p0, r0\n"                       \
    "0:\n\t" /* 16 channels */            \
    "ldr r11, [sp, #24]\n\t"              \
    "subs r0, r11, #16\n\t"               \
    "str r0, [sp, #24]\n\t"               \
    "it hi\n\t"                           \
    "movhi r11, #16\n"                    \
    "1:\n\t" /* a channel */              \
    "vldrw.u32 q0, [r1], #16\n\t"         \
    "ldm r1!, {r5, r7, r9}\n\t"
#define END                               \
    "ldrd r0, r2, [sp]\n\t"               \
    "vadd.i32 q4, q4, r0\n\t"             \
    "add r3, r3, r2\n\t"                  \
    "subs r11, r11, #1\n\t"               \
    "bne.w 1b\n\t"                        \
    "ldrd r0, r2, [sp, #24]\n\t"          \
    "vadd.i32 q4, q4, r2\n\t"             \
    "cmp r0, #0\n\t"                      \
    "bgt.w 0b\n\t"                        \
    "add sp, sp, #48\n\t"                 \
    "vpop {d8-d15}\n\t"                   \
    "pop {r4-r11, pc}\n\t"

/* The scalar that adds signs where the shift is below 0, see tinyc_mve.h. */
#define TIES "lsr r8, r9, #31\n\t"
#define TIE(q) "vqdmlah.s32 " q ", " q ", r8\n\t"
#define NO_TIES ""
#define NO_TIE(q) ""

/* Stride 1: a patch gives two outputs along the line by two lines, by four shifted copies of the filter. */
#define PATCH(q)                          \
    "vmladav.s8 r0, " q ", q0\n\t"        \
    "vmladav.s8 r2, " q ", q1\n\t"        \
    "vmladav.s8 r4, " q ", q2\n\t"        \
    "vmladav.s8 r6, " q ", q3\n\t"
#define LANES(q)                          \
    "vmov " q "[2], " q "[0], r0, r4\n\t" \
    "vmov " q "[3], " q "[1], r2, r6\n\t"

#define STRIDE_1(TIES, TIE)                                 \
    __asm volatile(                                         \
        BEGIN                                               \
        "vshl.i32 q1, q0, #8\n\t" /* one line on */         \
        "vmov q2, q0\n\t"                                   \
        "movs r0, #0\n\t"                                   \
        "vshlc q2, r0, #32\n\t" /* one place on */          \
        "vshl.i32 q3, q2, #8\n\t"                           \
        TIES                                                \
        "ldr r0, [sp, #8]\n\t"                              \
        "wls lr, r0, 3f\n"                                  \
        "2:\n\t" /* two patches */                          \
        "vldrw.u32 q6, [q4, #128]!\n\t"                     \
        PATCH("q6")                                         \
        "vldrw.u32 q7, [q4, #128]!\n\t"                     \
        LANES("q6")                                         \
        PATCH("q7")                                         \
        "vadd.i32 q6, q6, r5\n\t"                           \
        LANES("q7")                                         \
        "vqrdmulh.s32 q6, q6, r7\n\t"                       \
        "vadd.i32 q7, q7, r5\n\t"                           \
        TIE("q6")                                           \
        "vqrdmulh.s32 q7, q7, r7\n\t"                       \
        "vrshl.s32 q6, r9\n\t"                              \
        TIE("q7")                                           \
        "vqmovnb.s32 q6, q6\n\t"                            \
        "vrshl.s32 q7, r9\n\t"                              \
        "vqmovnt.s32 q6, q7\n\t"                            \
        "vqadd.s16 q6, q6, r10\n\t"                         \
        "vqmovnb.s16 q6, q6\n\t"                            \
        "vstrb.16 q6, [r3, q5]\n\t"                         \
        "add r3, r3, r12\n\t"                               \
        "le lr, 2b\n"                                       \
        "3:\n\t"                                            \
        "ldr r0, [sp, #12]\n\t"                             \
        "cbz r0, 5f\n\t"                                    \
        "dls lr, r0\n\t"                                    \
        "ldrd r2, r4, [sp, #16]\n\t"                        \
        "vadd.i32 q4, q4, r2\n\t"                           \
        "add r3, r3, r4\n\t"                                \
        "vldrw.u32 q7, [sp, #32]\n"                         \
        "4:\n\t" /* single patches, one place on */         \
        "vldrw.u32 q6, [q4, #64]!\n\t"                      \
        PATCH("q6")                                         \
        LANES("q6")                                         \
        "vadd.i32 q6, q6, r5\n\t"                           \
        "vqrdmulh.s32 q6, q6, r7\n\t"                       \
        TIE("q6")                                           \
        "vrshl.s32 q6, r9\n\t"                              \
        "vqmovnb.s32 q6, q6\n\t"                            \
        "vqadd.s16 q6, q6, r10\n\t"                         \
        "vqmovnb.s16 q6, q6\n\t"                            \
        "vstrb.32 q6, [r3, q7]\n\t"                         \
        "add r3, r3, r12, lsr #2\n\t"                       \
        "le lr, 4b\n"                                       \
        "5:\n\t"                                            \
        END)

static TINYC_MVE_ASSEMBLY void stride_1(const strip *s __attribute__((unused))) {
    STRIDE_1(TIES, TIE);
}

static TINYC_MVE_ASSEMBLY void stride_1_relu(const strip *s __attribute__((unused))) {
    STRIDE_1(NO_TIES, NO_TIE);
}

/* Stride 2: a patch gives one output. */
#define FOUR(TIE)                         \
    "vldrw.u32 q1, [q4, #128]!\n\t"       \
    "vmladav.s8 r0, q1, q0\n\t"           \
    "vldrw.u32 q2, [q4, #128]!\n\t"       \
    "vmladav.s8 r2, q2, q0\n\t"           \
    "vldrw.u32 q3, [q4, #128]!\n\t"       \
    "vmladav.s8 r4, q3, q0\n\t"           \
    "vldrw.u32 q6, [q4, #128]!\n\t"       \
    "vmladav.s8 r6, q6, q0\n\t"           \
    LANES("q6")                           \
    "vadd.i32 q6, q6, r5\n\t"             \
    "vqrdmulh.s32 q6, q6, r7\n\t"         \
    TIE("q6")                             \
    "vrshl.s32 q6, r9\n\t"                \
    "vqmovnb.s32 q6, q6\n\t"              \
    "vqadd.s16 q6, q6, r10\n\t"           \
    "vqmovnb.s16 q6, q6\n\t"              \
    "vpst\n\t"                            \
    "vstrbt.32 q6, [r3, q7]\n\t"          \
    "add r3, r3, r12\n\t"

#define STRIDE_2(TIES, TIE)               \
    __asm volatile(                       \
        BEGIN                             \
        TIES                              \
        "ldr r0, [sp, #8]\n\t"            \
        "dls lr, r0\n"                    \
        "2:\n\t"                          \
        FOUR(TIE)                         \
        "le lr, 2b\n\t"                   \
        "ldr r0, [sp, #12]\n\t"           \
        "cbz r0, 5f\n\t"                  \
        "ldrd r2, r4, [sp, #16]\n\t"      \
        "vadd.i32 q4, q4, r2\n\t"         \
        "add r3, r3, r4\n\t"              \
        FOUR(TIE)                         \
        "5:\n\t"                          \
        END)

static TINYC_MVE_ASSEMBLY void stride_2(const strip *s __attribute__((unused))) {
    STRIDE_2(TIES, TIE);
}

static TINYC_MVE_ASSEMBLY void stride_2_relu(const strip *s __attribute__((unused))) {
    STRIDE_2(NO_TIES, NO_TIE);
}

static void fill(int8_t *to, int32_t size, int32_t value) {
    const int8x16_t values = vdupq_n_s8((int8_t)value);
    for (; size > 0; size -= 16) {
        vstrbq_s8(to, values);
        to += 16;
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

/* What does not change from strip to strip. */
static void prepare(strip *s, const tinyc_depthwise_conv_3x3_mve_params *p, const int32_t *stream, const int8_t *places) {
    const int32_t outputs = p->output_places;
    const int32_t step = p->output_place_step;
    const int32_t rest = outputs & 3;
    s->stream = stream;
    s->zero_point = p->output_zero_point;
    s->block_step = 4 * step;
    s->rest_place = 0;
    s->rest_output = 0;
    for (int32_t i = 0; i < 4; i++) {
        s->place[i] = (uint32_t)(uintptr_t)(places + (i - 2) * PLACE);
    }
    int32_t place;    /* from the first patch to the last one */
    int32_t finished; /* from the first output to where the last block ends */
    s->mask = 0xffffu;
    if (p->stride == 1) {
        s->blocks = outputs / 4;
        s->rest = (rest + 1) / 2;
        if (rest > 0) {
            s->rest_place = rest == 1 ? 0 : PLACE;
            s->rest_output = rest == 1 ? -step : 0;
        }
        place = outputs - 2;
        finished = rest == 0 ? outputs : outputs - 1;
        for (int32_t i = 0; i < 4; i++) {
            const int32_t offset = (i & 1) * p->output_line_step + (i >> 1) * step;
            s->offsets[i] = (uint32_t)offset;
            s->pairs[2 * i] = (uint16_t)offset;
            s->pairs[2 * i + 1] = (uint16_t)(offset + 2 * step);
        }
    } else {
        s->blocks = outputs < 4 ? 1 : outputs / 4;
        s->rest = outputs > 4 && rest > 0 ? 1 : 0;
        if (s->rest > 0) {
            s->rest_place = (2 * rest - 8) * PLACE;
            s->rest_output = (rest - 4) * step;
        }
        finished = outputs < 4 ? 4 : outputs;
        place = 2 * finished - 2;
        if (outputs < 4) {
            s->mask = 0xffffu >> (16 - 4 * outputs);
        }
        for (int32_t i = 0; i < 4; i++) {
            s->offsets[i] = (uint32_t)(i * step);
        }
    }
    s->next_place = 4 - (place + 2) * PLACE;
    s->next_output = 1 - finished * step;
}

/* Transposes the four lines that the outputs of `line` need, for `channels` channels from `input` on; only the last `fresh` of them
 * where the strip has the others, `fresh` lines further down. */
static void make_strip(const tinyc_depthwise_conv_3x3_mve_params *p, const int8_t *input, int32_t line, int32_t fresh,
                       int32_t channels, int32_t group, int8_t *places, const int8_t *padding) {
    const int32_t room = group / PLACE - p->pad_places;
    const int32_t top = line * p->stride - p->pad_lines;
    transposition t;
    t.places = p->input_places < room ? p->input_places : room;
    t.strip = places + p->pad_places * PLACE;
    for (int32_t i = 4 - fresh; i < 4; i++) {
        const int inside = (uint32_t)(top + i) < (uint32_t)p->input_lines;
        t.line[i] = inside ? input + (top + i) * p->input_line_step : padding;
        t.step[i] = inside ? p->input_place_step : 0;
    }
    for (int32_t left = channels; left > 0 && t.places > 0; left -= 16) {
        t.channels = left < 16 ? left : 16;
        if (fresh == 4) {
            transpose(&t);
        } else if (fresh == 2) {
            two_lines_on(&t);
        } else {
            one_line_on(&t);
        }
        t.strip += group;
        for (int32_t i = 4 - fresh; i < 4 && left > 16; i++) {
            t.line[i] += t.step[i] != 0 ? 16 : 0;
        }
    }
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_depthwise_conv_3x3_s8_mve(const tinyc_depthwise_conv_3x3_mve_params *params, const int8_t *input,
                                                  const int32_t *restrict stream, int8_t *output, void *scratch) {
    const tinyc_depthwise_conv_3x3_mve_params *const p = params;
    const int32_t group = PLACE * (p->stride * (p->output_places < 4 && p->stride == 2 ? 4 : p->output_places) + 2);
    const int32_t lines = p->stride == 1 ? 2 : 1;
    int8_t *const places = scratch;
    int8_t *const padding = places + (p->pass_channels + 15) / 16 * group;
    strip s;
    prepare(&s, p, stream, places);
    s.next_group = group - PLACE;
    /* Places before and after the image stay as they are. */
    fill(places, (int32_t)(padding - places) + 16, p->input_zero_point);
    for (int32_t batch = 0; batch < p->batches; batch++) {
        /* With `kept` a pass goes through all lines before the next one: nothing is read twice. */
        const int32_t together = p->kept != 0 ? p->pass_channels : p->channels;
        for (int32_t begin = 0; begin < p->channels; begin += together) {
            const int32_t end = p->channels - begin < together ? p->channels : begin + together;
            int32_t fresh = 4;
            for (int32_t first = 0; first < p->output_lines; first += lines) {
                /* A last odd line is computed together with the one before it. */
                const int32_t line = first > p->output_lines - lines ? p->output_lines - lines : first;
                if (p->kept != 0 && first > 0) {
                    fresh = line == first ? 2 : 1;
                }
                s.stream = stream + 7 * begin;
                for (int32_t channel = begin; channel < end; channel += p->pass_channels) {
                    s.channels = end - channel < p->pass_channels ? end - channel : p->pass_channels;
                    make_strip(p, input + channel, line, fresh, s.channels, group, places, padding);
                    s.output = output + line * p->output_line_step + channel;
                    if (p->stride == 1) {
                        (p->ties != 0 ? stride_1 : stride_1_relu)(&s);
                    } else {
                        (p->ties != 0 ? stride_2 : stride_2_relu)(&s);
                    }
                    s.stream += 7 * s.channels;
                }
            }
        }
        input += p->input_places * p->input_lines * p->channels;
        output += p->output_places * p->output_lines * p->channels;
    }
    const int32_t outputs = p->output_places * p->output_lines * p->channels * p->batches;
    if (p->activation_min > -128 || p->activation_max < 127) {
        clamp(output - outputs, outputs, p->activation_min, p->activation_max);
    }
}
