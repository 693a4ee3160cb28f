/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_dsp.h"
#include "tinyc_pool_rows.h"

/* Adds four channels of all pixels to their sums, in 6 instructions per pixel. */
static inline void add_four(const int8_t *input, int32_t pixels, int32_t depth, int32_t *sums) {
    int32_t even = 0;
    int32_t odd = 0;
    int32_t four;
    __asm volatile(
        "1:\n\t"
        "ldr %[four], [%[input]]\n\t"
        "add %[input], %[input], %[depth]\n\t"
        "sxtab16 %[even], %[even], %[four]\n\t"
        "sxtab16 %[odd], %[odd], %[four], ror #8\n\t"
        "subs %[pixels], %[pixels], #1\n\t"
        "bne 1b\n\t"
        : [even] "+r"(even), [odd] "+r"(odd), [input] "+r"(input), [pixels] "+r"(pixels), [four] "=&r"(four)
        : [depth] "r"(depth)
        : "cc", "memory");
    sums[0] += (int16_t)even;
    sums[1] += (int16_t)odd;
    sums[2] += even >> 16;
    sums[3] += odd >> 16;
}

TINYC_KERNEL void tinyc_average_pool_rows_s8_dsp(const tinyc_average_pool_rows_params *params, const int8_t *input, int8_t *output,
                                                 void *state) {
    int32_t *const sums = state;
    const int32_t depth = params->depth;
    tinyc_pool_rows_begin(params, sums);
    for (int32_t c = 0; c < depth; c += 4) {
        add_four(input + c, params->pixels, depth, sums + c);
    }
    tinyc_pool_rows_end(params, sums, output);
}
