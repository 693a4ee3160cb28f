# SPDX-License-Identifier: Apache-2.0
"""LOGISTIC in portable C: a table in int8."""

from ...ops.logistic import values
from ._lookup import lookup_kernel
from ._sigmoid import float_kernel, int16_kernel

KERNELS = (
    lookup_kernel("LOGISTIC", values),
    int16_kernel("LOGISTIC"),
    float_kernel("LOGISTIC", "tinyc_logistic_f32"),
)
