/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_mac16.h"

#define RECORD 6 /* words per output channel */

/* The input of a channel on four lines, as halfwords x + 128: of each place the words of lines (0, 1) and (2, 3). */
#define PLACE 2 /* words */

/* A channel's weights in halfwords, times 256: of each of three places, lines (0, 1) and (2, none). */
#define TAPS(first, second, third)                                                                                \
    "mula.da." first ".ldinc m1, %[x], m0, %[w0]\n\t" "mula.da." second ", %[w0]\n\t"                             \
    "mula.da." third ".ldinc m0, %[x], m1, %[w1]\n\t"                                                             \
    "mula.da." first ".ldinc m1, %[x], m0, %[w2]\n\t" "mula.da." second ", %[w2]\n\t"                             \
    "mula.da." third ".ldinc m0, %[x], m1, %[w3]\n\t"                                                             \
    "mula.da." first ".ldinc m1, %[x], m0, %[w4]\n\t" "mula.da." second ", %[w4]\n\t"                             \
    "add %[x], %[x], %[back]\n\t"                                                                                 \
    "mula.da." third ".ldinc m0, %[x], m1, %[w5]\n\t"

/* sums[i] = start + nine products, for `count` windows that are `stride` places apart. Nine taps in nine instructions, with the loads; a
 * function of its own because it uses the loop registers and the accumulator. Reads up to three words behind the last window. */
#define LINE(name, first, second, third)                                                                          \
    static __attribute__((noinline)) void name(const uint32_t *x, const int32_t *w, int32_t start, int32_t *sums, \
                                               int32_t count, int32_t stride) {                                   \
        const int32_t back = 8 * stride - 24;                                                                     \
        int32_t sum;                                                                                              \
        __asm volatile(                                                                                           \
            "addi %[x], %[x], -4\n\t"                                                                             \
            "ldinc m0, %[x]\n\t"                                                                                  \
            "loop %[count], 1f\n\t"                                                                               \
            "wsr %[start], acclo\n\t" TAPS(first, second, third)                                                  \
            "rsr %[sum], acclo\n\t"                                                                               \
            "s32i %[sum], %[sums], 0\n\t"                                                                         \
            "addi %[sums], %[sums], 4\n"                                                                          \
            "1:\n\t"                                                                                              \
            : [x] "+r"(x), [sum] "=&r"(sum), [sums] "+r"(sums)                                                    \
            : [count] "r"(count), [start] "r"(start), [back] "r"(back), [w0] "r"(w[0]), [w1] "r"(w[1]),           \
              [w2] "r"(w[2]), [w3] "r"(w[3]), [w4] "r"(w[4]), [w5] "r"(w[5])                                      \
            : "memory");                                                                                          \
    }

/* Windows that begin on line 0 of the four, and on line 1. */
LINE(line_0, "ll", "hh m0", "ll")
LINE(line_1, "hl", "lh m1", "hl")

/* Moves two lines up at `count` places and puts the next two behind them, of which each is read from `a` or `b` on, `step_a` or `step_b`
 * bytes from place to place. */
static __attribute__((noinline)) void next_lines(const int8_t *a, int32_t step_a, const int8_t *b, int32_t step_b, int32_t count,
                                                 uint32_t *x) {
    for (uint32_t *const end = x + PLACE * count; x != end; x += PLACE) {
        const uint32_t pair = (uint32_t)*(const uint8_t *)a | (uint32_t)*(const uint8_t *)b << 16;
        x[0] = x[1];
        x[1] = pair ^ 0x00800080u;
        a += step_a;
        b += step_b;
    }
}

/* One input line: from where on it is read, and bytes from place to place; outside the image the same zero point again and again. */
typedef struct {
    const int8_t *from;
    int32_t step;
} source;

static inline source line_source(const tinyc_depthwise_conv_2d_lines_params *p, const int8_t *channel, int32_t line, const int8_t *outside) {
    source s = {outside, 0};
    if (line >= 0 && line < p->input_lines) {
        s.from = channel + line * p->input_line_step;
        s.step = p->input_place_step;
    }
    return s;
}

/* One output channel of one image. `x` has the four lines' places, with those outside the image before and behind. */
static void channel_lines(const tinyc_depthwise_conv_2d_lines_params *p, const int8_t *channel, const int32_t *record, int8_t *output,
                          const int8_t *outside, uint32_t *x, int32_t *sums) {
    uint32_t *const inside = x + PLACE * p->pad_places;
    const int32_t needed = (p->output_places - 1) * p->stride + 3 - p->pad_places;
    const int32_t places = needed < p->input_places ? needed : p->input_places;
    const int32_t per_step = p->stride == 1 ? 2 : 1;
    tinyc_scaling scaling;
    int32_t w[6];
    const int8_t *const taps = (const int8_t *)record;
    for (int32_t i = 0; i < 3; i++) {
        w[2 * i] = (int32_t)((uint32_t)(taps[3 * i] * 256) & 0xFFFFu) | (int32_t)((uint32_t)taps[3 * i + 1] << 24);
        w[2 * i + 1] = taps[3 * i + 2] * 256;
    }
    scaling.multiplier = record[4];
    scaling.rounding = record[5];
    scaling.shift = taps[9];
    scaling.negative = p->negative;
    scaling.low = p->activation_min;
    scaling.high = p->activation_max;
    for (int32_t line = -per_step; line < p->output_lines; line += per_step) {
        /* The first step only fetches. */
        const int32_t first = line * p->stride - p->pad_lines + 2;
        const source a = line_source(p, channel, first, outside);
        const source b = line_source(p, channel, first + 1, outside);
        next_lines(a.from, a.step, b.from, b.step, places, inside);
        if (line >= 0) {
            line_0(x, w, record[3], sums, p->output_places, p->stride);
            tinyc_scale(&scaling, sums, p->output_places, output, p->output_place_step);
            output += p->output_line_step;
            if (p->stride == 1 && line + 1 < p->output_lines) {
                line_1(x, w, record[3], sums, p->output_places, 1);
                tinyc_scale(&scaling, sums, p->output_places, output, p->output_place_step);
                output += p->output_line_step;
            }
        }
    }
}

TINYC_KERNEL void tinyc_depthwise_conv_2d_s8_xtensa(const tinyc_depthwise_conv_2d_lines_params *params, const int8_t *restrict input,
                                                    const int32_t *restrict stream, int8_t *restrict output, void *scratch) {
    const tinyc_depthwise_conv_2d_lines_params *const p = params;
    const int32_t places = (p->output_places - 1) * p->stride + 3;
    uint32_t *const x = scratch;
    int32_t *const sums = (int32_t *)(x + PLACE * places + 4);
    const int8_t outside = (int8_t)p->input_zero_point;
    for (int32_t i = 0; i < PLACE * places; i++) {
        x[i] = ((uint32_t)(p->input_zero_point + 128)) * 0x00010001u;
    }
    for (int32_t b = 0; b < p->batches; b++) {
        const int32_t *record = stream;
        for (int32_t channel = 0; channel < p->input_depth; channel++) {
            for (int32_t k = 0; k < p->multiplier; k++) {
                channel_lines(p, input + channel, record, output + channel * p->multiplier + k, &outside, x, sums);
                record += RECORD;
            }
        }
        input += p->input_lines * p->input_places * p->input_depth;
        output += p->output_lines * p->output_places * p->input_depth * p->multiplier;
    }
}
