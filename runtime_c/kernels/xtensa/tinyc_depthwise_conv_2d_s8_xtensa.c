/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_mac16.h"

#define RECORD 6 /* words per output channel */

/* The input of a channel on four lines, as halfwords x + 128: of each place the words of lines (0, 1) and (2, 3). */
#define PLACE 2 /* words */

/* A channel's weights in halfwords, times 256: of places 0, 1 and 2 lines (0, 1) in m0, m1 and m2; line 2 of places 0 and 1 in m3 and of
 * place 2 in w8. Nothing is loaded into m0 to m3 while they are used: QEMU 7.2 would go on with the old ones in the same block.
 * Nine taps of the places (a0, b0), (a1, b1), (a2, b2), for a window that begins on line 0 of the four, and on line 1. */
#define LINE_0(a0, b0, a1, b1, a2, b2)                                                            \
    "mula.da.ll m0, %[" a0 "]\n\t" "mula.da.hh m0, %[" a0 "]\n\t" "mula.ad.ll %[" b0 "], m3\n\t"  \
    "mula.da.ll m1, %[" a1 "]\n\t" "mula.da.hh m1, %[" a1 "]\n\t" "mula.ad.lh %[" b1 "], m3\n\t"  \
    "mula.ad.ll %[" a2 "], m2\n\t" "mula.ad.hh %[" a2 "], m2\n\t" "mula.aa.ll %[" b2 "], %[w8]\n\t"
#define LINE_1(a0, b0, a1, b1, a2, b2)                                                            \
    "mula.da.lh m0, %[" a0 "]\n\t" "mula.da.hl m0, %[" b0 "]\n\t" "mula.ad.hl %[" b0 "], m3\n\t"  \
    "mula.da.lh m1, %[" a1 "]\n\t" "mula.da.hl m1, %[" b1 "]\n\t" "mula.ad.hh %[" b1 "], m3\n\t"  \
    "mula.ad.hl %[" a2 "], m2\n\t" "mula.ad.lh %[" b2 "], m2\n\t" "mula.aa.hl %[" b2 "], %[w8]\n\t"

#define LOAD(a, b, at_a, at_b) "l32i %[" a "], %[x], " at_a "\n\t" "l32i %[" b "], %[x], " at_b "\n\t"
#define SUM(taps, at)                   \
    "wsr %[start], acclo\n\t" taps      \
    "rsr %[sum], acclo\n\t"             \
    "s32i %[sum], %[sums], " at "\n\t"

/* Three windows that are one place apart: of each place the next two words. */
#define STRIDE_1(line)                                                                        \
    LOAD("a2", "b2", "16", "20") SUM(line("a0", "b0", "a1", "b1", "a2", "b2"), "0")           \
    LOAD("a0", "b0", "24", "28") SUM(line("a1", "b1", "a2", "b2", "a0", "b0"), "4")           \
    LOAD("a1", "b1", "32", "36") SUM(line("a2", "b2", "a0", "b0", "a1", "b1"), "8")           \
    "addi %[x], %[x], 24\n\t"

/* Three windows that are two places apart. */
#define STRIDE_2(line)                                                                                                      \
    LOAD("a1", "b1", "8", "12") LOAD("a2", "b2", "16", "20") SUM(line("a0", "b0", "a1", "b1", "a2", "b2"), "0")             \
    LOAD("a0", "b0", "24", "28") LOAD("a1", "b1", "32", "36") SUM(line("a2", "b2", "a0", "b0", "a1", "b1"), "4")            \
    LOAD("a2", "b2", "40", "44") LOAD("a0", "b0", "48", "52") SUM(line("a1", "b1", "a2", "b2", "a0", "b0"), "8")            \
    "addi %[x], %[x], 48\n\t"

/* sums[i] = start + nine products, for 3 * `threes` windows. A function of its own because it uses the loop registers and the
 * accumulator. */
#define FUNCTION(name, windows)                                                                                          \
    static __attribute__((noinline)) void name(const uint32_t *x, const int32_t *w, int32_t start, int32_t *sums,        \
                                               int32_t threes) {                                                         \
        uint32_t a0 = x[0], b0 = x[1], a1 = x[2], b1 = x[3], a2, b2;                                                     \
        const int32_t w8 = w[4];                                                                                         \
        int32_t sum;                                                                                                     \
        __asm volatile(                                                                                                  \
            "addi %[sum], %[w], -4\n\t"                                                                                  \
            "ldinc m0, %[sum]\n\t"                                                                                       \
            "ldinc m1, %[sum]\n\t"                                                                                       \
            "ldinc m2, %[sum]\n\t"                                                                                       \
            "ldinc m3, %[sum]\n\t"                                                                                       \
            "loop %[threes], 1f\n\t" windows                                                                             \
            "addi %[sums], %[sums], 12\n"                                                                                \
            "1:\n\t"                                                                                                     \
            : [x] "+r"(x), [sums] "+r"(sums), [a0] "+r"(a0), [b0] "+r"(b0), [a1] "+r"(a1), [b1] "+r"(b1),                \
              [a2] "=&r"(a2), [b2] "=&r"(b2), [sum] "=&r"(sum)                                                           \
            : [w] "r"(w), [start] "r"(start), [w8] "r"(w8), [threes] "r"(threes)                                         \
            : "memory");                                                                                                 \
    }

