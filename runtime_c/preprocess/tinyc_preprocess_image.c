/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_preprocess.h"

#include <stddef.h>

#include "tinyc_kernels.h"

/* One axis: `source` old pixels from `offset` on become `target` new ones; s / t is source / target in lowest terms. */
typedef struct {
    int32_t offset;
    int32_t source;
    int32_t s;
    int32_t t;
    int32_t total; /* the sum of a new pixel's weights */
} scale_axis;

/* The old pixels of one new pixel: `count` from `first` on, the weight of the outer ones and of those between. */
typedef struct {
    int32_t first;
    int32_t count;
    uint32_t first_weight;
    uint32_t middle_weight;
    uint32_t last_weight;
} pixel_taps;

static scale_axis make_axis(int32_t offset, int32_t source, int32_t target) {
    int32_t a = source;
    int32_t b = target;
    while (b != 0) {
        const int32_t rest = a % b;
        a = b;
        b = rest;
    }
    scale_axis made = {offset, source, source / a, target / a, 1};
    made.total = made.s > made.t ? made.s : (made.s < made.t ? 2 * made.t : 1);
    return made;
}

static pixel_taps find_taps(const scale_axis *axis, int32_t pixel) {
    const int32_t s = axis->s;
    const int32_t t = axis->t;
    pixel_taps found = {axis->offset + pixel, 1, 1, 0, 0};
    if (s > t) { /* a new pixel covers s units of length, an old one t */
        const int32_t start = pixel * s;
        const int32_t end = start + s;
        const int32_t first = start / t;
        const int32_t last = (end - 1) / t;
        found.first = axis->offset + first;
        found.count = last - first + 1;
        found.first_weight = (uint32_t)((first + 1) * t - start);
        found.middle_weight = (uint32_t)t;
        found.last_weight = (uint32_t)(end - last * t);
    } else if (s < t) { /* between the centres of two old pixels, in units of 1 / (2 t) */
        const int32_t highest = (axis->source - 1) * 2 * t;
        int32_t place = (2 * pixel + 1) * s - t;
        place = place < 0 ? 0 : (place > highest ? highest : place);
        const int32_t first = place / (2 * t);
        const int32_t rest = place - first * 2 * t;
        found.first = axis->offset + first;
        found.count = rest != 0 ? 2 : 1;
        found.first_weight = (uint32_t)(2 * t - rest);
        found.last_weight = (uint32_t)rest;
    }
    return found;
}

static uint32_t weight(const pixel_taps *taps, int32_t position) {
    if (position == 0) {
        return taps->first_weight;
    }
    return position == taps->count - 1 ? taps->last_weight : taps->middle_weight;
}

