/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"

#if !defined(__ARM_FEATURE_DSP)
#error "tinyc_conv_1x1_s8_dsp.c needs the DSP extension: compile with -mcpu=cortex-m4, cortex-m7, cortex-m33 or the like"
#endif

#include <arm_acle.h>

/* What the channel loop keeps on its stack, in this order. */
typedef struct {
    int8_t *output_0;
    int8_t *output_1;
    const uint32_t *x_end;
    const uint32_t *x;
    const int32_t *stream_end;
    uint32_t skip; /* bytes of code before the step that the unrolled loop begins with */
} frame;

/* One step: two k, four channels, two pixels: 16 multiply-accumulates in 12 instructions (48 bytes of code).
 * r0, r1, r2, r3 hold channel 0, channels 0 and 1 stacked, channel 2, channels 2 and 3 stacked of pixel 0; r4 to r7 of pixel 1. */
#define STEP                       \
    "ldrd r10, r11, [lr], #8\n\t"  \
    "ldrd r8, r9, [r12], #8\n\t"   \
    "smlad r1, r8, r10, r1\n\t"    \
    "smlad r5, r9, r10, r5\n\t"    \
    "sxtb16 r10, r10\n\t"          \
    "smlad r0, r8, r10, r0\n\t"    \
    "smlad r4, r9, r10, r4\n\t"    \
    "smlad r3, r8, r11, r3\n\t"    \
    "smlad r7, r9, r11, r7\n\t"    \
    "sxtb16 r11, r11\n\t"          \
    "smlad r2, r8, r11, r2\n\t"    \
    "smlad r6, r9, r11, r6\n\t"

/* The first step: both pixels start from the biases in r0 to r3. */
#define FIRST_STEP                 \
    "ldrd r10, r11, [lr], #8\n\t"  \
    "ldrd r8, r9, [r12], #8\n\t"   \
    "smlad r5, r9, r10, r1\n\t"    \
    "smlad r1, r8, r10, r1\n\t"    \
    "sxtb16 r10, r10\n\t"          \
    "smlad r4, r9, r10, r0\n\t"    \
    "smlad r0, r8, r10, r0\n\t"    \
    "smlad r7, r9, r11, r3\n\t"    \
    "smlad r3, r8, r11, r3\n\t"    \
    "sxtb16 r11, r11\n\t"          \
    "smlad r6, r9, r11, r2\n\t"    \
    "smlad r2, r8, r11, r2\n\t"

/* `acc` holds twice the accumulator; multiplier, rounding and shift are in r8, r9, r10. The rounding term gets the accumulator's sign,
 * which makes the shift round half away from zero. */
#define REQUANTIZE(acc, temporary)                         \
    "add " temporary ", r9, " acc ", asr #31\n\t"          \
    "smmlar " acc ", " acc ", r8, " temporary "\n\t"       \
    "asr " acc ", " acc ", r10\n\t"                        \
    "ssat " acc ", #8, " acc "\n\t"

/* All channel blocks of `stream` for two widened pixels. Written in assembly because it needs all fourteen registers; compilers spill. */
static __attribute__((naked, noinline)) void channels(const frame *f __attribute__((unused)),
                                                      const int32_t *stream __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "ldm r0, {r2-r7}\n\t"
        "adr r8, 2f\n\t"
        "add r7, r7, r8\n\t"
        "orr r7, r7, #1\n\t"
        "push {r2-r7}\n\t"
        "mov lr, r1\n"
        "1:\n\t" /* four channels */
        "ldr r12, [sp, #12]\n\t"
        "ldm lr!, {r0-r3}\n\t"
        FIRST_STEP
        "ldr pc, [sp, #20]\n\t"
        ".p2align 2\n"
        "2:\n\t"
        STEP STEP STEP STEP STEP STEP STEP STEP
        "ldr r8, [sp, #8]\n\t"
        "cmp r12, r8\n\t"
        "bne.w 2b\n\t"
        "ldm lr!, {r8-r10}\n\t"
        "sub r1, r1, r0\n\t" /* 256 times channel 1 */
        "sub r5, r5, r4\n\t"
        "lsl r0, r0, #1\n\t"
        REQUANTIZE("r0", "r11")
        "lsl r4, r4, #1\n\t"
        REQUANTIZE("r4", "r9")
        "ldrd r11, r12, [sp]\n\t"
        "strb r0, [r11], #1\n\t"
        "strb r4, [r12], #1\n\t"
        "ldm lr!, {r8-r10}\n\t"
        "asr r1, r1, #7\n\t" /* twice channel 1, exactly */
        REQUANTIZE("r1", "r0")
        "strb r1, [r11], #1\n\t"
        "asr r5, r5, #7\n\t"
        REQUANTIZE("r5", "r0")
        "strb r5, [r12], #1\n\t"
        "ldm lr!, {r8-r10}\n\t"
        "sub r3, r3, r2\n\t"
        "sub r7, r7, r6\n\t"
        "lsl r2, r2, #1\n\t"
        REQUANTIZE("r2", "r0")
        "strb r2, [r11], #1\n\t"
        "lsl r6, r6, #1\n\t"
        REQUANTIZE("r6", "r0")
        "strb r6, [r12], #1\n\t"
        "ldm lr!, {r8-r10}\n\t"
        "asr r3, r3, #7\n\t"
        REQUANTIZE("r3", "r0")
        "strb r3, [r11], #1\n\t"
        "asr r7, r7, #7\n\t"
        REQUANTIZE("r7", "r0")
        "strb r7, [r12], #1\n\t"
        "strd r11, r12, [sp]\n\t"
        "ldr r0, [sp, #16]\n\t"
        "cmp lr, r0\n\t"
        "bne.w 1b\n\t"
        "add sp, sp, #24\n\t"
        "pop {r4-r11, pc}\n\t");
}

