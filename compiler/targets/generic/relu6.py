# SPDX-License-Identifier: Apache-2.0
"""RELU6 in portable C: a table in int8."""

from ...ops.relu6 import quantized_six, values
from ._lookup import lookup_kernel
from ._requantize import requantize_kernel
from .relu import float_kernel

KERNELS = (
    lookup_kernel("RELU6", values),
    requantize_kernel("RELU6", lambda layer: (0, quantized_six(layer.output))),
    float_kernel("RELU6", 6.0),
)
