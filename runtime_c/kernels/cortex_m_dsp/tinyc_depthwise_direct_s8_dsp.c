/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_dsp.h"
#include "tinyc_patches_dsp.h"

/* What the functions in assembly copy to their stack, up to `odd`, and to r10, r11 and r12. `place` is an address or an offset that runs
 * along the channels of a pixel. */
typedef struct {
    const int32_t *records_end;
    const int32_t *records;
    uint32_t to_output;            /* bytes from `place`, already moved on by four channels, to their output */
    uint32_t advance;              /* bytes from the end of a pixel's channels to the next pixel */
    uint32_t last;                 /* `place` at the end of the last pixel */
    uint32_t odd;                  /* list: whether the number of taps is odd */
    uint32_t place;                /* list: 0; 3x3: address of the first pixel's third tap */
    union {
        const int8_t **list_end;   /* of pairs of taps */
        int32_t column_step;       /* 3x3: bytes from a tap to the one before it */
    } r11;
    union {
        const int8_t **list;       /* addresses of the first pixel's taps */
        int32_t row_step;          /* 3x3: bytes from a tap to the one below it */
    } r12;
} frame;

/* Four channels (r0 to r3) of two taps, in r4 and r5, become pairs of halfwords: r5, r6, then r5, r4. */
#define PAIR                              \
    "pkhbt r6, r4, r5, lsl #16\n\t"       \
    "pkhtb r4, r5, r4, asr #16\n\t"
#define HALF                              \
    "sxtb16 r5, r6\n\t"                   \
    "sxtb16 r6, r6, ror #8\n\t"
#define OTHER                             \
    "sxtb16 r5, r4\n\t"                   \
    "sxtb16 r4, r4, ror #8\n\t"
#define ADD(sum, x, w) "smlad " sum ", " x ", " w ", " sum "\n\t"
#define WEIGHTS "ldm lr!, {r7-r9}\n\t"

/* A single tap, in r4: channels 0 and 2 with the halves of `w02`, 1 and 3 with those of `w13`. */
#define SINGLE(w02, w13)                  \
    OTHER                                 \
    "smlabb r0, r5, " w02 ", r0\n\t"      \
    "smlatt r2, r5, " w02 ", r2\n\t"      \
    "smlabb r1, r4, " w13 ", r1\n\t"      \
    "smlatt r3, r4, " w13 ", r3\n\t"

/* Nine taps of four channels: 59 instructions for 36 multiply-accumulates. r10: the third tap, r11: -column step, r12: row step. */
#define TAPS_3X3                                                            \
    "ldr r4, [r10, r11, lsl #1]\n\t"                                        \
    "ldr r5, [r10, r11]\n\t"                                                \
    PAIR WEIGHTS HALF ADD("r0", "r5", "r7") ADD("r1", "r6", "r8")           \
    OTHER ADD("r2", "r5", "r9") WEIGHTS ADD("r3", "r4", "r7")               \
    "ldr r4, [r10]\n\t"                                                     \
    "add r10, r10, r12\n\t"                                                 \
    "ldr r5, [r10, r11, lsl #1]\n\t"                                        \
    PAIR HALF ADD("r0", "r5", "r8") ADD("r1", "r6", "r9")                   \
    WEIGHTS OTHER ADD("r2", "r5", "r7") ADD("r3", "r4", "r8")               \
    "ldr r4, [r10, r11]\n\t"                                                \
    "ldr r5, [r10]\n\t"                                                     \
    "add r10, r10, r12\n\t"                                                 \
    PAIR HALF ADD("r0", "r5", "r9") WEIGHTS ADD("r1", "r6", "r7")           \
    OTHER ADD("r2", "r5", "r8") ADD("r3", "r4", "r9")                       \
    "ldr r4, [r10, r11, lsl #1]\n\t"                                        \
    "ldr r5, [r10, r11]\n\t"                                                \
    PAIR WEIGHTS HALF ADD("r0", "r5", "r7") ADD("r1", "r6", "r8")           \
    OTHER ADD("r2", "r5", "r9") WEIGHTS ADD("r3", "r4", "r7")               \
    "ldr r4, [r10], #4\n\t"                                                 \
    SINGLE("r8", "r9")                                                      \
    "sub r10, r10, r12, lsl #1\n\t"

