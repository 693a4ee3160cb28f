/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_dsp.h"

/* What the functions in assembly copy to their stack, after 32 bytes of their own. Columns of taps are a to d, rows 0 to 2. */
typedef struct {
    const int32_t *records;
    uint32_t channel;          /* what is added to the addresses; of the next four channels */
    uint32_t channels_end;
    int8_t *output;
    int32_t depth;
    const int8_t *a0, *b0, *a2, *a1, *b1, *b2;
    const int8_t *c0, *d0, *c1, *d1, *d2, *c2;
    int32_t pairs;             /* of pixels that follow one another, >= 1 */
    const int32_t *first_record;
} frame;

#define ENTER                         \
    "push {r4-r11, lr}\n\t"           \
    "add r0, r0, #76\n\t"             \
    "ldmdb r0!, {r1-r9}\n\t"          \
    "push {r1-r9}\n\t"                \
    "ldmdb r0!, {r1-r10}\n\t"         \
    "push {r1-r10}\n\t"               \
    "sub sp, sp, #32\n"

#define LEAVE                         \
    "add sp, sp, #108\n\t"            \
    "pop {r4-r11, pc}\n\t"

#define LOAD(r) "ldr " r ", [" r ", lr]\n\t"

/* Of two words of four channels, the two lower channels go to `low`, the two upper ones to `second`. */
#define PACK(low, first, second)                                  \
    "pkhbt " low ", " first ", " second ", lsl #16\n\t"           \
    "pkhtb " second ", " second ", " first ", asr #16\n\t"

/* Columns a and b: rows 0 and 1 of a, of b, and row 2 of both; of channels 0 and 1 in r0 to r2, of channels 2 and 3 in r6 to r8. */
#define COLUMNS_AB                                                \
    "ldr lr, [sp, #36]\n\t"                                       \
    "add r12, sp, #52\n\t"                                        \
    "ldm r12!, {r1-r3, r6-r8}\n\t"                                \
    LOAD("r1") LOAD("r2") LOAD("r3") LOAD("r6") LOAD("r7") LOAD("r8") \
    PACK("r0", "r1", "r6")                                        \
    PACK("r1", "r2", "r7")                                        \
    PACK("r2", "r3", "r8")                                        \
    "ldm r12, {r4, r5, r9-r12}\n\t"

#define SUM(kind, acc, w, start) kind " " acc ", r10, " w ", " start "\n\t"

/* Where everything below the zero point is clamped: see tinyc_depthwise_3x3_relu_s8_dsp. */
#define RELU(acc, to) "smmla " acc ", " acc ", r8, r9\n\tssat " to ", #8, " acc ", asr #10\n\t"

/* One channel of two pixels: 24 instructions for 18 multiply-accumulates. `lane` is empty or a rotation. */
#define PAIR(lane, byte)                                                              \
    "ldm lr!, {r6-r9}\n\t"                                                            \
    "sxtb16 r10, r0" lane "\n\t" SUM("smlad", "r11", "r6", "r9")                      \
    "sxtb16 r10, r1" lane "\n\t" SUM("smlad", "r12", "r6", "r9") SUM("smlad", "r11", "r7", "r11")   \
    "sxtb16 r10, r3" lane "\n\t" SUM("smlad", "r12", "r7", "r12") SUM("smlad", "r11", "r8", "r11")  \
    "sxtb16 r10, r4" lane "\n\t" SUM("smlad", "r12", "r8", "r12")                     \
    "ldm lr!, {r6-r9}\n\t"                                                            \
    "sxtb16 r10, r2" lane "\n\t" SUM("smlatb", "r12", "r6", "r12") SUM("smlad", "r11", "r6", "r11") \
    "sxtb16 r10, r5" lane "\n\t" SUM("smlad", "r12", "r7", "r12") SUM("smlabt", "r11", "r7", "r11") \
    RELU("r11", "r11") "strb r11, [sp, #24+" byte "]\n\t"                             \
    RELU("r12", "r12") "strb r12, [sp, #28+" byte "]\n\t"

/* One channel of one pixel, to `to`; `last` multiplies the tap of column c and row 2 in r12. */
#define SINGLE(lane, last, to)                                                        \
    "ldm lr!, {r6-r9}\n\t"                                                            \
    "sxtb16 r10, r0" lane "\n\t" SUM("smlad", "r11", "r6", "r9")                      \
    "sxtb16 r10, r1" lane "\n\t" SUM("smlad", "r11", "r7", "r11")                     \
    "sxtb16 r10, r3" lane "\n\t" SUM("smlad", "r11", "r8", "r11")                     \
    "ldm lr!, {r6-r9}\n\t"                                                            \
    "sxtb16 r10, r2" lane "\n\t" SUM("smlad", "r11", "r6", "r11")                     \
    "sxtb16 r10, r12" lane "\n\t" SUM(last, "r11", "r7", "r11")                       \
    RELU("r11", to)

