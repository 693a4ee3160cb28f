# SPDX-License-Identifier: Apache-2.0
"""MUL in portable C."""

from __future__ import annotations

from ...graph import Layer
from ...ops._fixed_point import activation_range
from ...ops._floats import float_range
from ...ops.mul import multiplier
from ...program import Binding, Input, Output, Params, ParamsPointer
from .. import Kernel
from ._broadcast import broadcast_fields, overlap


def _bind(layer: Layer) -> Binding:
    fields, shape = broadcast_fields(layer)
    q, shift = multiplier(layer)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    params = Params(
        "tinyc_mul_params",
        {
            **fields,
            "input1_offset": -layer.input(0).zero_point,
            "input2_offset": -layer.input(1).zero_point,
            "output_offset": layer.output.zero_point,
            "multiplier": q,
            "shift": shift,
            "activation_min": low,
            "activation_max": high,
        },
    )
    args = (ParamsPointer(), Input(0), Input(1), Output())
    return Binding(args, params, (shape,), overlap=overlap(layer))


def _bind_int16(layer: Layer) -> Binding:
    fields, shape = broadcast_fields(layer)
    q, shift = multiplier(layer)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    numbers = {"multiplier": q, "right_shift": -shift, "activation_min": low, "activation_max": high}
    args = (ParamsPointer(), Input(0), Input(1), Output())
    return Binding(args, Params("tinyc_mul_s16_params", {**fields, **numbers}), (shape,), overlap=overlap(layer))


def _bind_float(layer: Layer) -> Binding:
    fields, shape = broadcast_fields(layer)
    low, high = float_range(layer.attributes["activation"])
    params = Params("tinyc_mul_f32_params", {**fields, "activation_min": low, "activation_max": high})
    return Binding((ParamsPointer(), Input(0), Input(1), Output()), params, (shape,), overlap=overlap(layer))


KERNELS = (
    Kernel("tinyc_mul_s8", "MUL", _bind, lambda layer: 30.0 * layer.output.elements),
    Kernel("tinyc_mul_s16", "MUL", _bind_int16, lambda layer: 30.0 * layer.output.elements, dtype="int16"),
    Kernel("tinyc_mul_f32", "MUL", _bind_float, lambda layer: 40.0 * layer.output.elements, dtype="float32"),
)
