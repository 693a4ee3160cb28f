# SPDX-License-Identifier: Apache-2.0
"""ADD and SUB of equal shapes as one weighted sum, proved equal to TFLite Micro's three requantizations for all pairs of inputs.

There are only 65,536 pairs of int8 inputs, so the proof is by trying them all. TFLite Micro's results differ from the exact sum's by about
2^-19 of an output step, and a pair's exact sum is rarely as near as that to where the output steps. So nearly every layer has factors and
a start whose sum, with 20 bits below the output's units, steps where TFLite Micro's result does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..graph import Array, Layer
from ..ops._additive import LEFT_SHIFT, RealMultipliers, quantized
from ..ops._fixed_point import INT32_MAX, INT32_MIN, activation_range, multiply_by_quantized_multiplier
from ..program import Binding, Input, Output, Params, ParamsPointer
from . import Kernel

#: Bits of the sum, and of the factors, below the output's units.
SUM_BITS = 20
FACTOR_BITS = 28

#: Bound of |start| + (|factor1| + |factor2|) / 2, for which no sum, and no part of one, leaves int32; the rest is for rounding.
SUM_LIMIT = (1 << 31) - 1024

INPUTS = np.arange(-128, 128, dtype=np.int64)

#: Relative changes of the factors that are tried, in units of 2^-20. Larger ones make ties round away from zero, as TFLite Micro's do;
#: ties are frequent where scales are equal or have a simple ratio.
STRETCHES = (0, 1, 2, 4, 8, 16, 32, -1, -2)

#: Changes of each factor alone that are tried then, in units of 2^-28.
NUDGES = (-8, -4, -2, 2, 4, 8)


@dataclass(frozen=True)
class WeightedSum:
    """output = clamp(sum >> 20), where sum = start + floor(factor1 * x / 256) + floor(factor2 * y / 256) for inputs x and y.

    The same output also follows from start + floor((factor1 * x + factor2 * y) / 256). All fit in int32, as does every partial sum.
    """

    factor1: int
    factor2: int
    start: int


@dataclass(frozen=True)
class _Arithmetic:
    """TFLite Micro's numbers for a layer; `pairs` are (multiplier, shift) of the inputs and the output."""

    pairs: tuple[tuple[int, int], ...]
    zero_points: tuple[int, int, int]
    sign: int
    low: int
    high: int


def weighted_sum(layer: Layer, multipliers: RealMultipliers, sign: int) -> WeightedSum | None:
    """The weighted sum for ADD (`sign` 1) or SUB (`sign` -1), or None when none was found or the shapes differ."""
    first, second = layer.input(0), layer.input(1)
    if first.shape != second.shape:
        return None
    low, high = activation_range(layer.attributes["activation"], layer.output)
    zero_points = (first.zero_point, second.zero_point, layer.output.zero_point)
    return _find(_Arithmetic(tuple(quantized(multipliers(layer))), zero_points, sign, low, high))


@cache
def _find(a: _Arithmetic) -> WeightedSum | None:
    results = _results(a)
    least = np.where(results > a.low, results << SUM_BITS, INT32_MIN)
    most = np.where(results < a.high, (results + 1 << SUM_BITS) - 1, INT32_MAX)
    for factors in _candidates(a):
        if any(abs(factor) > INT32_MAX for factor in factors):
            continue
        terms = [factor * INPUTS for factor in factors]
        lower = (terms[0] >> 8)[:, np.newaxis] + (terms[1] >> 8)
        upper = terms[0][:, np.newaxis] + terms[1] >> 8
        first, last = int((least - lower).max()), int((most - upper).min())
        start = (first + last) // 2
        if first <= last and abs(start) + sum(abs(factor) for factor in factors) // 2 < SUM_LIMIT:
            return WeightedSum(*factors, start)
    return None


def _results(a: _Arithmetic) -> Array:
    """TFLite Micro's outputs for all pairs of inputs, [x + 128, y + 128]."""
    terms = [
        multiply_by_quantized_multiplier(INPUTS - zero_point << LEFT_SHIFT, *pair)
        for zero_point, pair in zip(a.zero_points[:2], a.pairs[:2], strict=True)
    ]
    sums = terms[0][:, np.newaxis] + a.sign * terms[1]
    return np.clip(multiply_by_quantized_multiplier(sums, *a.pairs[2]) + a.zero_points[2], a.low, a.high)


def _candidates(a: _Arithmetic) -> Iterator[tuple[int, int]]:
    """Factors to try: the exact ones rounded, then others near them."""
    reals = [multiplier * 2.0 ** (shift - 31) for multiplier, shift in a.pairs]
    scale = reals[2] * 2.0 ** (LEFT_SHIFT + FACTOR_BITS)
    exact = (reals[0] * scale, a.sign * reals[1] * scale)
    for stretch in STRETCHES:
        yield tuple(round(factor * (1 + stretch * 2.0**-SUM_BITS)) for factor in exact)  # type: ignore[misc]
    for nudge1 in NUDGES:
        for nudge2 in NUDGES:
            yield round(exact[0]) + nudge1, round(exact[1]) + nudge2


def clamped(layer: Layer) -> bool:
    """Whether the activation's range is less than int8's."""
    return activation_range(layer.attributes["activation"], layer.output) != (-128, 127)


def kernel(
    function: str, isa: str, op: str, multipliers: RealMultipliers, sign: int, cost: Callable[[Layer], float]
) -> Kernel:
    """The kernel `function` for ADD (`sign` 1) or SUB (`sign` -1), whose parameters are `tinyc_weighted_sum_params`."""

    def applies(layer: Layer) -> bool:
        return weighted_sum(layer, multipliers, sign) is not None

    def bind(layer: Layer) -> Binding:
        found = weighted_sum(layer, multipliers, sign)
        assert found is not None
        low, high = activation_range(layer.attributes["activation"], layer.output)
        fields = {
            "size": layer.output.elements,
            "factor1": found.factor1,
            "factor2": found.factor2,
            "start": found.start,
            "activation_min": low,
            "activation_max": high,
        }
        args = (ParamsPointer(), Input(0), Input(1), Output())
        return Binding(args, Params("tinyc_weighted_sum_params", fields), in_place=(0, 1))

    return Kernel(function, op, bind, cost, applies, isa)
