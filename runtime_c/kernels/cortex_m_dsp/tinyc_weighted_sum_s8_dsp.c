/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_dsp.h"

/* One output from the halfwords `half` (b or t) of two words whose halfwords are 256 times inputs. */
#define ONE(half, word1, word2)                                     \
    "smlaw" half " %[sum], %[factor1], %[" word1 "], %[start]\n\t"  \
    "smlaw" half " %[sum], %[factor2], %[" word2 "], %[sum]\n\t"    \
    "ssat %[sum], #8, %[sum], asr #20\n\t"                          \
    "strb %[sum], [%[output]], #1\n\t"

/* Four outputs in 22 instructions; the words may be unaligned. Everything is read before anything is written. */
#define FOUR                                      \
    "ldr %[odd1], [%[input1]], #4\n\t"            \
    "ldr %[odd2], [%[input2]], #4\n\t"            \
    "and %[even1], %[mask], %[odd1], lsl #8\n\t"  \
    "and %[even2], %[mask], %[odd2], lsl #8\n\t"  \
    "and %[odd1], %[mask], %[odd1]\n\t"           \
    "and %[odd2], %[mask], %[odd2]\n\t"           \
    ONE("b", "even1", "even2")                    \
    ONE("b", "odd1", "odd2")                      \
    ONE("t", "even1", "even2")                    \
    ONE("t", "odd1", "odd2")

/* No `restrict`: the output may be an input's memory. */
TINYC_KERNEL void tinyc_weighted_sum_s8_dsp(const tinyc_weighted_sum_params *params, const int8_t *input1, const int8_t *input2,
                                            int8_t *output) {
    const int32_t size = params->size;
    const int32_t factor1 = params->factor1;
    const int32_t factor2 = params->factor2;
    const int32_t start = params->start;
    int8_t *const outputs = output;
    int32_t count = size >> 3;
    int32_t sum;
    uint32_t even1, odd1, even2, odd2;
    /* In assembly because compilers do not keep the masks in a register, and take two instructions for a saturating shift. */
    if (count > 0) {
        __asm volatile(
            "1:\n\t"
            FOUR
            FOUR
            "subs %[count], %[count], #1\n\t"
            "bne 1b\n\t"
            : [input1] "+r"(input1), [input2] "+r"(input2), [output] "+r"(output), [count] "+r"(count), [sum] "=&r"(sum),
              [even1] "=&r"(even1), [odd1] "=&r"(odd1), [even2] "=&r"(even2), [odd2] "=&r"(odd2)
            : [factor1] "r"(factor1), [factor2] "r"(factor2), [start] "r"(start), [mask] "r"(0xff00ff00u)
            : "cc", "memory");
    }
    for (int32_t i = size & 7; i > 0; i--) {
        int32_t x = *input1++ * 256;
        const int32_t y = *input2++ * 256;
        __asm("smlawb %[x], %[factor1], %[x], %[start]\n\t"
              "smlawb %[x], %[factor2], %[y], %[x]\n\t"
              "ssat %[x], #8, %[x], asr #20\n\t"
              : [x] "+&r"(x)
              : [y] "r"(y), [factor1] "r"(factor1), [factor2] "r"(factor2), [start] "r"(start));
        *output++ = (int8_t)x;
    }
    tinyc_dsp_clamp(outputs, size, params->activation_min, params->activation_max);
}