/* Any number of taps: 17 instructions for two taps of four channels. r10: offset of the channels, r11: end of pairs, r12: list. */
#define TAPS_LIST                                     \
    "mov r9, r12\n"                                   \
    "2:\n\t"                                          \
    "ldrd r4, r5, [r9], #8\n\t"                       \
    "ldr r4, [r4, r10]\n\t"                           \
    "ldr r5, [r5, r10]\n\t"                           \
    "ldrd r7, r8, [lr], #8\n\t"                       \
    PAIR HALF ADD("r0", "r5", "r7") ADD("r1", "r6", "r8") \
    "ldrd r7, r8, [lr], #8\n\t"                       \
    OTHER ADD("r2", "r5", "r7") ADD("r3", "r4", "r8") \
    "cmp r9, r11\n\t"                                 \
    "bne 2b\n\t"                                      \
    "ldr r4, [sp, #20]\n\t"                           \
    "cbz r4, 3f\n\t"                                  \
    "ldr r4, [r9]\n\t"                                \
    "ldr r4, [r4, r10]\n\t"                           \
    "ldrd r7, r8, [lr], #8\n\t"                       \
    SINGLE("r7", "r8")                                \
    "3:\n\t"                                          \
    "add r10, r10, #4\n\t"

/* Where everything below the zero point is clamped: see tinyc_depthwise_3x3_relu_s8_dsp. */
#define RELU(acc, multiplier, rounding)                              \
    "smmla " acc ", " acc ", " multiplier ", " rounding "\n\t"       \
    "ssat " acc ", #8, " acc ", asr #10\n\t"
#define ALL_RELU                          \
    "ldm lr!, {r4-r7}\n\t"                \
    RELU("r0", "r4", "r6")                \
    RELU("r1", "r5", "r7")                \
    "bfi r0, r1, #8, #8\n\t"              \
    "ldm lr!, {r4-r7}\n\t"                \
    RELU("r2", "r4", "r6")                \
    "bfi r0, r2, #16, #8\n\t"             \
    RELU("r3", "r5", "r7")                \
    "bfi r0, r3, #24, #8\n\t"

/* `acc` holds twice the accumulator. The rounding term gets its sign, which makes the shift round half away from zero. */
#define ANY(acc)                                 \
    "ldm lr!, {r4-r6}\n\t"                       \
    "add r5, r5, " acc ", asr #31\n\t"           \
    "smmlar " acc ", " acc ", r4, r5\n\t"        \
    "asr " acc ", " acc ", r6\n\t"               \
    "ssat " acc ", #8, " acc "\n\t"
#define ALL_ANY                                  \
    ANY("r0")                                    \
    ANY("r1")                                    \
    "bfi r0, r1, #8, #8\n\t"                     \
    ANY("r2")                                    \
    "bfi r0, r2, #16, #8\n\t"                    \
    ANY("r3")                                    \
    "bfi r0, r3, #24, #8\n\t"

/* All channels of some pixels in a row, four at a time; they are read before their outputs are written. */
#define PIXELS(taps, requantize)             \
    __asm volatile(                          \
        "push {r4-r11, lr}\n\t"              \
        "ldm r0!, {r1-r6}\n\t"               \
        "push {r1-r6}\n\t"                   \
        "ldm r0, {r10-r12}\n"                \
        "5:\n\t" /* a pixel */               \
        "ldr lr, [sp, #4]\n"                 \
        "1:\n\t" /* four channels */         \
        "ldm lr!, {r0-r3}\n\t"               \
        taps                                 \
        requantize                           \
        "ldrd r4, r5, [sp, #8]\n\t"          \
        "str r0, [r10, r4]\n\t"              \
        "ldr r6, [sp]\n\t"                   \
        "cmp lr, r6\n\t"                     \
        "bne.w 1b\n\t"                       \
        "sub r4, r4, r5\n\t"                 \
        "str r4, [sp, #8]\n\t"               \
        "ldr r4, [sp, #16]\n\t"              \
        "cmp r10, r4\n\t"                    \
        "add r10, r10, r5\n\t"               \
        "bne.w 5b\n\t"                       \
        "add sp, sp, #24\n\t"                \
        "pop {r4-r11, pc}\n\t")

static TINYC_DSP_ASSEMBLY void pixels_3x3_relu(const frame *f __attribute__((unused))) {
    PIXELS(TAPS_3X3, ALL_RELU);
}

static TINYC_DSP_ASSEMBLY void pixels_3x3_any(const frame *f __attribute__((unused))) {
    PIXELS(TAPS_3X3, ALL_ANY);
}

static TINYC_DSP_ASSEMBLY void pixels_relu(const frame *f __attribute__((unused))) {
    PIXELS(TAPS_LIST, ALL_RELU);
}

static TINYC_DSP_ASSEMBLY void pixels_any(const frame *f __attribute__((unused))) {
    PIXELS(TAPS_LIST, ALL_ANY);
}

