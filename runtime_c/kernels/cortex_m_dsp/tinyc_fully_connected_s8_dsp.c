/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_dsp.h"

/* What the function in assembly copies to its stack, in this order. */
typedef struct {
    const uint32_t *x;          /* inputs as halfwords, of each four the words (0, 2) and (1, 3) */
    const uint32_t *x_end;
    const int32_t *stream;
    const int32_t *stream_end;
    int8_t *output;
    uint32_t direct;            /* 1: some inputs are used as they are, else 0 */
    const int8_t *direct_inputs;
    const int8_t *direct_end;
    uint32_t direct_skip;       /* bytes of code before the fours that the unrolled loop begins with */
    uint32_t skip;              /* the same for the steps of the other loop */
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

/* Four k, perhaps unaligned, that are not halfwords yet (64 bytes of code). */
#define DIRECT                             \
    "ldr r5, [r12], #4\n\t"                \
    "sxtb16 r4, r5\n\t"                    \
    "sxtb16 r5, r5, ror #8\n\t"            \
    FOUR("r4", "r5")
#define DIRECT_BYTES 64u

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
        "ldm r0, {r1-r10}\n\t"
        "adr r11, 2f\n\t"
        "add r10, r10, r11\n\t"
        "add r10, r10, #1\n\t"
        "adr r11, 5f\n\t"
        "add r9, r9, r11\n\t"
        "add r9, r9, #1\n\t"
        "adr r11, 4f\n\t"
        "cmp r6, #0\n\t"
        "ite ne\n\t"
        "addne r6, r11, #1\n\t"
        "moveq r6, r10\n\t"
        "push {r1-r10}\n\t"
        "mov lr, r3\n"
        "1:\n\t" /* four channels */
        "ldr r12, [sp]\n\t"
        "ldm lr!, {r0-r3}\n\t"
        "ldr pc, [sp, #20]\n\t"
        ".p2align 2\n"
        "4:\n\t" /* inputs as they are */
        "ldrd r12, r7, [sp, #24]\n\t"
        "ldr pc, [sp, #32]\n\t"
        ".p2align 2\n"
        "5:\n\t"
        DIRECT DIRECT DIRECT DIRECT
        "cmp r12, r7\n\t"
        "bne.w 5b\n\t"
        "ldr r12, [sp]\n\t"
        "ldr pc, [sp, #36]\n\t"
        ".p2align 2\n"
        "2:\n\t" /* inputs as halfwords */
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
        "add sp, sp, #40\n\t"
        "pop {r4-r11, pc}\n\t");
}

/* Eight values at a time. */
static TINYC_DSP_ASSEMBLY void widen_eights(const int8_t *from __attribute__((unused)), uint32_t *x __attribute__((unused)),
                                            int32_t eights __attribute__((unused))) {
    __asm volatile(
        "push {r4-r7}\n"
        "1:\n\t"
        "ldr r5, [r0], #4\n\t"
        "ldr r7, [r0], #4\n\t"
        "sxtb16 r4, r5\n\t"
        "sxtb16 r5, r5, ror #8\n\t"
        "sxtb16 r6, r7\n\t"
        "sxtb16 r7, r7, ror #8\n\t"
        "stm r1!, {r4-r7}\n\t"
        "subs r2, r2, #1\n\t"
        "bne 1b\n\t"
        "pop {r4-r7}\n\t"
        "bx lr\n\t");
}

/* One to seven values; never reads past them. What is left of eight stays as it is: its weights are 0. */
static void widen_last(const int8_t *from, int32_t count, uint32_t *x) {
    if (count >= 4) {
        uint32_t four;
        __builtin_memcpy(&four, from, 4);
        __asm("sxtb16 %0, %1" : "=r"(x[0]) : "r"(four));
        __asm("sxtb16 %0, %1, ror #8" : "=r"(x[1]) : "r"(four));
        from += 4;
        count -= 4;
        x += 2;
    }
    if (count > 0) {
        const uint32_t third = count > 2 ? (uint32_t)from[2] << 16 : 0u;
        x[0] = (uint32_t)(uint16_t)from[0] | third;
        x[1] = count > 1 ? (uint32_t)(uint16_t)from[1] : 0u;
    }
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_fully_connected_s8_dsp(const tinyc_fully_connected_dsp_params *params, const int8_t *input, const int32_t *stream,
                                               int8_t *output, void *scratch) {
    const int32_t depth = params->input_depth;
    const int32_t eights = params->widened >> 3;
    const int32_t last = params->widened & 7;
    const int32_t direct = depth - params->widened;
    const int32_t padded = (params->widened + 7) & ~7;
    const int32_t block = direct + padded + 16;
    const int32_t whole = params->output_depth & ~3;
    const int32_t rest = params->output_depth & 3;
    uint32_t *const x = scratch;
    int8_t *const spare = (int8_t *)(x + padded / 2);
    frame f;
    f.x = x;
    f.x_end = x + padded / 2;
    f.direct = direct > 0;
    f.direct_skip = (uint32_t)(-(direct / 4) & 3) * DIRECT_BYTES;
    f.skip = (uint32_t)(-(padded / 8) & 3) * STEP_BYTES;
    for (int32_t row = params->batches; row > 0; row--) {
        f.direct_inputs = input + eights * 8;
        f.direct_end = f.direct_inputs + direct;
        if (eights > 0) {
            widen_eights(input, x, eights);
        }
        if (last > 0) {
            widen_last(f.direct_end, last, x + eights * 4);
        }
        f.output = output;
        f.stream = stream;
        f.stream_end = stream + block * (whole / 4);
        if (whole > 0) {
            blocks(&f);
        }
        if (rest > 0) {
            f.output = spare;
            f.stream = f.stream_end;
            f.stream_end = f.stream + block;
            blocks(&f);
            for (int32_t i = 0; i < rest; i++) {
                output[whole + i] = spare[i];
            }
        }
        tinyc_dsp_clamp(output, params->output_depth, params->activation_min, params->activation_max);
        input += depth;
        output += params->output_depth;
    }
}
