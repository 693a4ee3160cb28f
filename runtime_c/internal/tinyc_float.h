/* SPDX-License-Identifier: Apache-2.0 */
/* float32 arithmetic whose results are the same on every target. Include it before the first function of a kernel.
 *
 * Every operation is rounded by itself: compilers must not fuse a product and a sum. Clang does so within an expression, GCC wherever it
 * can unless it is told -std=c99, and firmware is built with gnu11 or gnu17 as a rule. Helium flushes subnormal numbers to zero. */
#ifndef TINYC_FLOAT_H
#define TINYC_FLOAT_H

#if defined(__FAST_MATH__)
#error "tinyc's float32 kernels need IEEE arithmetic: build them without -ffast-math"
#endif

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#if defined(__ARM_FEATURE_MVE)
#pragma GCC optimize("no-tree-vectorize")
#endif
#endif

/* min(max(x, low), high) as C++ defines it: NaN stays. */
static inline float tinyc_clamp_f32(float x, float low, float high) {
    const float raised = x < low ? low : x;
    return high < raised ? high : raised;
}

#endif