/* The addresses of a pixel's taps; `zeros`, a pixel of zero points, for those outside of the image. */
static void make_list(const tinyc_conv_2d_dsp_params *params, const tinyc_patch_place *at, const int8_t *zeros, const int8_t **list) {
    const int32_t column_step = params->dilation_width * params->input_depth;
    const int32_t row_step = params->dilation_height * params->input_width * params->input_depth;
    const int8_t *row = tinyc_patch_address(params, at);
    const int32_t x = at->x * params->stride_width - params->pad_width;
    int32_t y = at->y * params->stride_height - params->pad_height;
    for (int32_t ky = params->filter_height; ky > 0; ky--) {
        const uint32_t width = (uint32_t)y < (uint32_t)params->input_height ? (uint32_t)params->input_width : 0u;
        const int8_t *tap = row;
        int32_t column = x;
        for (int32_t kx = params->filter_width; kx > 0; kx--) {
            *list++ = (uint32_t)column < width ? tap : zeros;
            tap += column_step;
            column += params->dilation_width;
        }
        row += row_step;
        y += params->dilation_height;
    }
}

/* The last one to three channels of a pixel, whose word would reach beyond it: as four, from copies of their taps to a copy. */
static void last_channels(const tinyc_conv_2d_dsp_params *params, frame *f, int32_t taps, int8_t *output) {
    const int32_t count = params->input_depth & 3;
    const int32_t from = params->input_depth - count;
    const int8_t **const list = f->r12.list;
    int8_t *const spare = (int8_t *)(list + taps);
    int8_t *copy = spare + 4;
    for (int32_t tap = 0; tap < taps; tap++) {
        for (int32_t i = 0; i < count; i++) {
            copy[i] = list[tap][from + i];
        }
        list[tap] = copy;
        copy += 4;
    }
    f->to_output = (uint32_t)spare - 4u;
    f->last = 4;
    (params->relu ? pixels_relu : pixels_any)(f);
    for (int32_t i = 0; i < count; i++) {
        output[from + i] = spare[i];
    }
}

/* No `restrict`: the output may reach over the input's memory. */
TINYC_KERNEL void tinyc_depthwise_direct_s8_dsp(const tinyc_conv_2d_dsp_params *params, const int8_t *input, const int32_t *records,
                                                int8_t *output, void *scratch) {
    const int32_t depth = params->input_depth;
    const int32_t rest = depth & 3;
    const int32_t size = params->filter_height * params->filter_width;
    const int32_t taps = size > 1 ? size : 2;
    const int32_t block = (taps >> 1) * 4 + (taps & 1) * 2 + (params->relu ? 12 : 16);
    const int32_t *const records_end = records + (depth >> 2) * block;
    const int32_t is_3x3 = params->filter_height == 3 && params->filter_width == 3 && rest == 0;
    const int32_t step = params->stride_width * depth;
    const int32_t pixels = params->batches * params->output_height * params->output_width;
    const int8_t **const list = scratch;
    int8_t *const zeros = (int8_t *)(list + taps) + (rest ? 4 + 4 * taps : 0);
    int8_t *to = output;
    tinyc_patch_place at = {input, 0, 0, 0, 0};
    frame f;
    if (params->inside_right - params->inside_left < params->output_width ||
        params->inside_bottom - params->inside_top < params->output_height) {
        for (int32_t i = 0; i < depth; i++) {
            zeros[i] = (int8_t)params->input_zero_point;
        }
    }
    f.advance = (uint32_t)(step - depth);
    f.odd = (uint32_t)taps & 1u;
    for (int32_t left = pixels, run; left > 0; left -= run) {
        const int32_t inside = at.x >= params->inside_left && at.x < params->inside_right && tinyc_patch_row_is_inside(params, &at);
        run = inside && rest == 0 ? params->inside_right - at.x : 1;
        f.records = records;
        f.records_end = records_end;
        if (inside && is_3x3) {
            f.r11.column_step = -params->dilation_width * depth;
            f.r12.row_step = params->dilation_height * params->input_width * depth;
            f.place = (uint32_t)(tinyc_patch_address(params, &at) - 2 * f.r11.column_step);
        } else {
            make_list(params, &at, zeros, list);
            if (size == 1) {
                list[1] = list[0];
            }
            f.r11.list_end = list + (taps & ~1);
            f.r12.list = list;
            f.place = 0;
        }
        f.to_output = (uint32_t)to - 4u - f.place;
        f.last = f.place + (uint32_t)((run - 1) * step + depth - rest);
        if (inside && is_3x3) {
            (params->relu ? pixels_3x3_relu : pixels_3x3_any)(&f);
        } else if (depth > rest) {
            (params->relu ? pixels_relu : pixels_any)(&f);
        }
        if (rest > 0) {
            f.records = records_end;
            f.records_end = records_end + block;
            last_channels(params, &f, taps, to);
        }
        tinyc_patch_skip(params, &at, run);
        to += run * depth;
    }
    tinyc_dsp_clamp(output, pixels * depth, params->activation_min, params->activation_max);
}
