# SPDX-License-Identifier: Apache-2.0
"""TANH in portable C: a table in int8."""

from ...ops.tanh import values
from ._lookup import lookup_kernel
from ._sigmoid import float_kernel, int16_kernel

KERNELS = (
    lookup_kernel("TANH", values),
    int16_kernel("TANH"),
    float_kernel("TANH", "tinyc_tanh_f32"),
)
