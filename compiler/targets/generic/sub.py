# SPDX-License-Identifier: Apache-2.0
"""SUB in portable C: ADD with a negative sign."""

from ...ops._additive import sub_multipliers
from ._additive import additive_kernel, float_kernel, int16_kernel, weighted_sum_kernel

KERNELS = (
    additive_kernel("SUB", sub_multipliers, -1),
    weighted_sum_kernel("SUB", sub_multipliers, -1),
    int16_kernel("SUB", sub_multipliers, -1),
    float_kernel("SUB", -1),
)