/* Widens `depth` bytes to halfwords, four at a time to the words (0, 2) and (1, 3), at every other pair of words of `x`; the last
 * four are padded with zeros. Never reads past the pixel. */
static void widen(const int8_t *pixel, int32_t depth, uint32_t *x) {
    int32_t left = depth;
    for (; left >= 4; left -= 4) {
        uint32_t four;
        __builtin_memcpy(&four, pixel, 4);
        pixel += 4;
        x[0] = (uint32_t)__sxtb16((int8x4_t)four);
        x[2] = (uint32_t)__sxtb16((int8x4_t)(four >> 8 | four << 24));
        x += 4;
    }
    if (left > 0) {
        const uint32_t first = (uint32_t)(uint16_t)pixel[0];
        const uint32_t second = left > 1 ? (uint32_t)(uint16_t)pixel[1] : 0u;
        const uint32_t third = left > 2 ? (uint32_t)(uint16_t)pixel[2] : 0u;
        x[0] = first | third << 16;
        x[2] = second;
    }
}

static void clamp(int8_t *data, int32_t count, int32_t low, int32_t high) {
    for (int32_t i = 0; i < count; i++) {
        data[i] = (int8_t)tinyc_clamp(data[i], low, high);
    }
}

TINYC_KERNEL void tinyc_conv_1x1_s8_dsp(const tinyc_conv_1x1_dsp_params *params, const int8_t *restrict input,
                                        const int32_t *restrict stream, int8_t *restrict output, void *scratch) {
    const int32_t depth = params->input_depth;
    const int32_t filters = params->output_depth;
    int8_t *const first = output;
    const int32_t padded = (depth + 3) & ~3;
    uint32_t *const x = scratch;
    int8_t *const spare = (int8_t *)(x + padded);
    const int32_t whole = filters & ~3;
    const int32_t *const stream_tail = stream + (padded + 16) * (whole / 4);
    frame f;
    f.x = x;
    f.x_end = x + padded;
    /* After the first step, padded / 2 - 1 are left, an odd number; the unrolled loop has 8. */
    f.skip = (uint32_t)(8 - ((padded / 2 - 1) & 7)) * 48u;
    for (int32_t pixels = params->pixels; pixels > 0; pixels -= 2) {
        /* A last single pixel is computed twice, to the same place. */
        const int32_t second = pixels > 1 ? 1 : 0;
        widen(input, depth, x);
        widen(input + second * depth, depth, x + 1);
        f.output_0 = output;
        f.output_1 = output + second * filters;
        f.stream_end = stream_tail;
        if (whole > 0) {
            channels(&f, stream);
        }
        if (whole < filters) {
            f.output_0 = spare;
            f.output_1 = spare + 4;
            f.stream_end = stream_tail + padded + 16;
            channels(&f, stream_tail);
            for (int32_t o = whole; o < filters; o++) {
                output[o] = spare[o - whole];
                output[second * filters + o] = spare[4 + o - whole];
            }
        }
        input += 2 * depth;
        output += 2 * filters;
    }
    if (params->activation_min > -128 || params->activation_max < 127) {
        clamp(first, params->pixels * filters, params->activation_min, params->activation_max);
    }
}
