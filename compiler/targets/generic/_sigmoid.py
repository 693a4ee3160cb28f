# SPDX-License-Identifier: Apache-2.0
"""The calls of LOGISTIC and TANH in int16 and float32."""

from __future__ import annotations

from ...graph import Layer
from ...ops._sigmoid import int16_multiplier
from ...program import Binding, Input, Output, Params, ParamsPointer, Scalar
from .. import Kernel


def int16_kernel(op: str) -> Kernel:
    """`tinyc_sigmoid_s16` for LOGISTIC or TANH."""

    def bind(layer: Layer) -> Binding:
        multiplier, shift = int16_multiplier(layer)
        numbers = {"size": layer.output.elements, "multiplier": multiplier, "shift": shift, "tanh": int(op == "TANH")}
        params = Params("tinyc_sigmoid_s16_params", numbers)
        return Binding((ParamsPointer(), Input(0), Output()), params, overlap={0: 0})

    return Kernel("tinyc_sigmoid_s16", op, bind, lambda layer: 40.0 * layer.output.elements, dtype="int16")


def float_kernel(op: str, function: str) -> Kernel:
    """`function`, which takes input, output and size."""

    def bind(layer: Layer) -> Binding:
        return Binding((Input(0), Output(), Scalar(layer.output.elements)), overlap={0: 0})

    return Kernel(function, op, bind, lambda layer: 120.0 * layer.output.elements, dtype="float32")
