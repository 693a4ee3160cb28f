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

/* What `products` is asked to do for `units` units. */
typedef struct {
    const uint32_t *x;
    const int32_t *weights; /* 4 * groups of each unit */
    int32_t skip;           /* bytes from behind them to the next unit's */
    int32_t groups;
    int32_t start;          /* of all sums */
    const int32_t *add;     /* what is added to each sum */
    int32_t add_step;       /* bytes */
    int32_t *sums;
    const int32_t *end;
} request;

/* sums[u] = add[u] + start + 256 * (dot product of unit u): of four weights in a word, those with even k have 128 added and are used as they
 * are, those with odd k are used times 256. Reads one word behind x. 8 instructions for four multiply-accumulates; a function of its own
 * because it uses the loop registers and the accumulator. */
static __attribute__((noinline)) void products(const request *r) {
    const uint32_t *x = r->x;
    const int32_t *w = r->weights;
    const int32_t *add = r->add;
    int32_t *sums = r->sums;
    const uint32_t *at;
    uint32_t word, half;
    __asm volatile(
        "addi %[x], %[x], -4\n"
        "1:\n\t"
        "mov %[at], %[x]\n\t"
        "wsr %[start], acclo\n\t"
        "ldinc m0, %[at]\n\t"
        "loop %[groups], 2f\n\t"
        "l32i %[word], %[w], 0\n\t"
        "addi %[w], %[w], 4\n\t"
        "and %[half], %[word], %[high]\n\t"
        "xor %[word], %[word], %[half]\n\t"
        "mula.da.ll.ldinc m1, %[at], m0, %[word]\n\t"
        "mula.da.hh m0, %[word]\n\t"
        "mula.da.ll.ldinc m0, %[at], m1, %[half]\n\t"
        "mula.da.hh m1, %[half]\n"
        "2:\n\t"
        "l32i %[word], %[add], 0\n\t"
        "rsr %[half], acclo\n\t"
        "add %[half], %[half], %[word]\n\t"
        "s32i %[half], %[sums], 0\n\t"
        "add %[w], %[w], %[skip]\n\t"
        "add %[add], %[add], %[step]\n\t"
        "addi %[sums], %[sums], 4\n\t"
        "bne %[sums], %[end], 1b\n\t"
        : [x] "+r"(x), [w] "+r"(w), [at] "=&r"(at), [word] "=&r"(word), [half] "=&r"(half), [sums] "+r"(sums), [add] "+r"(add)
        : [groups] "r"(r->groups), [start] "r"(r->start), [high] "r"(0xFF00FF00u), [skip] "r"(r->skip), [step] "r"(r->add_step),
          [end] "r"(r->end)
        : "memory");
}

/* `units` sums of a row, whose weights begin at `stream`; `even` is what `widen` returned where x has the whole row. */
static void block(const tinyc_fully_connected_units_params *p, const int8_t *input, const int32_t *stream, int32_t even, uint32_t *x,
                  int32_t *sums, int32_t units) {
    const int32_t groups = (p->input_depth + 3) >> 2;
    request r = {x, stream, 0, 0, 0, stream + groups, 4 * (groups + 1), sums, sums + units};
    for (int32_t first = 0; first < p->input_depth; first += p->segment) {
        const int32_t count = p->input_depth - first < p->segment ? p->input_depth - first : p->segment;
        if (p->segment < p->input_depth) {
            even = widen(input + first, count, x);
        }
        r.groups = (count + 3) >> 2;
        r.skip = 4 * (groups + 1 - r.groups);
        r.start = -32768 * even;
        products(&r);
        r.weights += r.groups;
        r.add = sums;
        r.add_step = 4;
    }
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_fully_connected_s8_xtensa(const tinyc_fully_connected_units_params *params, const int8_t *input,
                                                  const int32_t *restrict stream, const int32_t *restrict scaling,
                                                  int8_t *output, void *scratch) {
    const tinyc_fully_connected_units_params *const p = params;
    const int32_t words = ((p->input_depth + 3) >> 2) + 1;
    uint32_t *const x = scratch;
    int32_t *const sums = (int32_t *)(x + p->segment / 2 + 1);
    tinyc_scaling s;
    s.negative = p->negative;
    s.low = p->activation_min;
    s.high = p->activation_max;
    for (int32_t b = 0; b < p->batches; b++) {
        const int32_t *scale = scaling;
        const int32_t even = p->segment < p->input_depth ? 0 : widen(input, p->input_depth, x);
        for (int32_t first = 0; first < p->output_depth; first += p->block) {
            const int32_t units = p->output_depth - first < p->block ? p->output_depth - first : p->block;
            const int32_t together = p->scaling_step == 0 ? units : 1;
            block(p, input, stream + first * words, even, x, sums, units);
            for (int32_t unit = 0; unit < units; unit += together) {
                s.multiplier = scale[0];
                s.rounding = scale[1];
                s.shift = scale[2];
                tinyc_scale(&s, sums + unit, together, output + unit, 1);
                scale += p->scaling_step;
            }
            output += units;
        }
        input += p->input_depth;
    }
}
