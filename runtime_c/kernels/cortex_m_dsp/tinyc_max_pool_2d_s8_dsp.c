/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_pool_dsp.h"

static void max_pixel(const tinyc_pool_2d_params *params, const tinyc_pool_window *window, int8_t *output) {
    const int32_t depth = window->depth;
    const int32_t low = params->activation_min;
    const int32_t high = params->activation_max;
    const uint32_t lows = (uint32_t)(low & 0xff) * 0x01010101u;
    const uint32_t highs = (uint32_t)(high & 0xff) * 0x01010101u;
    const int8_t *first = window->first;
    int32_t c = depth;
    for (; c >= 8; c -= 8) {
        uint32_t largest0 = lows;
        uint32_t largest1 = lows;
        uint32_t four, flags;
        const int8_t *at = first;
        for (int32_t i = window->height; i > 0; i--) {
            int32_t pixels = window->width;
            __asm volatile(
                "1:\n\t"
                "ldr %[four], [%[at]]\n\t"
                "ssub8 %[flags], %[four], %[largest0]\n\t"
                "sel %[largest0], %[four], %[largest0]\n\t"
                "ldr %[four], [%[at], #4]\n\t"
                "add %[at], %[at], %[depth]\n\t"
                "ssub8 %[flags], %[four], %[largest1]\n\t"
                "sel %[largest1], %[four], %[largest1]\n\t"
                "subs %[pixels], %[pixels], #1\n\t"
                "bne 1b\n\t"
                : [at] "+r"(at), [pixels] "+r"(pixels), [largest0] "+r"(largest0), [largest1] "+r"(largest1), [four] "=&r"(four),
                  [flags] "=&r"(flags)
                : [depth] "r"(window->depth)
                : "cc", "memory");
            at += window->row_step;
        }
        __asm volatile(
            "ssub8 %[flags], %[highs], %[largest0]\n\t"
            "sel %[largest0], %[largest0], %[highs]\n\t"
            "ssub8 %[flags], %[highs], %[largest1]\n\t"
            "sel %[largest1], %[largest1], %[highs]\n\t"
            "str %[largest0], [%[output]]\n\t"
            "str %[largest1], [%[output], #4]\n\t"
            : [largest0] "+&r"(largest0), [largest1] "+&r"(largest1), [flags] "=&r"(flags)
            : [highs] "r"(highs), [output] "r"(output)
            : "cc", "memory");
        first += 8;
        output += 8;
    }
    for (; c > 0; c--) {
        const int8_t *at = first++;
        int32_t largest = low;
        for (int32_t i = window->height; i > 0; i--) {
            for (int32_t j = window->width; j > 0; j--) {
                largest = *at > largest ? *at : largest;
                at += depth;
            }
            at += window->row_step;
        }
        *output++ = (int8_t)(largest < high ? largest : high);
    }
}

/* No `restrict`: the output may be the input's memory. */
TINYC_KERNEL void tinyc_max_pool_2d_s8_dsp(const tinyc_pool_2d_params *params, const int8_t *input, int8_t *output) {
    tinyc_pool_dsp(params, input, output, max_pixel);
}
