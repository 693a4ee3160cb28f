/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels for the smallest flash share, on cores with the DSP extension. */
#ifndef TINYC_COMPACT_DSP_H
#define TINYC_COMPACT_DSP_H

#include "tinyc_kernels.h"

#include "tinyc_dsp.h"
#include "tinyc_fixed_point.h"

/* A sum becomes an output, saturated; see tinyc_conv_2d_compact_dsp_params. SMMLAR with the sum as a factor and as addend multiplies by the
 * unsigned word `scale`, which is lost. */
#define TINYC_COMPACT_REQUANTIZE(sum, scale, shift, mask, rounding) \
    "smmlar " sum ", " sum ", " scale ", " sum "\n\t"               \
    "and " scale ", " scale ", " mask "\n\t"                        \
    "add " scale ", " scale ", " shift "\n\t"                       \
    "add " sum ", " sum ", " sum ", asr #31\n\t"                    \
    "asr " sum ", " sum ", " scale "\n\t"                           \
    "add " sum ", " sum ", " rounding "\n\t"                        \
    "ssat " sum ", #8, " sum ", asr #1\n\t"

/* `count` outputs become `low` or `high` where they are beyond. */
static inline void tinyc_compact_clamp(int8_t *output, int32_t count, int32_t low, int32_t high) {
    for (int32_t i = 0; i < count; i++) {
        output[i] = (int8_t)tinyc_clamp(output[i], low, high);
    }
}

#endif
