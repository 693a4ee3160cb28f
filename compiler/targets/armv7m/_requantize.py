# SPDX-License-Identifier: Apache-2.0
"""How the kernels of armv7m requantize: their records of a channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...graph import Array
from .. import _packed_pixels
from .._packed_pixels import Channel

#: Bit of the word that ends a channel: its results need the sign of the accumulator for rounding.
SIGNED = 1 << 30

#: Words of a record after the flags: multiplier and rounding term.
RECORD = 2

#: Right shifts for which `_threshold_record` looks for a rounding term, and how far from the usual one, nearest first.
SEARCHED_SHIFTS = range(2, 21)
_AROUND = np.array(sorted(range(-1024, 1025), key=abs), np.int64)


def record(channel: Channel) -> tuple[int, int, Sequence[int]]:
    """(addition to the bias, flags and shift, [multiplier, rounding term])."""
    found = _threshold_record(channel) if channel.low >= channel.zero_point else None
    return signed_record(channel) if found is None else found


def signed_record(channel: Channel) -> tuple[int, int, Sequence[int]]:
    """A record for the exact double rounding: the high product's rounding bit, its sign from the accumulator's, then a right shift."""
    rounding = (1 << (channel.right - 1)) + (channel.zero_point << channel.right)
    return 0, SIGNED | channel.right, [channel.multiplier, rounding]


def _threshold_record(channel: Channel) -> tuple[int, int, Sequence[int]] | None:
    """A record for ((acc + offset) * multiplier >> 32) + rounding >> (right - 1) that rounds all results above `low` as the
    double rounding does, or None when none is near."""
    if channel.right not in SEARCHED_SHIFTS:
        return None
    results = np.arange(channel.low + 1, 128, dtype=np.int64)
    wanted = _packed_pixels.thresholds(channel, results)
    scaled = (results - channel.zero_point) << (channel.right - 1)
    term = np.int64(1) << (channel.right - 2)
    # A term moves all thresholds by (1 / 4 - near) * 2^32 / multiplier, which must be nearly whole.
    rest = ((1 - 4 * _AROUND) << 30) % channel.multiplier
    near = _AROUND[np.minimum(rest, channel.multiplier - rest) < channel.multiplier >> 6]
    for some in (slice(None, None, 9), slice(None)):
        offsets = _offsets(channel, scaled[some], term + near) - wanted[some]
        right = (offsets == offsets[:, :1]).all(axis=1)
        near, offsets = near[right], offsets[right]
    if len(near) == 0:
        return None
    rounding = int(term + near[0]) + (channel.zero_point << (channel.right - 1))
    return int(offsets[0, 0]), channel.right - 1, [channel.multiplier, rounding]


def _offsets(channel: Channel, scaled: Array, terms: Array) -> Array:
    """[term, result]: the least accumulator whose high product plus the term reaches `scaled`."""
    exact: Array = -((-((scaled - terms[:, None]) << 32)) // np.int64(channel.multiplier))
    return exact
