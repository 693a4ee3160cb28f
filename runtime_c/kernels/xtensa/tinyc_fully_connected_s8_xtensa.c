/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_mac16.h"

/* The inputs as halfwords: of four, 256 * (x0, x2) and (x1 + 128, x3 + 128). Missing ones count as zeros. Returns the sum of those with
 * even k. */
static int32_t widen(const int8_t *from, int32_t depth, uint32_t *x) {
    int32_t sum = 0;
    for (; depth >= 4; depth -= 4) {
        sum += from[0] + from[2];
        x[0] = (uint32_t)(uint8_t)from[0] << 8 | (uint32_t)(uint8_t)from[2] << 24;
        x[1] = (uint32_t)(from[1] + 128) | (uint32_t)(from[3] + 128) << 16;
        from += 4;
        x += 2;
    }
    if (depth > 0) {
        const int32_t third = depth > 2 ? from[2] : 0;
        sum += from[0] + third;
        x[0] = (uint32_t)(uint8_t)from[0] << 8 | (uint32_t)(uint8_t)third << 24;
        x[1] = (uint32_t)((depth > 1 ? from[1] : 0) + 128);
    }
    return sum;
}

/* sums[u] = 256 * (dot product of unit u) for `units` units of 4 * `groups` weights: of four in a word, those with even k have 128 added and
 * are used as they are, those with odd k are used times 256. `stream` has the start values behind each unit's weights, to which `start` is
 * added. Reads one word behind x. 8 instructions for four multiply-accumulates; a function of its own because it uses the loop registers
 * and the accumulator. */
static __attribute__((noinline)) void products(const uint32_t *x, const int32_t *stream, int32_t groups, int32_t start, int32_t *sums,
                                               int32_t units) {
    const uint32_t *at;
    uint32_t word, half;
    const uint32_t low = 0x00FF00FFu;
    const uint32_t high = 0xFF00FF00u;
    __asm volatile(
        "addi %[x], %[x], -4\n"
        "1:\n\t"
        "mov %[at], %[x]\n\t"
        "movi %[half], 0\n\t"
        "wsr %[half], acclo\n\t"
        "ldinc m0, %[at]\n\t"
        "loop %[groups], 2f\n\t"
        "l32i %[word], %[w], 0\n\t"
        "addi %[w], %[w], 4\n\t"
        "and %[half], %[word], %[low]\n\t"
        "mula.da.ll.ldinc m1, %[at], m0, %[half]\n\t"
        "mula.da.hh m0, %[half]\n\t"
        "and %[word], %[word], %[high]\n\t"
        "mula.da.ll.ldinc m0, %[at], m1, %[word]\n\t"
        "mula.da.hh m1, %[word]\n"
        "2:\n\t"
        "l32i %[word], %[w], 0\n\t"
        "rsr %[half], acclo\n\t"
        "add %[word], %[word], %[start]\n\t"
        "add %[half], %[half], %[word]\n\t"
        "s32i %[half], %[sums], 0\n\t"
        "addi %[w], %[w], 4\n\t"
        "addi %[sums], %[sums], 4\n\t"
        "addi %[units], %[units], -1\n\t"
        "bnez %[units], 1b\n\t"
        : [x] "+r"(x), [w] "+r"(stream), [at] "=&r"(at), [word] "=&r"(word), [half] "=&r"(half), [sums] "+r"(sums), [units] "+r"(units)
        : [groups] "r"(groups), [start] "r"(start), [low] "r"(low), [high] "r"(high)
        : "memory");
}

TINYC_KERNEL void tinyc_fully_connected_s8_xtensa(const tinyc_fully_connected_units_params *params, const int8_t *restrict input,
                                                  const int32_t *restrict stream, const int32_t *restrict scaling,
                                                  int8_t *restrict output, void *scratch) {
    const tinyc_fully_connected_units_params *const p = params;
    const int32_t groups = (p->input_depth + 3) >> 2;
    uint32_t *const x = scratch;
    int32_t *const sums = (int32_t *)(x + 2 * groups + 1);
    const int32_t together = p->scaling_step == 0 ? p->output_depth : 1;
    tinyc_scaling s;
    s.negative = p->negative;
    s.low = p->activation_min;
    s.high = p->activation_max;
    for (int32_t b = 0; b < p->batches; b++) {
        const int32_t *scale = scaling;
        const int32_t even = widen(input, p->input_depth, x);
        products(x, stream, groups, -32768 * even, sums, p->output_depth);
        for (int32_t unit = 0; unit < p->output_depth; unit += together) {
            s.multiplier = scale[0];
            s.rounding = scale[1];
            s.shift = scale[2];
            tinyc_scale(&s, sums + unit, together, output + unit, 1);
            scale += p->scaling_step;
        }
        input += p->input_depth;
        output += p->output_depth;
    }
}
