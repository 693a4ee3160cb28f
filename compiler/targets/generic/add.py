# SPDX-License-Identifier: Apache-2.0
"""ADD in portable C."""

from ...ops._additive import add_multipliers
from ._additive import additive_kernel, float_kernel, int16_kernel, weighted_sum_kernel

KERNELS = (
    additive_kernel("ADD", add_multipliers, 1),
    weighted_sum_kernel("ADD", add_multipliers, 1),
    int16_kernel("ADD", add_multipliers, 1),
    float_kernel("ADD", 1),
)
