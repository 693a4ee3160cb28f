/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_mac16.h"

/* Unsigned bytes, because Xtensa has no signed byte load. */
#define TINYC_PLANE uint8_t
#define TINYC_PLANE_BYTE(x) ((uint8_t)((x) + 128))
#include "tinyc_depthwise_planes.h"

static void scale_line(const tinyc_depthwise_planes_params *p, const int32_t *scaling, const int32_t *sums, int8_t *output) {
    const tinyc_scaling s = {scaling[0], scaling[1], scaling[2], p->negative, p->activation_min, p->activation_max};
    tinyc_scale(&s, sums, p->output_places, output, p->output_place_step);
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_depthwise_planes_s8_xtensa(const tinyc_depthwise_planes_params *params, const int8_t *input,
                                                   const int32_t *restrict stream, int8_t *output, void *scratch) {
    tinyc_depthwise_planes(params, input, stream, output, scratch);
}
