/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_mve.h"

#if !defined(__ARM_FEATURE_MVE) || !(__ARM_FEATURE_MVE & 1)
#error "tinyc_fully_connected_s8_mve.c needs Helium: compile with -mcpu=cortex-m55 or -mcpu=cortex-m85 (-march=armv8.1-m.main+mve)"
#endif

#include <arm_mve.h>

/* What the assembly reads. */
typedef struct {
    const int8_t *x;       /* depth bytes, rounded up to 16 */
    uint32_t rounds;       /* full rounds of the unrolled loop after the first, partial one */
    uint32_t ties;
    uint32_t skip;         /* bytes of code before the step that the first round begins with, plus 1 (Thumb) */
    int8_t *output;
    uint32_t units;
    const int32_t *stream;
    int32_t zero_point;    /* of the output */
} frame;

/* 16 k of eight channels: 128 multiply-accumulates in 17 instructions (68 bytes). */
#define STEP                                                       \
    "vldrb.u8 q0, [r1], #16\n\t"                                   \
    "vldrw.u32 q1, [r9], #16\n\t"                                  \
    "vldrw.u32 q2, [r9], #16\n\t"                                  \
    "vmladava.s8 r0, q0, q1\n\t"                                   \
    "vldrw.u32 q1, [r9], #16\n\t"                                  \
    "vmladava.s8 r2, q0, q2\n\t"                                   \
    "vldrw.u32 q2, [r9], #16\n\t"                                  \
    "vmladava.s8 r4, q0, q1\n\t"                                   \
    "vldrw.u32 q1, [r9], #16\n\t"                                  \
    "vmladava.s8 r6, q0, q2\n\t"                                   \
    "vldrw.u32 q2, [r9], #16\n\t"                                  \
    "vmladava.s8 r8, q0, q1\n\t"                                   \
    "vldrw.u32 q1, [r9], #16\n\t"                                  \
    "vmladava.s8 r10, q0, q2\n\t"                                  \
    "vldrw.u32 q2, [r9], #16\n\t"                                  \
    "vmladava.s8 r12, q0, q1\n\t"                                  \
    "vmladava.s8 lr, q0, q2\n\t"
#define STEP_BYTES 68
#define UNROLLED 8

/* All channels of one row. Stack: x, rounds, ties, where the first round begins. r5 output, r7 channels left, r9 stream, r11 zero
 * point. Narrowing interleaves the channels of r0, r2, r4, r6 (0, 2, 4, 6) with those of r8, r10, r12, lr (1, 3, 5, 7). */
static TINYC_MVE_ASSEMBLY void row(const frame *f __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "vpush {d8-d9}\n\t"
        "ldm r0, {r1-r5, r7, r9, r11}\n\t"
        "adr.w r0, 3f\n\t"
        "add r4, r4, r0\n\t"
        "push {r1-r4}\n"
        "1:\n\t" /* eight channels */
        "ldm sp, {r1, r3}\n\t"
        "ldm r9!, {r0, r2, r4, r6, r8, r10, r12, lr}\n\t"
        "ldr pc, [sp, #12]\n\t"
        ".p2align 2\n"
        "3:\n\t"
        STEP STEP STEP STEP STEP STEP STEP STEP
        "subs r3, r3, #1\n\t"
        "bpl.w 3b\n\t"
        "vmov q0[2], q0[0], r0, r4\n\t"
        "vmov q0[3], q0[1], r2, r6\n\t"
        "vmov q1[2], q1[0], r8, r12\n\t"
        "vmov q1[3], q1[1], r10, lr\n\t"
        "vldrw.u32 q2, [r9], #16\n\t"
        "vqrdmulh.s32 q0, q0, q2\n\t"
        "vldrw.u32 q3, [r9], #16\n\t"
        "vqrdmulh.s32 q1, q1, q3\n\t"
        "vldrw.u32 q2, [r9], #16\n\t"
        "vldrw.u32 q3, [r9], #16\n\t"
        "ldr r1, [sp, #8]\n\t"
        "cbz r1, 4f\n\t"
        "vand q4, q0, q2\n\t" /* a shift of 0 adds no sign */
        "vqdmlah.s32 q0, q4, r1\n\t"
        "vand q4, q1, q3\n\t"
        "vqdmlah.s32 q1, q4, r1\n"
        "4:\n\t"
        "vrshl.s32 q0, q0, q2\n\t"
        "vrshl.s32 q1, q1, q3\n\t"
        "vqmovnb.s32 q0, q0\n\t"
        "vqmovnt.s32 q0, q1\n\t"
        "vqadd.s16 q0, q0, r11\n\t"
        "vqmovnb.s16 q0, q0\n\t"
        "vctp.16 r7\n\t"
        "vpst\n\t"
        "vstrbt.16 q0, [r5], #8\n\t"
        "subs r7, r7, #8\n\t"
        "bgt.w 1b\n\t"
        "add sp, sp, #16\n\t"
        "vpop {d8-d9}\n\t"
        "pop {r4-r11, pc}\n\t");
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_fully_connected_s8_mve(const tinyc_fully_connected_mve_params *params, const int8_t *input,
                                               const int32_t *restrict stream, int8_t *output, void *scratch) {
    const int32_t depth = params->input_depth;
    const int32_t units = params->output_depth;
    const int32_t steps = (depth + 15) / 16;
    const int32_t rounds = (steps - 1) / UNROLLED;
    frame f;
    f.rounds = (uint32_t)rounds;
    f.ties = (uint32_t)params->ties;
    f.skip = (uint32_t)((UNROLLED - (steps - rounds * UNROLLED)) * STEP_BYTES) + 1u;
    f.units = (uint32_t)units;
    f.stream = stream;
    f.zero_point = params->output_zero_point;
    for (int32_t batch = 0; batch < params->batches; batch++) {
        f.x = input;
        if ((depth & 15) != 0) {
            /* Nothing past the row is read. */
            int8_t *const x = scratch;
            for (int32_t i = 0; i < depth; i += 16) {
                vstrbq_s8(x + i, vldrbq_z_s8(input + i, vctp8q((uint32_t)(depth - i))));
            }
            f.x = x;
        }
        f.output = output;
        row(&f);
        input += depth;
        output += units;
    }
    if (params->activation_min > -128 || params->activation_max < 127) {
        const int8x16_t lows = vdupq_n_s8((int8_t)params->activation_min);
        const int8x16_t highs = vdupq_n_s8((int8_t)params->activation_max);
        int8_t *data = output - params->batches * units;
        for (int32_t left = params->batches * units; left > 0; left -= 16) {
            const mve_pred16_t inside = vctp8q((uint32_t)left);
            vstrbq_p_s8(data, vminq_s8(vmaxq_s8(vldrbq_z_s8(data, inside), lows), highs), inside);
            data += 16;
        }
    }
}
