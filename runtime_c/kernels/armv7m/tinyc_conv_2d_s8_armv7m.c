/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"
#include "tinyc_packed_patches.h"

#if !defined(__thumb2__)
#error "tinyc_conv_2d_s8_armv7m.c needs Thumb-2 instructions: compile with -mcpu=cortex-m3 or the like"
#endif

/* What the channel loop keeps on its stack, in this order. */
typedef struct {
    int8_t *output_end[4];
    int32_t channel; /* minus the channels that are left */
    const uint32_t *x;
    const uint32_t *x_end;
    uint32_t skip; /* bytes of code before the group that the unrolled loop begins with */
} frame;

/* Four k of four pixels: 16 multiply-accumulates in 18 instructions (72 bytes of code). r10: packed pixels, lr: weights, r9: 0x8000,
 * r0 and r1: totals of the words and of their upper halves for pixels 0 and 1; r2 and r3 for pixels 2 and 3. */
#define GROUP                                \
    "ldm.w r10!, {r4, r5, r6, r7}\n\t"       \
    "ldrsb.w r8, [lr], #1\n\t"               \
    "mla r4, r4, r8, r9\n\t"                 \
    "mla r5, r5, r8, r9\n\t"                 \
    "ldrsb.w r8, [lr], #1\n\t"               \
    "mla r4, r6, r8, r4\n\t"                 \
    "mla r5, r7, r8, r5\n\t"                 \
    "ldm.w r10!, {r6, r7, r11, r12}\n\t"     \
    "ldrsb.w r8, [lr], #1\n\t"               \
    "mla r4, r6, r8, r4\n\t"                 \
    "mla r5, r7, r8, r5\n\t"                 \
    "ldrsb.w r8, [lr], #1\n\t"               \
    "mla r4, r11, r8, r4\n\t"                \
    "mla r5, r12, r8, r5\n\t"                \
    TOTALS
#define TOTALS                               \
    "add.w r0, r0, r4\n\t"                   \
    "add.w r1, r1, r4, asr #16\n\t"          \
    "add.w r2, r2, r5\n\t"                   \
    "add.w r3, r3, r5, asr #16\n\t"

/* Multiplier, rounding term and shift are in r4, r5 and r8. The first rounds exactly the thresholds that the compiler has checked; the
 * second rounds half away from zero by the sign of the accumulator, as TFLite Micro does. */
#define REQUANTIZE(acc)                                    \
    "smull r6, " acc ", " acc ", r4\n\t"                   \
    "add " acc ", " acc ", r5\n\t"                         \
    "asr " acc ", " acc ", r8\n\t"                         \
    "ssat " acc ", #8, " acc "\n\t"
#define REQUANTIZE_SIGNED(acc)                             \
    "lsl r6, " acc ", #1\n\t"                              \
    "smull r7, r6, r6, r4\n\t"                             \
    "lsls r7, r7, #1\n\t"                                  \
    "adc " acc ", r6, " acc ", asr #31\n\t"                \
    "add " acc ", " acc ", r5\n\t"                         \
    "asr " acc ", " acc ", r8\n\t"                         \
    "ssat " acc ", #8, " acc "\n\t"

