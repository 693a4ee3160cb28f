# SPDX-License-Identifier: Apache-2.0
"""ADD and SUB of equal shapes as one weighted sum, proved equal to TFLite Micro's three requantizations for all pairs of inputs.

There are only 65,536 pairs of int8 inputs, so the proof is by trying them all. TFLite Micro's results differ from the exact sum's by about
2^-19 of an output step, and a pair's exact sum is rarely as near as that to where the output steps. So nearly every layer has factors and
a start whose sum, with 20 bits below the output's units, steps where TFLite Micro's result does.
"""

from __future__ import annotations

from collections.abc import Callable
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

#: Relative changes of both factors that are tried, in units of 2^-20. Larger factors make ties round away from zero, as TFLite Micro's do;
#: ties are frequent where scales are equal or have a simple ratio.
STRETCHES = np.array([0, 1, 2, 4, 8, 16, 32, -1, -2, -4])

#: Changes of each factor alone that are tried, in units of 2^-28.
NUDGES = np.array([0, *range(-24, 0, 2), *range(2, 26, 2)])

#: Rounds of the search; most layers need one.
ROUNDS = 64


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
    """Of the candidates, the one with most room for the start as far as the pairs of inputs seen are concerned, is tried on all pairs;
    then the pairs that leave it least room are seen as well."""
    results = _results(a)
    least = np.where(results > a.low, results << SUM_BITS, INT32_MIN)
    most = np.where(results < a.high, (results + 1 << SUM_BITS) - 1, INT32_MAX)
    candidates = _candidates(a)
    first, last = np.full(len(candidates), INT32_MIN), np.full(len(candidates), INT32_MAX)
    for _ in range(ROUNDS):
        best = int((last - first).argmax())
        if first[best] > last[best]:
            return None
        one, two = candidates[best, 0] * INPUTS[:, np.newaxis], candidates[best, 1] * INPUTS
        from_least, from_most = least - (one >> 8) - (two >> 8), most - (one + two >> 8)
        low, high = int(from_least.argmax()), int(from_most.argmin())
        start = int(from_least.flat[low] + from_most.flat[high]) // 2
        if from_least.flat[low] <= from_most.flat[high]:
            found = WeightedSum(int(candidates[best, 0]), int(candidates[best, 1]), start)
            return found if _fits(found) else None
        one, two = candidates[:, 0] * INPUTS[low // 256], candidates[:, 1] * INPUTS[low % 256]
        first = np.maximum(first, least.flat[low] - (one >> 8) - (two >> 8))
        one, two = candidates[:, 0] * INPUTS[high // 256], candidates[:, 1] * INPUTS[high % 256]
        last = np.minimum(last, most.flat[high] - (one + two >> 8))
    return None


def _fits(found: WeightedSum) -> bool:
    """Whether everything stays within int32."""
    factors = abs(found.factor1), abs(found.factor2)
    return max(factors) <= INT32_MAX and abs(found.start) + sum(factors) // 2 < SUM_LIMIT


def _results(a: _Arithmetic) -> Array:
    """TFLite Micro's outputs for all pairs of inputs, [x + 128, y + 128]."""
    terms = [
        multiply_by_quantized_multiplier(INPUTS - zero_point << LEFT_SHIFT, *pair)
        for zero_point, pair in zip(a.zero_points[:2], a.pairs[:2], strict=True)
    ]
    sums = terms[0][:, np.newaxis] + a.sign * terms[1]
    results: Array = np.clip(multiply_by_quantized_multiplier(sums, *a.pairs[2]) + a.zero_points[2], a.low, a.high)
    return results


def _candidates(a: _Arithmetic) -> Array:
    """Pairs of factors to try as int64 [candidates, 2]: first the exact ones rounded, then others near them."""
    reals = [multiplier * 2.0 ** (shift - 31) for multiplier, shift in a.pairs]
    scale = reals[2] * 2.0 ** (LEFT_SHIFT + FACTOR_BITS)
    exact = np.array([reals[0] * scale, a.sign * reals[1] * scale])
    stretched = exact * (1 + STRETCHES[:, np.newaxis] * 2.0**-SUM_BITS)
    nudges = np.stack(np.meshgrid(NUDGES, NUDGES, indexing="ij"), axis=2).reshape(1, -1, 2)
    candidates: Array = np.rint(stretched).astype(np.int64)[:, np.newaxis] + nudges
    return candidates.reshape(-1, 2)


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
        return Binding(args, Params("tinyc_weighted_sum_params", fields), overlap={0: 0, 1: 0})

    return Kernel(function, op, bind, cost, applies, isa)
