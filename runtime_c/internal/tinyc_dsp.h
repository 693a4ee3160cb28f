/* SPDX-License-Identifier: Apache-2.0 */
/* For kernels in assembly for cores with the DSP extension. */
#ifndef TINYC_DSP_H
#define TINYC_DSP_H

#include <stdint.h>

#if !defined(__ARM_FEATURE_DSP)
#error "tinyc needs the DSP extension here: compile with -mcpu=cortex-m4, cortex-m7, cortex-m33 or the like"
#endif

/* A function that is all assembly. GCC must not conclude from its empty body that it clobbers no register and reads no memory. */
#if defined(__clang__)
#define TINYC_DSP_ASSEMBLY __attribute__((naked, noinline))
#else
#define TINYC_DSP_ASSEMBLY __attribute__((naked, noinline, noipa))
#endif

/* Outputs below `low` or above `high` become those, four at a time. */
static inline void tinyc_dsp_clamp(int8_t *output, int32_t size, int32_t low, int32_t high) {
    if (low == -128 && high == 127) {
        return;
    }
    const uint32_t lows = (uint32_t)(low & 0xff) * 0x01010101u;
    const uint32_t highs = (uint32_t)(high & 0xff) * 0x01010101u;
    int32_t quads = size >> 2;
    uint32_t four, flags;
    if (quads > 0) {
        __asm volatile(
            "1:\n\t"
            "ldr %[four], [%[output]]\n\t"
            "ssub8 %[flags], %[four], %[lows]\n\t"
            "sel %[four], %[four], %[lows]\n\t"
            "ssub8 %[flags], %[highs], %[four]\n\t"
            "sel %[four], %[four], %[highs]\n\t"
            "str %[four], [%[output]], #4\n\t"
            "subs %[quads], %[quads], #1\n\t"
            "bne 1b\n\t"
            : [output] "+r"(output), [quads] "+r"(quads), [four] "=&r"(four), [flags] "=&r"(flags)
            : [lows] "r"(lows), [highs] "r"(highs)
            : "cc", "memory");
    }
    for (int32_t i = size & 3; i > 0; i--) {
        const int32_t value = *output;
        *output++ = (int8_t)(value < low ? low : (value > high ? high : value));
    }
}

#endif
