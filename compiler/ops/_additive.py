# SPDX-License-Identifier: Apache-2.0
"""ADD and SUB: both inputs are brought to twice the larger scale with 20 more bits, added or subtracted, and requantized."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..graph import Array, Layer
from . import Constraint
from ._fixed_point import activation_range, multiply_by_quantized_multiplier, quantize_multiplier

#: Extra bits of the sum.
LEFT_SHIFT = 20

#: The multipliers of input 1, input 2 and the output as real numbers.
RealMultipliers = Callable[[Layer], tuple[float, float, float]]


def add_multipliers(layer: Layer) -> tuple[float, float, float]:
    """ADD computes them in float64."""
    a, b, output = layer.input(0).scale, layer.input(1).scale, layer.output.scale
    twice = 2.0 * max(a, b)
    return a / twice, b / twice, twice / (2.0**LEFT_SHIFT * output)


def sub_multipliers(layer: Layer) -> tuple[float, float, float]:
    """SUB computes them in float32."""
    with np.errstate(all="ignore"):
        a, b, output = (np.float32(t.scale) for t in (layer.input(0), layer.input(1), layer.output))
        twice = np.float32(2) * max(a, b)
        return float(a / twice), float(b / twice), float(twice / (np.float32(2**LEFT_SHIFT) * output))


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

    check.__doc__ = "Twice the larger input scale must be less than 2^20 times the output scale, and no scale extreme."
    return check


def reference(multipliers: RealMultipliers, sign: int) -> Callable[[Layer, Sequence[Array | None]], Sequence[Array]]:
    """The reference of ADD (`sign` 1) and SUB (`sign` -1)."""

    def evaluate(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
        pairs = quantized(multipliers(layer))
        terms = []
        for position in (0, 1):
            array = inputs[position]
            assert array is not None
            shifted = (array.astype(np.int64) - layer.input(position).zero_point) << LEFT_SHIFT
            terms.append(multiply_by_quantized_multiplier(shifted, *pairs[position]))
        low, high = activation_range(layer.attributes["activation"], layer.output)
        result = multiply_by_quantized_multiplier(terms[0] + sign * terms[1], *pairs[2]) + layer.output.zero_point
        return [np.clip(result, low, high).astype(np.int8).reshape(layer.output.shape)]

    return evaluate
