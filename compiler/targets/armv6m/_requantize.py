# SPDX-License-Identifier: Apache-2.0
"""How the kernels of armv6m requantize with 32-bit products only: their records of a channel.

An output is found in two steps. A product with a short multiplier gives it, or one less than it. The threshold of the next
output, a line in the output, is then computed exactly, and the accumulator compared with it. Both steps are checked here at
every threshold, for the accumulators that the weights allow; a channel that has no such constants is requantized in full.

With acc' = acc + offset, the kernel computes

    v = (acc' * multiplier + addend) >> shift                   0 to 254 are results of -127 to 127, all else is clamped
    result = v - 127 - (acc' < (v * slope + intercept) >> line_shift ? 1 : 0)

and adds `jump` to the intercept while v is at most `zero`, since halves round away from zero on either side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...graph import Array
from .. import _packed_pixels
from .._packed_pixels import Channel, Product, Record

#: Flag: not the short record. Then a shift of 0 says that the channel is requantized in full, else it is a record with a jump.
LONG = 1 << 30

#: Words of a record after the flags: addend, multiplier, slope, intercept; in layers with negative results jump and zero.
SHORT_RECORD = 4
LONG_RECORD = 6

_RESULTS = np.arange(-127, 129, dtype=np.int64)


def record_words(p: Product) -> int:
    """Words of each channel's record in this layer."""
    return LONG_RECORD if any(channel.low < channel.zero_point for channel in p.channels) else SHORT_RECORD


def record(words: int) -> Record:
    """For records of `words` words: a channel's offset, flags and shifts, and the words."""

    def make(channel: Channel) -> tuple[int, int, Sequence[int]]:
        found = _lines(channel)
        if found is None:
            rest = [channel.multiplier, channel.right, channel.zero_point]
            return 0, LONG, rest + [0] * (words - len(rest))
        offset, shifts, rest = found
        if words == SHORT_RECORD:
            return offset, shifts, rest[:SHORT_RECORD]
        return offset, LONG | shifts, rest

    return make


def _lines(channel: Channel) -> tuple[int, int, list[int]] | None:
    """(offset, shifts, words of a long record), or None where there are none."""
    step = 2.0 ** (31 + channel.right) / channel.multiplier
    wanted = _packed_pixels.thresholds(channel, _RESULTS)
    offset = int(2 * step) + 1 - int(wanted[0])
    wanted = wanted + offset
    v = _RESULTS + 127
    # The kernel need not tell results below `low` apart.
    needed = (channel.low < _RESULTS) & (v < 255)
    line = _line(wanted, v, needed, channel.zero_point + 127, step)
    estimate = _estimate(channel, wanted, v, needed, offset, step)
    if line is None or estimate is None:
        return None
    line_shift, slope, intercept, jump = line
    shift, multiplier, addend = estimate
    words = [addend, multiplier, slope, intercept, jump, channel.zero_point + 127]
    return offset, line_shift << 8 | shift, words


def _line(wanted: Array, v: Array, needed: Array, zero: int, step: float) -> tuple[int, int, int, int] | None:
    """(shift, slope, intercept, jump) with (v * slope + intercept) >> shift == wanted exactly, in 32 bits without sign."""
    shift = min(int(np.floor(np.log2(2.0**32 / (260 * step)))), 24)
    if shift < 0:
        return None
    scaled = wanted << shift
    for slope in sorted(
        range(int(step * 2**shift) - 16, int(step * 2**shift) + 17), key=lambda s: abs(s - step * 2**shift)
    ):
        least = scaled - v * slope
        most = least + (1 << shift) - 1
        ranges = []
        for part in (needed & (v > zero), needed & (v <= zero)):
            ranges.append((int(least[part].max()), int(most[part].min())) if part.any() else None)
        if all(r is None or r[0] <= r[1] for r in ranges):
            middles = [None if r is None else (r[0] + r[1]) // 2 for r in ranges]
            above = middles[0] if middles[0] is not None else middles[1]
            below = middles[1] if middles[1] is not None else above
            if above is None or below is None:
                return None
            return shift, slope, above, below - above
    return None


def _estimate(
    channel: Channel, wanted: Array, v: Array, needed: Array, offset: int, step: float
) -> tuple[int, int, int] | None:
    """(shift, multiplier, addend) whose product is never below the result, nor above it by more than one."""
    ends = (channel.least + offset, channel.most + offset)
    largest = max(abs(end) for end in ends)
    for shift in range(31, 7, -1):
        multiplier = round(2.0**shift / step)
        addend = round(2.0**shift * (0.5 - int(wanted[0]) / step))
        if not 1 <= multiplier < 1 << 31 or largest * multiplier + abs(addend) >= 1 << 31:
            continue
        at = (wanted * multiplier + addend) >> shift
        before = ((wanted - 1) * multiplier + addend) >> shift
        within = needed | (v == 255)
        low_end = addend - multiplier < 0
        if (at[needed] >= v[needed]).all() and (before[within] <= v[within]).all() and low_end:
            return shift, multiplier, addend
    return None
