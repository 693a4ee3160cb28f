/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_dsp.h"
#include "tinyc_fixed_point.h"

/* What the function in assembly copies to its stack, in this order. */
typedef struct {
    const uint32_t *x;          /* the row as halfwords, of each four the words (0, 2) and (1, 3) */
    const uint32_t *x_end;
    const int32_t *stream;
    const int32_t *stream_end;
    int8_t *output;
    uint32_t skip;              /* bytes of code before the step that the unrolled loop begins with */
} frame;

/* Four k of four channels: 16 multiply-accumulates in 13 instructions. r0, r1, r2, r3 hold channel 0, channels 0 and 1 stacked, channel 2,
 * channels 2 and 3 stacked. */
#define FOUR(even, odd)                \
    "ldm lr!, {r8-r11}\n\t"            \
    "smlad r1, " even ", r8, r1\n\t"   \
    "sxtb16 r8, r8\n\t"                \
    "smlad r3, " even ", r9, r3\n\t"   \
    "sxtb16 r9, r9\n\t"                \
    "smlad r0, " even ", r8, r0\n\t"   \
    "smlad r2, " even ", r9, r2\n\t"   \
    "smlad r1, " odd ", r10, r1\n\t"   \
    "sxtb16 r10, r10\n\t"              \
    "smlad r3, " odd ", r11, r3\n\t"   \
    "sxtb16 r11, r11\n\t"              \
    "smlad r0, " odd ", r10, r0\n\t"   \
    "smlad r2, " odd ", r11, r2\n\t"

/* Eight k (108 bytes of code). */
#define STEP "ldm r12!, {r4-r7}\n\t" FOUR("r4", "r5") FOUR("r6", "r7")
#define STEP_BYTES 108u

/* `acc` holds twice the accumulator. The rounding term gets its sign, which makes the shift round half away from zero. */
#define REQUANTIZE(acc)                       \
    "add r7, r9, " acc ", asr #31\n\t"        \
    "smmlar " acc ", " acc ", r8, r7\n\t"     \
    "asr " acc ", " acc ", r10\n\t"           \
    "ssat " acc ", #8, " acc "\n\t"           \
    "strb " acc ", [r12], #1\n\t"

static TINYC_DSP_ASSEMBLY void blocks(const frame *f __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "ldm r0, {r1-r6}\n\t"
        "adr r8, 2f\n\t"
        "add r6, r6, r8\n\t"
        "add r6, r6, #1\n\t"
        "push {r1-r6}\n\t"
        "mov lr, r3\n"
        "1:\n\t" /* four channels */
        "ldr r12, [sp]\n\t"
        "ldm lr!, {r0-r3}\n\t"
        "ldr pc, [sp, #20]\n\t"
        ".p2align 2\n"
        "2:\n\t"
        STEP STEP STEP STEP
        "ldr r8, [sp, #4]\n\t"
        "cmp r12, r8\n\t"
        "bne.w 2b\n\t"
        "ldr r12, [sp, #16]\n\t"
        "ldm lr!, {r8-r10}\n\t"
        "sub r1, r1, r0\n\t" /* 256 times channel 1 */
        "sub r3, r3, r2\n\t"
        "lsl r0, r0, #1\n\t"
        REQUANTIZE("r0")
        "ldm lr!, {r8-r10}\n\t"
        "asr r1, r1, #7\n\t" /* twice channel 1, exactly */
        REQUANTIZE("r1")
        "ldm lr!, {r8-r10}\n\t"
        "lsl r2, r2, #1\n\t"
        REQUANTIZE("r2")
        "ldm lr!, {r8-r10}\n\t"
        "asr r3, r3, #7\n\t"
        REQUANTIZE("r3")
        "str r12, [sp, #16]\n\t"
        "ldr r4, [sp, #12]\n\t"
        "cmp lr, r4\n\t"
        "bne.w 1b\n\t"
        "add sp, sp, #24\n\t"
        "pop {r4-r11, pc}\n\t");
}

/* Never reads past the row. */
static void widen(const int8_t *row, int32_t depth, uint32_t *x) {
    for (; depth >= 4; depth -= 4) {
        uint32_t four;
        uint32_t even;
        uint32_t odd;
        __builtin_memcpy(&four, row, 4);
        row += 4;
        __asm("sxtb16 %0, %1" : "=r"(even) : "r"(four));
        __asm("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(four));
        x[0] = even;
        x[1] = odd;
        x += 2;
    }
    if (depth > 0) {
        const uint32_t third = depth > 2 ? (uint32_t)row[2] << 16 : 0u;
        x[0] = (uint32_t)(uint16_t)row[0] | third;
        x[1] = depth > 1 ? (uint32_t)(uint16_t)row[1] : 0u;
    }
}

TINYC_KERNEL void tinyc_fully_connected_s8_dsp(const tinyc_fully_connected_dsp_params *params, const int8_t *input, const int32_t *stream,
                                               int8_t *output, void *scratch) {
    const int32_t depth = params->input_depth;
    const int32_t padded = (depth + 7) & ~7;
    const int32_t whole = params->output_depth & ~3;
    const int32_t rest = params->output_depth & 3;
    uint32_t *const x = scratch;
    frame f;
    f.x = x;
    f.x_end = x + padded / 2;
    f.skip = (uint32_t)(-(padded / 8) & 3) * STEP_BYTES;
    for (int32_t row = params->batches; row > 0; row--) {
        int8_t *const spare = (int8_t *)(x + padded / 2);
        widen(input, depth, x);
        f.output = output;
        f.stream = stream;
        f.stream_end = stream + (padded + 16) * (whole / 4);
        if (whole > 0) {
            blocks(&f);
        }
        if (rest > 0) {
            f.output = spare;
            f.stream = f.stream_end;
            f.stream_end = f.stream + padded + 16;
            blocks(&f);
            for (int32_t i = 0; i < rest; i++) {
                output[whole + i] = spare[i];
            }
        }
        if (params->activation_min > -128 || params->activation_max < 127) {
            for (int32_t i = 0; i < params->output_depth; i++) {
                output[i] = (int8_t)tinyc_clamp(output[i], params->activation_min, params->activation_max);
            }
        }
        input += depth;
        output += params->output_depth;
    }
}
