/* SPDX-License-Identifier: Apache-2.0 */
/* Which taps of a sliding window are inside the image. */
#ifndef TINYC_WINDOW_H
#define TINYC_WINDOW_H

#include <stdint.h>

/* Taps first to end - 1 of one axis of a filter lie inside the image. */
typedef struct {
    int32_t first;
    int32_t end;
} tinyc_taps;

/* The taps with 0 <= origin + tap * dilation < extent, of `taps` taps; first == end when there are none. */
static inline tinyc_taps tinyc_taps_inside(int32_t origin, int32_t extent, int32_t taps, int32_t dilation) {
    tinyc_taps inside = {0, taps};
    while (inside.first < taps && origin + inside.first * dilation < 0) {
        inside.first++;
    }
    while (inside.end > inside.first && origin + (inside.end - 1) * dilation >= extent) {
        inside.end--;
    }
    return inside;
}

#endif
