# SPDX-License-Identifier: Apache-2.0
"""LOGISTIC and TANH: gemmlowp's functions of the input with 4 integer bits."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..graph import Array, Layer
from . import Constraint
from ._elementwise import Values
from ._exponential import input_radius
from ._fixed_point import multiply_by_quantized_multiplier, rounding_divide_by_pot

INTEGER_BITS = 4


def input_scale_fits(layer: Layer) -> str | None:
    """The input scale must be at least 2^-28 and less than 2^31."""
    scale = layer.input(0).scale
    return None if 2.0**-28 <= scale < 2.0**31 else str(scale)


def output_quantization(scale: float, zero_point: int) -> Constraint:
    """TFLite Micro's kernel computes for one output quantization only, whatever the tensor says."""

    def check(layer: Layer) -> str | None:
        output = layer.output
        fits = abs(output.scale / scale - 1.0) < 1e-3 and output.zero_point == zero_point
        return None if fits else f"scale {output.scale} and zero point {output.zero_point}"

    check.__doc__ = f"The output must have scale 1/{round(1 / scale)} and zero point {zero_point}."
    return check


def sigmoid_values(function: Callable[[Array], Array], output_bits: int, zero_point: int) -> Values:
    """int8 outputs of `function` (4 to 0 integer bits), rounded to `output_bits` bits after the binary point."""

    def values(layer: Layer, x: Array) -> Array:
        source = layer.input(0)
        mantissa, left_shift = math.frexp(source.scale * 2.0 ** (31 - INTEGER_BITS))
        q = round(mantissa * 2.0**31)  # exact: the scale is a float32
        radius = input_radius(INTEGER_BITS, left_shift)
        centered = x.astype(np.int64) - source.zero_point
        inside = np.clip(centered, 1 - radius, radius - 1) if radius else np.zeros_like(centered)
        exact = rounding_divide_by_pot(
            function(multiply_by_quantized_multiplier(inside, q, left_shift)), 31 - output_bits
        )
        result = np.clip(exact + zero_point, -128, 127)
        return np.where(centered <= -radius, -128, np.where(centered >= radius, 127, result)).astype(np.int8)

    return values