/* Pairs of pixels, four channels at a time: 138 instructions for 72 multiply-accumulates. */
static TINYC_DSP_ASSEMBLY void pixel_pairs(const frame *f __attribute__((unused))) {
    __asm volatile(
        ENTER
        "1:\n\t" /* four channels */
        COLUMNS_AB
        LOAD("r4") LOAD("r5") LOAD("r9") LOAD("r10") LOAD("r11") LOAD("r12")
        PACK("r3", "r4", "r9")
        PACK("r4", "r5", "r10")
        PACK("r5", "r12", "r11")
        "stm sp, {r6-r11}\n\t"
        "add lr, lr, #4\n\t"
        "str lr, [sp, #36]\n\t"
        "ldr lr, [sp, #32]\n\t"
        PAIR("", "0")
        PAIR(", ror #8", "1")
        "ldm sp, {r0-r5}\n\t"
        PAIR("", "2")
        PAIR(", ror #8", "3")
        "str lr, [sp, #32]\n\t"
        "ldrd r0, r1, [sp, #24]\n\t"
        "ldrd r2, r3, [sp, #44]\n\t"
        "str r1, [r2, r3]\n\t"
        "str r0, [r2], #4\n\t"
        "str r2, [sp, #44]\n\t"
        "ldrd r4, r5, [sp, #36]\n\t"
        "cmp r4, r5\n\t"
        "bne.w 1b\n\t"
        "ldrd r0, r1, [sp, #100]\n\t"
        "subs r0, r0, #1\n\t"
        "beq 2f\n\t"
        "str r0, [sp, #100]\n\t"
        "str r1, [sp, #32]\n\t"
        "add r4, r4, r3\n\t"
        "add r5, r4, r3\n\t"
        "add r2, r2, r3\n\t"
        "strd r4, r5, [sp, #36]\n\t"
        "str r2, [sp, #44]\n\t"
        "b.w 1b\n"
        "2:\n\t"
        LEAVE);
}

/* One pixel: 92 instructions for 36. */
static TINYC_DSP_ASSEMBLY void single_pixel(const frame *f __attribute__((unused))) {
    __asm volatile(
        ENTER
        "1:\n\t" /* four channels */
        COLUMNS_AB
        LOAD("r4") LOAD("r9") LOAD("r12")
        PACK("r3", "r4", "r9")
        "stm sp, {r6-r9}\n\t"
        "add lr, lr, #4\n\t"
        "str lr, [sp, #36]\n\t"
        "ldr lr, [sp, #32]\n\t"
        SINGLE("", "smlabt", "r4")
        SINGLE(", ror #8", "smlabt", "r11")
        "bfi r4, r11, #8, #8\n\t"
        "ldm sp, {r0-r3}\n\t"
        SINGLE("", "smlatt", "r11")
        "bfi r4, r11, #16, #8\n\t"
        SINGLE(", ror #8", "smlatt", "r11")
        "bfi r4, r11, #24, #8\n\t"
        "str lr, [sp, #32]\n\t"
        "ldr r2, [sp, #44]\n\t"
        "str r4, [r2], #4\n\t"
        "str r2, [sp, #44]\n\t"
        "ldrd r4, r5, [sp, #36]\n\t"
        "cmp r4, r5\n\t"
        "bne.w 1b\n\t"
        LEAVE);
}

/* The next column of taps; outside of the image, of zero points. */
#define COLUMN(tap0, tap1, tap2)                              \
    do {                                                      \
        const int32_t inside = (uint32_t)column < width;      \
        f.tap0 = inside ? row[0] : zeros;                     \
        f.tap1 = inside ? row[1] : zeros;                     \
        f.tap2 = inside ? row[2] : zeros;                     \
        row[0] += step[0];                                    \
        row[1] += step[1];                                    \
        row[2] += step[2];                                    \
        column++;                                             \
    } while (0)

/* No `restrict`: the output may reach over the input's memory. */
TINYC_KERNEL void tinyc_depthwise_direct_pairs_relu_s8_dsp(const tinyc_conv_2d_dsp_params *params, const int8_t *input,
                                                           const int32_t *records, int8_t *output, void *scratch) {
    const int32_t depth = params->input_depth;
    const int32_t line = params->input_width * depth;
    const uint32_t width = (uint32_t)params->input_width;
    const int8_t *const zeros = scratch;
    const int8_t *image = input;
    int32_t y = 0;
    frame f;
    f.output = output;
    f.depth = depth;
    f.first_record = records;
    if (params->inside_right - params->inside_left < params->output_width ||
        params->inside_bottom - params->inside_top < params->output_height) {
        const uint32_t four = (uint8_t)params->input_zero_point * 0x01010101u;
        uint32_t *to = scratch;
        for (int32_t i = depth; i > 0; i -= 4) {
            *to++ = four;
        }
    }
    for (int32_t left = params->batches * params->output_height; left > 0; left--) {
        const int8_t *first[3];
        int32_t step[3];
        int32_t at = y * params->stride_height - params->pad_height;
        for (int32_t i = 0; i < 3; i++) {
            const int32_t inside = (uint32_t)at < (uint32_t)params->input_height;
            first[i] = inside ? image + at * line - params->pad_width * depth : zeros;
            step[i] = inside ? depth : 0;
            at += params->dilation_height;
        }
        const int32_t inside_left = y >= params->inside_top && y < params->inside_bottom ? params->inside_left : params->output_width;
        for (int32_t x = 0; x < params->output_width; x += 2 * f.pairs) {
            const int8_t *row[3] = {first[0] + x * step[0], first[1] + x * step[1], first[2] + x * step[2]};
            int32_t column = x - params->pad_width;
            const int32_t run = x >= inside_left ? params->inside_right - x : 0;
            COLUMN(a0, a1, a2);
            COLUMN(b0, b1, b2);
            COLUMN(c0, c1, c2);
            COLUMN(d0, d1, d2);
            f.pairs = run >= 2 ? run / 2 : 1;
            f.records = records;
            f.channel = 0;
            f.channels_end = (uint32_t)depth;
            if (x + 1 < params->output_width) {
                pixel_pairs(&f);
                f.output += 2 * f.pairs * depth;
            } else {
                single_pixel(&f);
                f.output += depth;
            }
        }
        y++;
        if (y == params->output_height) {
            y = 0;
            image += params->input_height * line;
        }
    }
    tinyc_dsp_clamp(output, params->batches * params->output_height * params->output_width * depth, params->activation_min,
                    params->activation_max);
}
