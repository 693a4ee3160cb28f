/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_preprocess.h"

#include <stddef.h>

#include "tinyc_kernels.h"
#include "tinyc_preprocess_store.h"

/* The Python twin, with the same operations in the same order, is compiler/data/features.py: a change here is a change there. */

typedef union {
    float real;
    uint32_t bits;
} float_bits;

/* Correctly rounded, bit by bit, as IEEE 754 has it: not every core has an instruction for it (fdlibm's e_sqrtf.c). */
static float square_root(float x) {
    float_bits value = {x};
    if (value.bits == 0) {
        return x;
    }
    int32_t exponent = (int32_t)(value.bits >> 23);
    uint32_t rest = value.bits & 0x7FFFFFu;
    if (exponent == 0) {
        exponent = 1;
        while ((rest & 0x800000u) == 0) {
            rest <<= 1;
            exponent--;
        }
    }
    exponent -= 127;
    rest |= 0x800000u;
    if ((exponent & 1) != 0) {
        rest <<= 1;
        exponent--;
    }
    rest <<= 1;
    uint32_t root = 0;
    uint32_t sum = 0;
    for (uint32_t bit = 0x1000000u; bit != 0; bit >>= 1) {
        const uint32_t trial = sum + bit;
        if (trial <= rest) {
            sum = trial + bit;
            rest -= trial;
            root += bit;
        }
        rest <<= 1;
    }
    root += rest != 0 ? root & 1u : 0u;
    value.bits = (uint32_t)((int32_t)((root >> 1) + 0x3F000000u) + exponent / 2 * 0x800000);
    return value.real;
}

/* ln of a positive normal number (Cephes logf). */
static float logarithm(float x) {
    static const float polynomial[9] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                                        -1.6668057665e-1f, 2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    float_bits value = {x};
    int32_t exponent = (int32_t)(value.bits >> 23) - 126;
    value.bits = (value.bits & 0x7FFFFFu) | 0x3F000000u;
    float m = value.real; /* 0.5 to 1 */
    if (m < 0.70710678f) {
        exponent--;
        m = m + m;
    }
    m = m - 1.0f;
    const float square = m * m;
    float y = polynomial[0];
    for (int32_t i = 1; i < 9; i++) {
        y = y * m + polynomial[i];
    }
    y = y * m * square;
    y = y + (float)exponent * -2.12194440e-4f;
    y = y - square * 0.5f;
    return (m + y) + (float)exponent * 0.693359375f;
}

static float find_sine(const float *cosines, int32_t k, int32_t quarter) {
    return cosines[k > quarter ? k - quarter : quarter - k];
}

/* The frame under its window as complex numbers (even samples, odd samples) in bit-reversed order. */
static void weigh(const tinyc_preprocess_frame_params *frame, const int16_t *pcm, float *re, float *im) {
    const int32_t half = frame->fft / 2;
    const int32_t length = frame->frame_length;
    int32_t reversed = 0;
    for (int32_t n = 0; n < half; n++) {
        float pair[2] = {0.0f, 0.0f};
        for (int32_t part = 0; part < 2; part++) {
            const int32_t i = 2 * n + part;
            if (i < length) {
                const float sample = (float)pcm[i] * (1.0f / 32768.0f);
                pair[part] = sample * frame->window[i < length - i ? i : length - i];
            }
        }
        re[reversed] = pair[0];
        im[reversed] = pair[1];
        int32_t bit = half / 2;
        while (bit > 0 && (reversed & bit) != 0) {
            reversed -= bit;
            bit /= 2;
        }
        reversed += bit;
    }
}

/* Radix 2, decimation in time. */
static void transform(const float *cosines, int32_t half, float *re, float *im) {
    for (int32_t span = 1; span < half; span *= 2) {
        for (int32_t j = 0; j < span; j++) {
            const int32_t k = j * (half / span);
            const float cosine = cosines[k];
            const float sine = find_sine(cosines, k, half / 2);
            for (int32_t a = j; a < half; a += 2 * span) {
                const int32_t b = a + span;
                const float turned_re = cosine * re[b] + sine * im[b];
                const float turned_im = cosine * im[b] - sine * re[b];
                re[b] = re[a] - turned_re;
                im[b] = im[a] - turned_im;
                re[a] = re[a] + turned_re;
                im[a] = im[a] + turned_im;
            }
        }
    }
}

/* Bin k of the real spectrum from bins k and half - k of the complex one, a and b: its power, or its magnitude. */
static float bin(const tinyc_preprocess_frame_params *frame, int32_t k, const float a[2], const float b[2]) {
    const float cosine = frame->cosines[k];
    const float sine = find_sine(frame->cosines, k, frame->fft / 4);
    const float even_re = (a[0] + b[0]) * 0.5f;
    const float even_im = (a[1] - b[1]) * 0.5f;
    const float odd_re = (a[1] + b[1]) * 0.5f;
    const float odd_im = (b[0] - a[0]) * 0.5f;
    const float real = even_re + (cosine * odd_re + sine * odd_im);
    const float imaginary = even_im + (cosine * odd_im - sine * odd_re);
    const float power = real * real + imaginary * imaginary;
    return frame->magnitude ? square_root(power) : power;
}

/* In place: bins 0 to half - 1 over re, and bin half over im[0], which follows them in memory. */
static void split(const tinyc_preprocess_frame_params *frame, float *re, float *im) {
    const int32_t half = frame->fft / 2;
    const float zero[2] = {re[0], im[0]};
    re[0] = bin(frame, 0, zero, zero);
    im[0] = bin(frame, half, zero, zero);
    for (int32_t k = 1; k <= half / 2; k++) {
        const float a[2] = {re[k], im[k]};
        const float b[2] = {re[half - k], im[half - k]};
        re[k] = bin(frame, k, a, b);
        re[half - k] = bin(frame, half - k, b, a);
    }
}

TINYC_KERNEL void tinyc_preprocess_frame(const tinyc_preprocess_frame_params *frame, const tinyc_preprocess_values_params *values,
                                         const int16_t *pcm, float *scratch, uint32_t first, void *input) {
    float *bins = scratch;
    float *logs = scratch + frame->fft;
    weigh(frame, pcm, bins, bins + frame->fft / 2);
    transform(frame->cosines, frame->fft / 2, bins, bins + frame->fft / 2);
    split(frame, bins, bins + frame->fft / 2);
    const float *weights = frame->weights;
    for (int32_t band = 0; band < frame->mels; band++) {
        float energy = 0.0f;
        for (int32_t i = 0; i < frame->counts[band]; i++) {
            energy = energy + bins[frame->first[band] + i] * *weights++;
        }
        logs[band] = logarithm(energy + 1e-6f);
    }
    uint32_t turn = first % values->period;
    for (int32_t c = 0; c < frame->coefficients; c++) {
        float raw = logs[c];
        if (frame->dct != NULL) {
            raw = 0.0f;
            for (int32_t band = 0; band < frame->mels; band++) {
                raw = raw + logs[band] * frame->dct[c * frame->mels + band];
            }
        }
        tinyc_preprocess_store(values, raw, turn, first + (uint32_t)c, input);
        turn = turn + 1 < values->period ? turn + 1 : 0;
    }
}
