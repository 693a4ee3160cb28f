/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_scale_high.h"

#if !defined(__riscv_mul) || __riscv_xlen != 32
#error "tinyc_depthwise_planes_s8_rv32.c needs RV32 with multiplication: compile with -march=rv32im, rv32imc or the like"
#endif

#define TINYC_PLANE int8_t
#define TINYC_PLANE_BYTE(x) ((int8_t)(x))
#include "tinyc_depthwise_planes.h"

static void scale_line(const tinyc_depthwise_planes_params *p, const int32_t *scaling, const int32_t *sums, int8_t *output) {
    for (const int32_t *const end = sums + p->output_places; sums != end; sums++) {
        *output = (int8_t)tinyc_scale_high(*sums, scaling, p->negative, p->activation_min, p->activation_max);
        output += p->output_place_step;
    }
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_depthwise_planes_s8_rv32(const tinyc_depthwise_planes_params *params, const int8_t *input,
                                                 const int32_t *restrict stream, int8_t *output, void *scratch) {
    tinyc_depthwise_planes(params, input, stream, output, scratch);
}