FUNCTION(line_0, STRIDE_1(LINE_0))
FUNCTION(line_1, STRIDE_1(LINE_1))
FUNCTION(line_0_stride_2, STRIDE_2(LINE_0))

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

/* Two bytes as halfwords times 256. */
static inline int32_t pair(uint32_t low, uint32_t high) {
    return (int32_t)(low << 8 | high << 24);
}

/* Lines `first` to `end` - 1 of one output channel of one image, `output` at the first of them. `x` has the four lines' places, with those outside the image before and behind. */
static void channel_lines(const tinyc_depthwise_conv_2d_lines_params *p, const int8_t *channel, const int32_t *record, int32_t first,
                          int32_t end, int8_t *output, const int8_t *outside, uint32_t *x, int32_t *sums) {
    uint32_t *const inside = x + PLACE * p->pad_places;
    const int32_t needed = (p->output_places - 1) * p->stride + 3 - p->pad_places;
    const int32_t places = needed < p->input_places ? needed : p->input_places;
    const int32_t per_step = p->stride == 1 ? 2 : 1;
    tinyc_scaling scaling;
    const int32_t threes = (p->output_places + 2) / 3;
    const uint8_t *const taps = (const uint8_t *)record;
    const int32_t w[5] = {pair(taps[0], taps[1]), pair(taps[3], taps[4]), pair(taps[6], taps[7]), pair(taps[2], taps[5]),
                          pair(taps[8], 0)};
    scaling.multiplier = record[4];
    scaling.rounding = record[5];
    scaling.shift = taps[9];
    scaling.negative = p->negative;
    scaling.low = p->activation_min;
    scaling.high = p->activation_max;
    for (int32_t line = first - per_step; line < end; line += per_step) {
        /* The first step only fetches. */
        const int32_t next = line * p->stride - p->pad_lines + 2;
        const source a = line_source(p, channel, next, outside);
        const source b = line_source(p, channel, next + 1, outside);
        next_lines(a.from, a.step, b.from, b.step, places, inside);
        if (line >= first) {
            if (p->stride == 1) {
                line_0(x, w, record[3], sums, threes);
            } else {
                line_0_stride_2(x, w, record[3], sums, threes);
            }
            tinyc_scale(&scaling, sums, p->output_places, output, p->output_place_step);
            output += p->output_line_step;
            if (p->stride == 1 && line + 1 < end) {
                line_1(x, w, record[3], sums, threes);
                tinyc_scale(&scaling, sums, p->output_places, output, p->output_place_step);
                output += p->output_line_step;
            }
        }
    }
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_depthwise_conv_2d_s8_xtensa(const tinyc_depthwise_conv_2d_lines_params *params, const int8_t *input,
                                                    const int32_t *restrict stream, int8_t *output, void *scratch) {
    const tinyc_depthwise_conv_2d_lines_params *const p = params;
    const int32_t outputs = (p->output_places + 2) / 3 * 3;
    const int32_t places = (outputs - 1) * p->stride + 3;
    uint32_t *const x = scratch;
    int32_t *const sums = (int32_t *)(x + PLACE * places);
    const int8_t outside = (int8_t)p->input_zero_point;
    for (int32_t i = 0; i < PLACE * places; i++) {
        x[i] = ((uint32_t)(p->input_zero_point + 128)) * 0x00010001u;
    }
    for (int32_t b = 0; b < p->batches; b++) {
        for (int32_t first = 0; first < p->output_lines; first += p->band) {
            const int32_t end = p->output_lines - first < p->band ? p->output_lines : first + p->band;
            const int32_t *record = stream;
            int8_t *out = output + first * p->output_line_step;
            for (int32_t channel = 0; channel < p->input_depth; channel++) {
                for (int32_t k = 0; k < p->multiplier; k++) {
                    channel_lines(p, input + channel, record, first, end, out++, &outside, x, sums);
                    record += RECORD;
                }
            }
        }
        input += p->input_lines * p->input_places * p->input_depth;
        output += p->output_lines * p->output_places * p->input_depth * p->multiplier;
    }
}
