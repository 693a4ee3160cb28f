/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_mac16.h"
#include "tinyc_windows.h"

#define RECORD 5

/* Four weights per word as halfwords of 256 times them; of four, the words (0, 2) and (1, 3). */
static void unpack(const int32_t *weights, int32_t words, uint32_t *w) {
    const uint32_t *four = (const uint32_t *)weights;
    for (; words >= 2; words -= 2) {
        const uint32_t first = four[0];
        const uint32_t second = four[1];
        w[0] = first << 8 & 0xFF00FF00u;
        w[1] = first & 0xFF00FF00u;
        w[2] = second << 8 & 0xFF00FF00u;
        w[3] = second & 0xFF00FF00u;
        four += 2;
        w += 4;
    }
    if (words > 0) {
        w[0] = *four << 8 & 0xFF00FF00u;
        w[1] = *four & 0xFF00FF00u;
    }
}

/* sums[i] = start + the dot product of w with patch i, both of 4 * `groups` halfwords. Reads one word behind the last patch and one
 * behind w. One multiply-accumulate per instruction; a function of its own because it uses the loop registers and the accumulator. */
static __attribute__((noinline)) void products(const uint32_t *x, const uint32_t *w, int32_t groups, int32_t start, int32_t *sums,
                                               int32_t pixels) {
    const uint32_t *at = w;
    int32_t sum;
    __asm volatile(
        "addi %[x], %[x], -4\n\t"
        "addi %[w], %[w], -4\n\t"
        "ldinc m0, %[x]\n"
        "1:\n\t"
        "mov %[at], %[w]\n\t"
        "wsr %[start], acclo\n\t"
        "ldinc m2, %[at]\n\t"
        "loop %[groups], 2f\n\t"
        "mula.dd.ll.ldinc m1, %[x], m0, m2\n\t"
        "mula.dd.hh.ldinc m3, %[at], m0, m2\n\t"
        "mula.dd.ll.ldinc m0, %[x], m1, m3\n\t"
        "mula.dd.hh.ldinc m2, %[at], m1, m3\n"
        "2:\n\t"
        "rsr %[sum], acclo\n\t"
        "addi %[pixels], %[pixels], -1\n\t"
        "s32i %[sum], %[sums], 0\n\t"
        "addi %[sums], %[sums], 4\n\t"
        "bnez %[pixels], 1b\n\t"
        : [x] "+r"(x), [w] "+r"(w), [at] "=&r"(at), [sum] "=&r"(sum), [sums] "+r"(sums), [pixels] "+r"(pixels)
        : [groups] "r"(groups), [start] "r"(start)
        : "memory");
}

static void copy(const int8_t *from, int32_t count, int8_t *to) {
    for (; count >= 4; count -= 4) {
        to[0] = from[0];
        to[1] = from[1];
        to[2] = from[2];
        to[3] = from[3];
        from += 4;
        to += 4;
    }
    for (; count > 0; count--) {
        *to++ = *from++;
    }
}

static inline int32_t aligned(const int8_t *pointer) {
    return ((uintptr_t)pointer & 3u) == 0u ? 1 : 0;
}

/* Widens the window of one output pixel. `patch` has room for its bytes; `lines` is a row of the input's zero point and one more row. */
static void widen_window(const tinyc_conv_2d_patches_params *p, const tinyc_window *w, int8_t *patch, int8_t *lines, uint32_t *x) {
    const int32_t run = p->filter_width * p->input_depth;
    const int32_t pitch = p->dilation_height * p->input_width * p->input_depth;
    const int8_t *source = w->source;
    int8_t *to = patch;
    for (int32_t tap = 0; tap < p->filter_height; tap++) {
        const int8_t *row = source;
        if (source != NULL) {
            source += pitch;
        } else {
            row = tinyc_window_row(p, w, tap, lines, lines + run);
        }
        if ((run & 3) == 0 && aligned(row) != 0) {
            x = tinyc_widen(row, run >> 2, x);
        } else {
            copy(row, run, to);
            if ((run & 3) == 0) {
                x = tinyc_widen(to, run >> 2, x);
            } else {
                to += run;
            }
        }
    }
    if ((run & 3) != 0) {
        (void)tinyc_widen(patch, (int32_t)(to - patch + 3) >> 2, x);
    }
}

/* The channels that are constant, of `count` pixels. */
static void store_constants(const tinyc_conv_2d_patches_params *p, const int32_t *constants, int32_t count, int8_t *output) {
    for (int32_t i = 0; i < p->constants; i++) {
        int8_t *out = output + (constants[i] >> 8);
        const int8_t value = (int8_t)constants[i];
        for (int32_t pixel = 0; pixel < count; pixel++) {
            *out = value;
            out += p->output_depth;
        }
    }
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_conv_2d_s8_xtensa(const tinyc_conv_2d_patches_params *params, const int8_t *input,
                                          const int32_t *restrict stream, int8_t *output, void *scratch) {
    const tinyc_conv_2d_patches_params *const p = params;
    const int32_t run = p->filter_width * p->input_depth;
    const int32_t groups = (p->filter_height * run + 3) >> 2;
    uint32_t *const x = scratch;
    uint32_t *const w = x + 2 * groups * p->pass + 1;
    int32_t *const sums = (int32_t *)(w + 2 * groups + 1);
    int8_t *const patch = (int8_t *)(sums + p->pass);
    int8_t *const lines = patch + 4 * groups;
    tinyc_position at = {input, 0, 0};
    tinyc_scaling scaling;
    scaling.negative = p->negative;
    scaling.low = p->activation_min;
    scaling.high = p->activation_max;
    for (int32_t i = 0; i < run && p->direct == 0; i++) {
        lines[i] = (int8_t)p->input_zero_point;
    }
    for (int32_t left = p->batches * p->output_height * p->output_width; left > 0; left -= p->pass) {
        const int32_t count = left < p->pass ? left : p->pass;
        const int32_t *channel = stream + p->constants;
        int8_t *out = output + p->first;
        for (int32_t i = 0; i < count; i++) {
            tinyc_window window = {input, 0, 0, input};
            if (p->direct == 0) {
                tinyc_next_windows(p, &at, 1, 1, &window);
            }
            widen_window(p, &window, patch, lines, x + 2 * groups * i);
            input += run;
        }
        store_constants(p, stream, count, output);
        for (int32_t i = 0; i < p->live; i++) {
            const int32_t *const record = channel + groups;
            unpack(channel, groups, w);
            products(x, w, groups, record[0], sums, count);
            scaling.multiplier = record[1];
            scaling.rounding = record[2];
            scaling.shift = record[3];
            tinyc_scale(&scaling, sums, count, out, p->output_depth);
            out += record[4];
            channel = record + RECORD;
        }
        output += p->pass * p->output_depth;
    }
}
