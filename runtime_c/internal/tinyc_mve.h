/* SPDX-License-Identifier: Apache-2.0 */
/* Requantization of int32 lanes on Helium, as text for inline assembly.
 *
 * VQRDMULH is gemmlowp's SaturatingRoundingDoublingHighMul. VRSHL by -e rounds half up where RoundingDivideByPOT rounds half away
 * from zero, which differs for negative ties only: adding the sign (-1 or 0) first makes it exact for e >= 1. VQDMLAH with a
 * scalar of 1 adds the sign: (2 * x * 1 + x * 2^32) >> 32 = x + (x >> 31). For e = 0 nothing must be added: the scalar is 0.
 * Where the smallest output is the zero point (a fused ReLU) every negative value is clamped, and the sign does not matter. */
#ifndef TINYC_MVE_H
#define TINYC_MVE_H

/* A function that is all assembly. Its alignment is what ADR counts on. GCC must not conclude from its empty body that it clobbers no
 * register and reads no memory. */
#if defined(__clang__)
#define TINYC_MVE_ASSEMBLY __attribute__((naked, noinline, aligned(4)))
#else
#define TINYC_MVE_ASSEMBLY __attribute__((naked, noinline, noipa, aligned(4)))
#endif

/* Adds the sign to two vectors of products, or does nothing. */
#define TINYC_MVE_TIES(a, fix_a, b, fix_b) "vqdmlah.s32 " a ", " a ", " fix_a "\n\tvqdmlah.s32 " b ", " b ", " fix_b "\n\t"
#define TINYC_MVE_NO_TIES(a, fix_a, b, fix_b) ""

#endif
