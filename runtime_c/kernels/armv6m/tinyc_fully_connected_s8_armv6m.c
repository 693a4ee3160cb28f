/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_requantize_armv6m.h"

#if !defined(__thumb__)
#error "tinyc_fully_connected_s8_armv6m.c needs Thumb instructions: compile with -mcpu=cortex-m0plus or the like"
#endif

/* One weight of the four in r4, times r3. */
#define MAC(acc)             \
    "sxtb r5, r4\n\t"        \
    "muls r5, r3, r5\n\t"    \
    "add " acc ", r5\n\t"    \
    "asrs r4, r4, #8\n\t"
#define LAST_MAC(acc)        \
    "muls r4, r3, r4\n\t"    \
    "add " acc ", r4\n\t"

/* sums[i] += sum over k of x[k] * weights[8 * k + i], count >= 1: 8 multiply-accumulates in 33 instructions. In assembly because compilers
 * keep no sums in the high registers. */
static __attribute__((naked, noinline)) void dot_8(const int8_t *x __attribute__((unused)), int32_t count __attribute__((unused)),
                                                   const int32_t *weights __attribute__((unused)),
                                                   int32_t sums[8] __attribute__((unused))) {
    __asm volatile(
        ".syntax unified\n\t"
        "push {r3-r7, lr}\n\t"
        "mov r4, r8\n\t"
        "mov r5, r9\n\t"
        "mov r6, r10\n\t"
        "mov r7, r11\n\t"
        "push {r4-r7}\n\t"
        "ldmia r3!, {r4-r7}\n\t"
        "mov r8, r4\n\t"
        "mov r9, r5\n\t"
        "mov r10, r6\n\t"
        "mov r11, r7\n\t"
        "ldmia r3!, {r4-r7}\n\t"
        "mov r12, r4\n\t"
        "mov lr, r5\n\t"
        "adds r0, r0, r1\n\t"
        "rsbs r1, r1, #0\n"
        "1:\n\t"
        "ldrsb r3, [r0, r1]\n\t"
        "ldmia r2!, {r4}\n\t"
        MAC("r8") MAC("r9") MAC("r10") LAST_MAC("r11")
        "ldmia r2!, {r4}\n\t"
        MAC("r12") MAC("lr") MAC("r6") LAST_MAC("r7")
        "adds r1, r1, #1\n\t"
        "bne 1b\n\t"
        "ldr r3, [sp, #16]\n\t"
        "mov r0, r8\n\t"
        "mov r1, r9\n\t"
        "mov r2, r10\n\t"
        "mov r4, r11\n\t"
        "stmia r3!, {r0, r1, r2, r4}\n\t"
        "mov r4, r12\n\t"
        "mov r5, lr\n\t"
        "stmia r3!, {r4-r7}\n\t"
        "pop {r4-r7}\n\t"
        "mov r8, r4\n\t"
        "mov r9, r5\n\t"
        "mov r10, r6\n\t"
        "mov r11, r7\n\t"
        "pop {r3-r7, pc}\n\t");
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_fully_connected_s8_armv6m(const tinyc_fully_connected_armv6m_params *params, const int8_t *input,
                                                  const int32_t *restrict stream, int8_t *output) {
    const tinyc_fully_connected_armv6m_params *const p = params;
    const int32_t *const records = stream + ((p->output_depth + 7) / 8) * (2 * p->input_depth + 8);
    const int32_t step = p->one_record != 0 ? 0 : 1 + p->record;
    for (int32_t row = 0; row < p->rows; row++) {
        const int32_t *next = stream;
        const int32_t *record = records;
        for (int32_t left = p->output_depth; left > 0; left -= 8) {
            int32_t sums[8];
            for (int32_t i = 0; i < 8; i++) {
                sums[i] = next[i];
            }
            dot_8(input, p->input_depth, next + 8, sums);
            next += 8 + 2 * p->input_depth;
            for (int32_t i = 0; i < 8 && i < left; i++) {
                *output++ = (int8_t)tinyc_clamp(tinyc_requantize_armv6m(sums[i], record), p->activation_min, p->activation_max);
                record += step;
            }
        }
        input += p->input_depth;
    }
}
