/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_mve.h"
#include "tinyc_window.h"

#if !defined(__ARM_FEATURE_MVE) || !(__ARM_FEATURE_MVE & 1)
#error "tinyc_depthwise_conv_2d_s8_mve.c needs Helium: compile with -mcpu=cortex-m55 or -mcpu=cortex-m85 (-march=armv8.1-m.main+mve)"
#endif

#include <arm_mve.h>

/* The window of one output pixel inside the image: taps, and what pointers move by. */
typedef struct {
    int32_t rows;
    int32_t columns;
    int32_t input_tap;
    int32_t input_row;   /* after the last tap of a row */
    int32_t filter_row;
} window;

/* Sums of eight channels: even ones and odd ones. */
typedef struct {
    int32x4_t even;
    int32x4_t odd;
} sums;

/* Adds the products of a window, `lanes` channels of it inside the tensor. */
static inline sums add_window(sums sum, const window *w, const int8_t *x, const int8_t *filter, mve_pred16_t lanes) {
    for (int32_t row = w->rows; row > 0; row--) {
        for (int32_t column = w->columns; column > 0; column--) {
            const int16x8_t value = vldrbq_z_s16(x, lanes);
            const int16x8_t weight = vldrbq_s16(filter);
            sum.even = vaddq_s32(sum.even, vmullbq_int_s16(value, weight));
            sum.odd = vaddq_s32(sum.odd, vmulltq_int_s16(value, weight));
            x += w->input_tap;
            filter += 8;
        }
        x += w->input_row;
        filter += w->filter_row;
    }
    return sum;
}

/* The same where several output channels share an input channel: `channels` are their places. */
static inline sums add_shared(sums sum, const window *w, const int8_t *x, uint16x8_t channels, const int8_t *filter) {
    for (int32_t row = w->rows; row > 0; row--) {
        for (int32_t column = w->columns; column > 0; column--) {
            const int16x8_t value = vldrbq_gather_offset_s16(x, channels);
            const int16x8_t weight = vldrbq_s16(filter);
            sum.even = vaddq_s32(sum.even, vmullbq_int_s16(value, weight));
            sum.odd = vaddq_s32(sum.odd, vmulltq_int_s16(value, weight));
            x += w->input_tap;
            filter += 8;
        }
        x += w->input_row;
        filter += w->filter_row;
    }
    return sum;
}

/* Exact for shifts from 0 on, see tinyc_mve.h. */
static inline int32x4_t requantize(int32x4_t sum, const int32_t *multiplier, const int32_t *shift) {
    const int32x4_t by = vldrwq_s32(shift);
    const int32x4_t product = vqrdmulhq_s32(sum, vldrwq_s32(multiplier));
    return vrshlq_s32(vqdmlahq_n_s32(product, vandq_s32(product, by), 1), by);
}

TINYC_KERNEL void tinyc_depthwise_conv_2d_s8_mve(const tinyc_depthwise_conv_2d_mve_params *params, const int8_t *restrict input,
                                                 const int32_t *restrict stream, int8_t *restrict output) {
    const tinyc_depthwise_conv_2d_mve_params *const p = params;
    const int32_t input_row = p->dilation_height * p->input_width * p->input_depth;
    const int32_t taps = p->filter_height * p->filter_width;
    const int16x8_t zero_point = vdupq_n_s16((int16_t)p->output_zero_point);
    const int16x8_t lows = vdupq_n_s16((int16_t)p->activation_min);
    const int16x8_t highs = vdupq_n_s16((int16_t)p->activation_max);
    const int shared = p->output_depth != p->input_depth;
    window w;
    w.input_tap = p->dilation_width * p->input_depth;
    for (int32_t batch = 0; batch < p->batches; batch++) {
        for (int32_t row = 0; row < p->output_height; row++) {
            const int32_t y = row * p->stride_height - p->pad_height;
            const tinyc_taps ky = tinyc_taps_inside(y, p->input_height, p->filter_height, p->dilation_height);
            for (int32_t column = 0; column < p->output_width; column++) {
                const int32_t x = column * p->stride_width - p->pad_width;
                const tinyc_taps kx = tinyc_taps_inside(x, p->input_width, p->filter_width, p->dilation_width);
                const int8_t *pixel = input + ((y + ky.first * p->dilation_height) * p->input_width + x + kx.first * p->dilation_width) *
                                                  p->input_depth;
                const int32_t *group = stream;
                w.rows = ky.end - ky.first;
                w.columns = kx.end - kx.first;
                w.input_row = input_row - w.columns * w.input_tap;
                w.filter_row = 8 * (p->filter_width - w.columns);
                for (int32_t left = p->output_depth; left > 0; left -= 8) {
                    const mve_pred16_t lanes = vctp16q((uint32_t)left);
                    const int8_t *const filter = (const int8_t *)(group + 12) + 8 * (ky.first * p->filter_width + kx.first);
                    const int32_t *const records = group + 12 + 2 * taps;
                    sums sum = {vldrwq_s32(group), vldrwq_s32(group + 4)};
                    if (w.rows > 0 && w.columns > 0) {
                        if (shared) {
                            sum = add_shared(sum, &w, pixel, vldrhq_u16((const uint16_t *)(group + 8)), filter);
                        } else {
                            sum = add_window(sum, &w, pixel, filter, lanes);
                        }
                    }
                    sum.even = requantize(sum.even, records, records + 8);
                    sum.odd = requantize(sum.odd, records + 4, records + 12);
                    int16x8_t value = vqmovntq_s32(vqmovnbq_s32(vuninitializedq_s16(), sum.even), sum.odd);
                    value = vminq_s16(vmaxq_s16(vqaddq_s16(value, zero_point), lows), highs);
                    vstrbq_p_s16(output, value, lanes);
                    group = records + 16;
                    pixel += 8;
                    output += left < 8 ? left : 8;
                }
            }
        }
        input += p->input_height * p->input_width * p->input_depth;
    }
}
