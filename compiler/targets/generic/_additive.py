# SPDX-License-Identifier: Apache-2.0
"""ADD and SUB share their kernels: in int8 one for any shapes and a faster one for equal shapes and most scales; int16; float32."""

from __future__ import annotations

from ...graph import Layer
from ...ops._additive import RealMultipliers, quantized
from ...ops._fixed_point import activation_range
from ...ops._floats import float_range
from ...program import Binding, Input, Output, Params, ParamsPointer
from .. import Kernel, _weighted_sum
from ._broadcast import broadcast_fields, overlap


def additive_kernel(op: str, multipliers: RealMultipliers, sign: int) -> Kernel:
    """`tinyc_add_s8` for ADD (`sign` 1) or SUB (`sign` -1)."""

    def bind(layer: Layer) -> Binding:
        fields, shape = broadcast_fields(layer)
        pairs = quantized(multipliers(layer))
        # All that is shifted is at most 2^28, which 30 bits send to zero as 31 would.
        right_shift = [min(-shift, 30) for _, shift in pairs]
        low, high = activation_range(layer.attributes["activation"], layer.output)
        params = Params(
            "tinyc_add_params",
            {
                **fields,
                "input1_offset": -layer.input(0).zero_point,
                "input1_multiplier": pairs[0][0],
                "input1_right_shift": right_shift[0],
                "input2_offset": -layer.input(1).zero_point,
                "input2_multiplier": pairs[1][0],
                "input2_right_shift": right_shift[1],
                "input2_sign": sign,
                "output_offset": layer.output.zero_point,
                "output_multiplier": pairs[2][0],
                "output_right_shift": right_shift[2],
                "activation_min": low,
                "activation_max": high,
            },
        )
        args = (ParamsPointer(), Input(0), Input(1), Output())
        return Binding(args, params, (shape,), overlap=overlap(layer))

    return Kernel("tinyc_add_s8", op, bind, lambda layer: 60.0 * layer.output.elements)


def weighted_sum_kernel(op: str, multipliers: RealMultipliers, sign: int) -> Kernel:
    """`tinyc_weighted_sum_s8` for ADD (`sign` 1) or SUB (`sign` -1)."""

    def cost(layer: Layer) -> float:
        return 30.0 + 21.0 * layer.output.elements

    return _weighted_sum.kernel("tinyc_weighted_sum_s8", "generic", op, multipliers, sign, cost)


def int16_kernel(op: str, multipliers: RealMultipliers, sign: int) -> Kernel:
    """`tinyc_add_s16` for ADD (`sign` 1) or SUB (`sign` -1)."""

    def bind(layer: Layer) -> Binding:
        fields, shape = broadcast_fields(layer)
        (q1, shift1), (q2, shift2), (q, shift) = quantized(multipliers(layer))
        low, high = activation_range(layer.attributes["activation"], layer.output)
        params = Params(
            "tinyc_add_s16_params",
            {
                **fields,
                "input1_multiplier": q1,
                "input1_right_shift": -shift1,
                "input2_multiplier": q2,
                "input2_right_shift": -shift2,
                "input2_sign": sign,
                "output_multiplier": q,
                "output_right_shift": -shift,
                "activation_min": low,
                "activation_max": high,
            },
        )
        args = (ParamsPointer(), Input(0), Input(1), Output())
        return Binding(args, params, (shape,), overlap=overlap(layer))

    return Kernel("tinyc_add_s16", op, bind, lambda layer: 60.0 * layer.output.elements, dtype="int16")


def float_kernel(op: str, sign: int) -> Kernel:
    """`tinyc_add_f32` for ADD (`sign` 1) or SUB (`sign` -1)."""

    def bind(layer: Layer) -> Binding:
        fields, shape = broadcast_fields(layer)
        low, high = float_range(layer.attributes["activation"])
        params = Params(
            "tinyc_add_f32_params",
            {**fields, "input2_sign": float(sign), "activation_min": low, "activation_max": high},
        )
        args = (ParamsPointer(), Input(0), Input(1), Output())
        return Binding(args, params, (shape,), overlap=overlap(layer))

    return Kernel("tinyc_add_f32", op, bind, lambda layer: 40.0 * layer.output.elements, dtype="float32")
