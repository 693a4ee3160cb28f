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

#endif
