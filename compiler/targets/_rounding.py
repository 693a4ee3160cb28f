# SPDX-License-Identifier: Apache-2.0
"""TFLite Micro's double rounding as one multiplication, two additions and a shift, for cores with a 32 x 32 -> 64 bit product.

With v = sum * 2^j, a channel's output before its clamp is

    (((v * multiplier) >> 32) + (v < 0 ? -2^j : 0) + rounding) >> shift

The product has j bits more than TFLite's doubled high product, so its rounding, the rounding of the right shift and the zero
point are one constant: floors of floors are one floor. TFLite rounds half away from zero, so a negative sum loses one unit
of the high product, except where negative sums are clamped anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph import Array
from ._filters import Filters

#: Most bits that a sum is shifted left by.
SHIFT = 11


@dataclass(frozen=True, eq=False)
class Rounding:
    """int64 arrays, one entry per live channel: `multiplier` is below 2^32, `rounding` in 32 bits, `shift` 1 to 31.

    `sum_shift` is j; `negative` what is added for a negative sum, 0 where it is clamped.
    """

    sum_shift: int
    negative: int
    multiplier: Array
    rounding: Array
    shift: Array

    def scaling(self, f: Filters) -> Array:
        """[channels, 3] multiplier, rounding and shift of all channels. A constant one, whose sums must be zero, gives its value."""
        table = np.tile(np.array([0, 0, 1], np.int64), (f.count, 1))
        table[f.index] = np.stack([self.multiplier, self.rounding, self.shift], axis=1)
        for channel, value in f.constants:
            table[channel, 1] = 2 * value
        return table


def words(values: Array) -> Array:
    """int64 values as int32 words, those of 2^31 and more as negative ones."""
    return (values & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def rounding(f: Filters, most: int = SHIFT, least: int = 1) -> Rounding | None:
    """The constants with the largest sum_shift in `least` .. `most` that is exact for every input, or None if none is."""
    for sum_shift in range(most, least - 1, -1):
        found = _constants(f, sum_shift)
        if found is not None and _in_range(f, found):
            return found
    return None


def _constants(f: Filters, j: int) -> Rounding | None:
    """The constants for sums times 2^j; None where a shift is out of range, or rounds no half while negative sums count."""
    shift = j - f.shift
    if (shift < 1).any() or (shift > 31).any() or (not f.clamps_negative and (f.shift >= 0).any()):
        return None
    right = np.maximum(-f.shift, 0)
    half = np.where(right > 0, (np.int64(1) << right) >> 1 << j, 0)
    high_half = np.int64(1) << (j - 1 - np.maximum(f.shift, 0))
    rounding = half + high_half + (np.int64(f.zero_point) << shift)
    return Rounding(j, 0 if f.clamps_negative else -(1 << j), f.multiplier * 2, rounding, shift)


def _in_range(f: Filters, r: Rounding) -> bool:
    """Whether no intermediate value leaves 32 bits. What is added last may wrap when the result does not."""
    j = r.sum_shift
    if (f.least < -(2**31) >> j).any() or (f.most > (2**31 - 1) >> j).any():
        return False
    least = np.maximum(f.least, 0) if f.clamps_negative else f.least
    low = ((least << j) * r.multiplier >> 32) + r.negative + r.rounding
    high = ((f.most << j) * r.multiplier >> 32) + r.rounding
    return bool((low >= -(2**31)).all() and (high < 2**31).all())