/* All channels of `stream` for four packed pixels. Written in assembly because it needs all fourteen registers; compilers spill. */
static __attribute__((naked, noinline)) void channels(const frame *f __attribute__((unused)),
                                                      const int32_t *stream __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "ldm r0, {r2-r9}\n\t"
        "adr r10, 2f\n\t"
        "add r9, r9, r10\n\t"
        "orr r9, r9, #1\n\t"
        "push {r2-r9}\n\t"
        "mov lr, r1\n\t"
        "movw r9, #0x8000\n"
        "1:\n\t" /* a channel */
        "ldm lr!, {r0, r1}\n\t"
        "ldr r10, [sp, #20]\n\t"
        "mov r2, r0\n\t"
        "mov r3, r1\n\t"
        "ldr pc, [sp, #28]\n\t"
        ".p2align 2\n"
        "2:\n\t"
        GROUP GROUP GROUP GROUP
        "ldr r8, [sp, #24]\n\t"
        "cmp r10, r8\n\t"
        "bne.w 2b\n"
        "3:\n\t"
        "ldr r8, [lr], #4\n\t"
        "lsls r6, r8, #1\n\t" /* carry: a correction; negative: signed */
        "bcs 6f\n\t"
        "ldm lr!, {r4, r5}\n\t"
        "sub r0, r0, r1, lsl #16\n\t"
        "sub r2, r2, r3, lsl #16\n\t"
        "bmi 5f\n\t"
        REQUANTIZE("r0") REQUANTIZE("r1") REQUANTIZE("r2") REQUANTIZE("r3")
        "4:\n\t"
        "ldm sp, {r4, r5, r6, r7, r12}\n\t"
        "strb r0, [r4, r12]\n\t"
        "strb r1, [r5, r12]\n\t"
        "strb r2, [r6, r12]\n\t"
        "strb r3, [r7, r12]\n\t"
        "ubfx r8, r8, #16, #14\n\t"
        "adds r12, r12, r8\n\t"
        "str r12, [sp, #16]\n\t"
        "bne.w 1b\n\t"
        "add sp, sp, #32\n\t"
        "pop {r4-r11, pc}\n"
        "5:\n\t"
        REQUANTIZE_SIGNED("r0") REQUANTIZE_SIGNED("r1") REQUANTIZE_SIGNED("r2") REQUANTIZE_SIGNED("r3")
        "b 4b\n"
        "6:\n\t" /* a correction: one weight of one k */
        "ldr r4, [sp, #20]\n\t"
        "lsr r6, r6, #9\n\t"
        "add r4, r4, r6\n\t"
        "ldrd r4, r5, [r4]\n\t"
        "sxtb r8, r8\n\t"
        "mla r4, r4, r8, r9\n\t"
        "mla r5, r5, r8, r9\n\t"
        TOTALS
        "b 3b\n\t");
}

/* Unrolled by hand, so that the optimization level does not matter. */
static uint32_t *pack(const int8_t *const from[4], int32_t count, uint32_t *x) {
    const int8_t *a = from[0];
    const int8_t *b = from[1];
    const int8_t *c = from[2];
    const int8_t *d = from[3];
    int32_t left = count;
#define PACK(k)                                                                     \
    x[2 * (k)] = (uint32_t)a[k] + ((uint32_t)b[k] << 16);                           \
    x[2 * (k) + 1] = (uint32_t)c[k] + ((uint32_t)d[k] << 16);
    for (; left >= 4; left -= 4) {
        PACK(0)
        PACK(1)
        PACK(2)
        PACK(3)
        a += 4;
        b += 4;
        c += 4;
        d += 4;
        x += 8;
    }
    for (int32_t k = 0; k < left; k++) {
        PACK(k)
    }
#undef PACK
    return x + 2 * left;
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_conv_2d_s8_armv7m(const tinyc_conv_2d_packed_params *params, const int8_t *input,
                                          const int32_t *restrict stream, int8_t *output, void *scratch) {
    const tinyc_conv_2d_packed_params *const p = params;
    uint32_t *const x = scratch;
    tinyc_patches patches;
    frame f;
    f.x = x;
    f.x_end = x + 8 * p->groups;
    f.skip = (uint32_t)(-p->groups & 3) * 72u;
    tinyc_patches_begin(&patches, p, input, (int8_t *)(x + 8 * p->groups), output);
    while (patches.left > 0) {
        tinyc_patches_next(&patches, p, stream, x, f.output_end);
        f.channel = p->first_channel - p->output_depth;
        if (f.channel < 0) {
            channels(&f, stream + p->constants);
        }
    }
    if (p->activation_min > -128 || p->activation_max < 127) {
        for (int32_t i = 0; i < p->pixels * p->output_depth; i++) {
            output[i] = (int8_t)tinyc_clamp(output[i], p->activation_min, p->activation_max);
        }
    }
}