/* Red, green and blue of pixel x of a row; or gray three times. */
static void read_pixel(const uint8_t *row, int32_t x, tinyc_pixels format, int32_t gray, uint32_t rgb[3]) {
    if (format == TINYC_PIXELS_GRAY8) {
        rgb[0] = rgb[1] = rgb[2] = row[x];
        return;
    }
    if (format == TINYC_PIXELS_RGB888 || format == TINYC_PIXELS_BGR888) {
        const uint8_t *pixel = row + (ptrdiff_t)3 * x;
        rgb[0] = pixel[format == TINYC_PIXELS_RGB888 ? 0 : 2];
        rgb[1] = pixel[1];
        rgb[2] = pixel[format == TINYC_PIXELS_RGB888 ? 2 : 0];
    } else {
        const uint8_t *pixel = row + (ptrdiff_t)2 * x;
        const uint32_t low = pixel[format == TINYC_PIXELS_RGB565_BE ? 1 : 0];
        const uint32_t bits = low | (uint32_t)pixel[format == TINYC_PIXELS_RGB565_BE ? 0 : 1] << 8;
        const uint32_t red = bits >> 11;
        const uint32_t green = (bits >> 5) & 63u;
        const uint32_t blue = bits & 31u;
        rgb[0] = red << 3 | red >> 2;
        rgb[1] = green << 2 | green >> 4;
        rgb[2] = blue << 3 | blue >> 2;
    }
    if (gray) {
        rgb[0] = (19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16;
    }
}

static void store(const tinyc_preprocess_image_params *params, const uint32_t rgb[3], int32_t index, void *input) {
    for (int32_t channel = 0; channel < params->channels; channel++) {
        const uint32_t value = rgb[params->bgr ? 2 - channel : channel];
        const int32_t entry = channel * params->channel_step + (int32_t)value;
        const ptrdiff_t place = (ptrdiff_t)index * params->channels + channel;
        if (params->element == 1) {
            ((uint8_t *)input)[place] = ((const uint8_t *)params->table)[entry];
        } else if (params->element == 2) {
            ((int16_t *)input)[place] = ((const int16_t *)params->table)[entry];
        } else {
            ((float *)input)[place] = ((const float *)params->table)[entry];
        }
    }
}

/* One new pixel: the weighted sum of old ones, rounded half up. */
static void mix(const uint8_t *pixels, int32_t stride, tinyc_pixels format, int32_t channels, const pixel_taps *rows, const pixel_taps *columns,
                uint32_t total, int wide, uint32_t mixed[3]) {
    uint64_t sums[3] = {0, 0, 0};
    for (int32_t y = 0; y < rows->count; y++) {
        const uint8_t *row = pixels + (ptrdiff_t)(rows->first + y) * stride;
        uint32_t line[3] = {0, 0, 0};
        for (int32_t x = 0; x < columns->count; x++) {
            uint32_t rgb[3];
            read_pixel(row, columns->first + x, format, channels == 1, rgb);
            for (int32_t c = 0; c < channels; c++) {
                line[c] += rgb[c] * weight(columns, x);
            }
        }
        for (int32_t c = 0; c < channels; c++) {
            sums[c] += (uint64_t)line[c] * weight(rows, y);
        }
    }
    for (int32_t c = 0; c < channels; c++) {
        /* A division of 32 bits is enough for all but very large images. */
        mixed[c] = wide ? (uint32_t)((sums[c] + total / 2u) / total) : ((uint32_t)sums[c] + total / 2u) / total;
    }
}

TINYC_KERNEL void tinyc_preprocess_image(const tinyc_preprocess_image_params *params, const uint8_t *pixels, tinyc_pixels format,
                                         int32_t width, int32_t height, int32_t stride, void *input) {
    int32_t left = 0;
    int32_t top = 0;
    int32_t used_width = width;
    int32_t used_height = height;
    int32_t target_width = params->width;
    int32_t target_height = params->height;
    const int wide = width * params->height > height * params->width;
    if (params->fit == TINYC_FIT_CROP) {
        used_width = wide ? height * params->width / params->height : width;
        used_height = wide ? height : width * params->height / params->width;
        used_width += used_width == 0;
        used_height += used_height == 0;
        left = (width - used_width) / 2;
        top = (height - used_height) / 2;
    } else if (params->fit == TINYC_FIT_PAD) {
        target_width = wide ? params->width : width * params->height / height;
        target_height = wide ? height * params->width / width : params->height;
        target_width += target_width == 0;
        target_height += target_height == 0;
    }
    const scale_axis columns = make_axis(left, used_width, target_width);
    const scale_axis rows = make_axis(top, used_height, target_height);
    const uint32_t total = (uint32_t)rows.total * (uint32_t)columns.total;
    const int32_t first_column = (params->width - target_width) / 2;
    const int32_t first_row = (params->height - target_height) / 2;
    for (int32_t y = 0; y < params->height; y++) {
        const int32_t line = y - first_row;
        const pixel_taps across = find_taps(&rows, line);
        for (int32_t x = 0; x < params->width; x++) {
            const int32_t column = x - first_column;
            uint32_t rgb[3] = {0, 0, 0};
            if (line >= 0 && line < target_height && column >= 0 && column < target_width) {
                const pixel_taps along = find_taps(&columns, column);
                mix(pixels, stride, format, params->channels, &across, &along, total, total >= 1u << 24, rgb);
            }
            store(params, rgb, y * params->width + x, input);
        }
    }
}
