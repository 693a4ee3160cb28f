/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_scale_high.h"

#if !defined(__riscv_mul) || __riscv_xlen != 32
#error "tinyc_fully_connected_s8_rv32.c needs RV32 with multiplication: compile with -march=rv32im, rv32imc or the like"
#endif

#define UNITS 8

/* One k of eight units: 8 multiply-accumulates in 25 instructions. */
#define UNIT(w, s)                     \
    "mul %[t], %[v], " w "\n\t"        \
    "add %[" s "], %[" s "], %[t]\n\t"
#define STEP(k, w0, w1, w2, w3, w4, w5, w6, w7)                           \
    "lb %[v], " k "(%[x])\n\t"                                            \
    "lb %[a], " w0 "(%[w])\n\t"                                           \
    "lb %[b], " w1 "(%[w])\n\t"                                           \
    UNIT("%[a]", "s0") "lb %[a], " w2 "(%[w])\n\t"                        \
    UNIT("%[b]", "s1") "lb %[b], " w3 "(%[w])\n\t"                        \
    UNIT("%[a]", "s2") "lb %[a], " w4 "(%[w])\n\t"                        \
    UNIT("%[b]", "s3") "lb %[b], " w5 "(%[w])\n\t"                        \
    UNIT("%[a]", "s4") "lb %[a], " w6 "(%[w])\n\t"                        \
    UNIT("%[b]", "s5") "lb %[b], " w7 "(%[w])\n\t"                        \
    UNIT("%[a]", "s6") UNIT("%[b]", "s7")

/* sums[u] = sum_k x[k] * w[8 * k + u], k < depth. In assembly because gcc loads all weights ahead and spills. */
static __attribute__((noinline)) void products(const int8_t *x, const int8_t *w, int32_t depth, uint32_t *sums) {
    const int8_t *const end = x + depth;
    const int8_t *const fours = x + (depth & ~3);
    uint32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
    int32_t v, a, b, t;
    __asm("beq %[x], %[fours], 2f\n"
          "1:\n\t"
          STEP("0", "0", "1", "2", "3", "4", "5", "6", "7")
          STEP("1", "8", "9", "10", "11", "12", "13", "14", "15")
          STEP("2", "16", "17", "18", "19", "20", "21", "22", "23")
          "addi %[x], %[x], 4\n\t"
          "addi %[w], %[w], 32\n\t"
          STEP("-1", "-8", "-7", "-6", "-5", "-4", "-3", "-2", "-1")
          "bne %[x], %[fours], 1b\n"
          "2:\n\t"
          "beq %[x], %[end], 3f\n\t"
          STEP("0", "0", "1", "2", "3", "4", "5", "6", "7")
          "addi %[x], %[x], 1\n\t"
          "addi %[w], %[w], 8\n\t"
          "j 2b\n"
          "3:"
          : [x] "+r"(x), [w] "+r"(w), [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [s4] "+r"(s4), [s5] "+r"(s5),
            [s6] "+r"(s6), [s7] "+r"(s7), [v] "=&r"(v), [a] "=&r"(a), [b] "=&r"(b), [t] "=&r"(t)
          : [fours] "r"(fours), [end] "r"(end)
          : "memory");
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
    sums[4] = s4;
    sums[5] = s5;
    sums[6] = s6;
    sums[7] = s7;
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_fully_connected_s8_rv32(const tinyc_fully_connected_units_params *params, const int8_t *input,
                                                const int32_t *restrict stream, const int32_t *restrict scaling,
                                                int8_t *output) {
    const tinyc_fully_connected_units_params *const p = params;
    const int32_t sum_shift = p->sum_shift;
    const int32_t negative = p->negative;
    const int32_t low = p->activation_min;
    const int32_t high = p->activation_max;
    for (int32_t b = 0; b < p->batches; b++) {
        const int32_t *at = stream;
        const int32_t *scale = scaling;
        for (int32_t left = p->output_depth; left > 0; left -= UNITS) {
            uint32_t sums[UNITS];
            products(input, (const int8_t *)at, p->input_depth, sums);
            at += UNITS / 4 * p->input_depth;
            for (int32_t u = 0; u < (left < UNITS ? left : UNITS); u++) {
                const int32_t value = (int32_t)((sums[u] << sum_shift) + (uint32_t)at[u]);
                *output++ = (int8_t)tinyc_scale_high(value, scale, negative, low, high);
                scale += p->scaling_step;
            }
            at += UNITS;
        }
        input += p->input_depth;
    }
}
