/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_mve.h"

#if !defined(__ARM_FEATURE_MVE) || !(__ARM_FEATURE_MVE & 1)
#error "tinyc_add_s8_mve.c needs Helium: compile with -mcpu=cortex-m55 or -mcpu=cortex-m85 (-march=armv8.1-m.main+mve)"
#endif

#include <arm_mve.h>

/* What the assembly reads. */
typedef struct {
    const int8_t *halved;
    const int8_t *scaled;
    int8_t *output;
    int32_t halved_offset;      /* times 8 */
    int32_t scaled_offset;      /* times 16 */
    int32_t scaled_multiplier;
    int32_t scaled_shift;       /* 0 or negative */
    int32_t scaled_ties;
    int32_t output_multiplier;
    int32_t output_shift;
    int32_t output_ties;
    int32_t output_offset;
    uint32_t eights;            /* >= 1 */
} frame;

/* Eight elements at a time, even ones apart from odd ones as soon as they have 32 bits. */
static TINYC_MVE_ASSEMBLY void add(const frame *f __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "vpush {d8-d15}\n\t"
        "ldr lr, [r0, #48]\n\t"
        "ldm r0, {r1-r12}\n\t"
        "vmov.i16 q6, #16\n\t"
        "vmov.i16 q7, #8\n\t"
        "dls lr, lr\n"
        "1:\n\t"
        "vldrb.s16 q1, [r2], #8\n\t"
        "vldrb.s16 q0, [r1], #8\n\t"
        "vmlas.s16 q1, q6, r5\n\t" /* (x + offset) << 4 */
        "vmlas.s16 q0, q7, r4\n\t" /* (x + offset) << 3 */
        "vshllb.s16 q2, q1, #16\n\t"
        "vshllt.s16 q3, q1, #16\n\t"
        "vqrdmulh.s32 q2, q2, r6\n\t"
        "vqrdmulh.s32 q3, q3, r6\n\t"
        TINYC_MVE_TIES("q2", "r8", "q3", "r8")
        "vrshl.s32 q2, r7\n\t"
        "vrshl.s32 q3, r7\n\t"
        "vshllb.s16 q4, q0, #16\n\t"
        "vshllt.s16 q5, q0, #16\n\t"
        "vadd.i32 q2, q2, q4\n\t"
        "vadd.i32 q3, q3, q5\n\t"
        "vqrdmulh.s32 q2, q2, r9\n\t"
        "vqrdmulh.s32 q3, q3, r9\n\t"
        TINYC_MVE_TIES("q2", "r11", "q3", "r11")
        "vrshl.s32 q2, r10\n\t"
        "vrshl.s32 q3, r10\n\t"
        "vqmovnb.s32 q2, q2\n\t"
        "vqmovnt.s32 q2, q3\n\t"
        "vqadd.s16 q2, q2, r12\n\t"
        "vqmovnb.s16 q2, q2\n\t"
        "vstrb.16 q2, [r3], #8\n\t"
        "le lr, 1b\n\t"
        "vpop {d8-d15}\n\t"
        "pop {r4-r11, pc}\n\t");
}

/* No `restrict`: the output may be the memory of an input. */
TINYC_KERNEL void tinyc_add_s8_mve(const tinyc_add_mve_params *params, const int8_t *halved, const int8_t *scaled, int8_t *output) {
    const tinyc_add_mve_params *const p = params;
    const int32_t rest = p->size & 7;
    const int32_t whole = p->size - rest;
    frame f = {
        .halved = halved,
        .scaled = scaled,
        .output = output,
        .halved_offset = 8 * p->halved_offset,
        .scaled_offset = 16 * p->scaled_offset,
        .scaled_multiplier = p->scaled_multiplier,
        .scaled_shift = -p->scaled_right_shift,
        .scaled_ties = p->scaled_right_shift > 0 ? 1 : 0,
        .output_multiplier = p->output_multiplier,
        .output_shift = -p->output_right_shift,
        .output_ties = p->output_right_shift > 0 ? 1 : 0,
        .output_offset = p->output_offset,
        .eights = (uint32_t)whole / 8u,
    };
    if (whole > 0) {
        add(&f);
    }
    if (rest > 0) {
        /* The last ones in copies, so that nothing outside the tensors is touched. */
        int8_t first[8] = {0};
        int8_t second[8] = {0};
        int8_t sum[8];
        for (int32_t i = 0; i < rest; i++) {
            first[i] = halved[whole + i];
            second[i] = scaled[whole + i];
        }
        f.halved = first;
        f.scaled = second;
        f.output = sum;
        f.eights = 1;
        add(&f);
        for (int32_t i = 0; i < rest; i++) {
            output[whole + i] = sum[i];
        }
    }
    if (p->activation_min > -128 || p->activation_max < 127) {
        const int8x16_t lows = vdupq_n_s8((int8_t)p->activation_min);
        const int8x16_t highs = vdupq_n_s8((int8_t)p->activation_max);
        for (int32_t left = p->size; left > 0; left -= 16) {
            const mve_pred16_t inside = vctp8q((uint32_t)left);
            vstrbq_p_s8(output, vminq_s8(vmaxq_s8(vldrbq_z_s8(output, inside), lows), highs), inside);
            output += 16;
        }
    }
}
