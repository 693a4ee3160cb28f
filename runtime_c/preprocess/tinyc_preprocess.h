/* SPDX-License-Identifier: Apache-2.0 */
/* Raw data to a model's input, as `tinyc` did it with the calibration data: same numbers, byte for byte.
 *
 * Applications call the functions of the generated <name>_preprocess.h, which know their model; these are what they call. They cannot
 * fail, use no heap, no writable statics and no math library. Images take integers only.
 *
 * A raw value becomes real = (raw * scale - mean) / std in float32, and a number of the input: itself for float32, else
 * clamp(round(real / input_scale) + zero_point), half away from zero. */
#ifndef TINYC_PREPROCESS_H
#define TINYC_PREPROCESS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The element type of an input. */
enum { TINYC_INPUT_F32, TINYC_INPUT_S8, TINYC_INPUT_U8, TINYC_INPUT_S16 };

/* What follows the raw values. */
typedef struct {
    uint32_t count;    /* values of the input, >= 1 */
    uint32_t period;   /* how many values mean and std have; value i takes number i % period */
    float scale;       /* not 0 */
    const float *mean;
    const float *std;  /* not 0 */
    int32_t type;      /* TINYC_INPUT_... */
    float input_scale; /* of the input's quantization, > 0; 1 for float32 */
    int32_t zero_point;
} tinyc_preprocess_values_params;

/* `count` raw values to an input. values and input may be the same memory for float32. */
void tinyc_preprocess_values(const tinyc_preprocess_values_params *params, const float *values, void *input);

/* `count` sound samples, read as -1 to 1 (pcm / 32768), to an input. */
void tinyc_preprocess_pcm(const tinyc_preprocess_values_params *params, const int16_t *pcm, void *input);

/* How the pixels of an image lie in memory. RGB565_BE has the high byte first, as most cameras send it. */
typedef enum {
    TINYC_PIXELS_RGB888,
    TINYC_PIXELS_BGR888,
    TINYC_PIXELS_GRAY8,
    TINYC_PIXELS_RGB565_BE,
    TINYC_PIXELS_RGB565_LE
} tinyc_pixels;

/* How an image gets the input's size. CROP takes the middle, PAD leaves the rest 0; both keep the proportions. */
enum { TINYC_FIT_STRETCH, TINYC_FIT_CROP, TINYC_FIT_PAD };

typedef struct {
    int32_t width;        /* of the input, 1 to 16384 */
    int32_t height;
    int32_t channels;     /* of the input: 1 is gray, 3 are colours */
    int32_t bgr;          /* 1: blue is the first of three */
    int32_t fit;          /* TINYC_FIT_... */
    int32_t element;      /* bytes of a number of the input: 1, 2 or 4 */
    int32_t channel_step; /* entries of the table from channel to channel: 0 or 256 */
    const void *table;    /* the number of the input for each value of a byte */
} tinyc_preprocess_image_params;

/* An image of any size (width and height 1 to 16384, rows every `stride` bytes) to an input.
 *
 * Gray is (19595 R + 38470 G + 7471 B + 32768) >> 16, and comes before the size. An axis that shrinks is averaged over the area of each
 * new pixel, one that grows is interpolated between the centres of two pixels; one rounding, half up. Five and six bits of a colour
 * become eight by repeating the high ones. */
void tinyc_preprocess_image(const tinyc_preprocess_image_params *params, const uint8_t *pixels, tinyc_pixels format, int32_t width,
                            int32_t height, int32_t stride, void *input);

typedef struct {
    int32_t frame_length;   /* samples, 1 to fft */
    int32_t fft;            /* points, a power of two, 4 to 65536 */
    int32_t magnitude;      /* 1: bands sum the magnitude of the spectrum, 0: its square */
    int32_t mels;           /* bands, >= 1 */
    int32_t coefficients;   /* what a frame becomes, 1 to mels */
    const float *window;    /* the first frame_length / 2 + 1 of the window's values; it is symmetric */
    const float *cosines;   /* cos(2 pi k / fft), k = 0 to fft / 2 */
    const uint16_t *first;  /* per band: the lowest bin */
    const uint16_t *counts; /* per band: how many bins */
    const float *weights;   /* of all bands' bins in turn */
    const float *dct;       /* [coefficients][mels], or NULL: the bands' logarithms are the coefficients */
} tinyc_preprocess_frame_params;

/* One frame of sound to `coefficients` numbers of an input, from element `first` on: window, FFT, bands, ln(x + 1e-6), DCT.
 * scratch: fft + mels floats. */
void tinyc_preprocess_frame(const tinyc_preprocess_frame_params *frame, const tinyc_preprocess_values_params *values, const int16_t *pcm,
                            float *scratch, uint32_t first, void *input);

#ifdef __cplusplus
}
#endif

#endif
