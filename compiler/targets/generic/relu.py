# SPDX-License-Identifier: Apache-2.0
"""RELU in portable C: a table in int8."""

from __future__ import annotations

from ...graph import Layer
from ...ops._elementwise import largest
from ...ops.relu import values
from ...program import Binding, Input, Output, Params, ParamsPointer
from .. import Kernel
from ._lookup import lookup_kernel
from ._requantize import requantize_kernel


def float_kernel(op: str, most: float) -> Kernel:
    """`tinyc_relu_f32` for an operator that clamps to 0 and `most`."""

    def bind(layer: Layer) -> Binding:
        params = Params("tinyc_relu_f32_params", {"size": layer.output.elements, "most": most})
        return Binding((ParamsPointer(), Input(0), Output()), params, overlap={0: 0})

    return Kernel("tinyc_relu_f32", op, bind, lambda layer: 12.0 * layer.output.elements, dtype="float32")


KERNELS = (
    lookup_kernel("RELU", values),
    requantize_kernel("RELU", lambda layer: (0, largest(layer.output))),
    float_kernel("RELU", float("inf")),
)
