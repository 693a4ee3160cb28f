# SPDX-License-Identifier: Apache-2.0
"""ADD and SUB: both inputs are brought to twice the larger scale with 20 more bits (15 in int16), added or subtracted, requantized.

TFLite Micro does so whatever a file says in `pot_scale_int16`, so exported files say that scales are not powers of two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Array, Layer
from . import Constraint
from ._broadcast import activation_export, float_reference
from ._fixed_point import activation_range, multiply_by_quantized_multiplier, quantize_multiplier

#: Extra bits of an int8 sum, and of an int16 one.
LEFT_SHIFT = 20
LEFT_SHIFT_INT16 = 15

#: The multipliers of input 1, input 2 and the output as real numbers.
RealMultipliers = Callable[[Layer], tuple[float, float, float]]


def export(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options in a file."""
    return {**activation_export(attributes), "pot_scale_int16": False}


def left_shift(layer: Layer) -> int:
    """Extra bits of the layer's sums."""
    return LEFT_SHIFT_INT16 if layer.output.dtype == "int16" else LEFT_SHIFT


def add_multipliers(layer: Layer) -> tuple[float, float, float]:
    """ADD computes them in float64."""
    a, b, output = layer.input(0).scale, layer.input(1).scale, layer.output.scale
    twice = 2.0 * max(a, b)
    return a / twice, b / twice, twice / (2.0 ** left_shift(layer) * output)


def sub_multipliers(layer: Layer) -> tuple[float, float, float]:
    """SUB computes them in float32."""
    with np.errstate(all="ignore"):
        a, b, output = (np.float32(t.scale) for t in (layer.input(0), layer.input(1), layer.output))
        twice = np.float32(2) * max(a, b)
        return float(a / twice), float(b / twice), float(twice / (np.float32(1 << left_shift(layer)) * output))


def quantized(reals: tuple[float, float, float]) -> list[tuple[int, int]]:
    """(multiplier, shift) for each, shifts 0 to -31."""
    return [quantize_multiplier(real) for real in reals]


def scales_fit(multipliers: RealMultipliers) -> Constraint:
    """TFLite Micro stops with an error when a multiplier is not between 0 and 1."""

    def check(layer: Layer) -> str | None:
        reals = multipliers(layer)
        if all(0.0 < real < 1.0 for real in reals) and all(shift <= 0 for _, shift in quantized(reals)):
            return None
        return "scales " + ", ".join(str(t.scale) for t in (layer.input(0), layer.input(1), layer.output))

    check.__doc__ = "Twice the larger input scale must be less than 2^20 (in int16 2^15) times the output scale, and no scale extreme."
    return check


def reference(multipliers: RealMultipliers, sign: int) -> Callable[[Layer, Sequence[Array | None]], Sequence[Array]]:
    """The reference of ADD (`sign` 1) and SUB (`sign` -1)."""

    def evaluate(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
        a, b = inputs
        assert a is not None
        assert b is not None
        if layer.output.dtype == "float32":
            return [float_reference(np.add if sign > 0 else np.subtract, layer, a, b)]
        pairs = quantized(multipliers(layer))
        terms = []
        for position, array in enumerate((a, b)):
            shifted = (array.astype(np.int64) - layer.input(position).zero_point) << left_shift(layer)
            terms.append(multiply_by_quantized_multiplier(shifted, *pairs[position]))
        low, high = activation_range(layer.attributes["activation"], layer.output)
        result = multiply_by_quantized_multiplier(terms[0] + sign * terms[1], *pairs[2]) + layer.output.zero_point
        return [np.clip(result, low, high).astype(layer.output.dtype).reshape(layer.output.shape)]

    return evaluate
