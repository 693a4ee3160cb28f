# SPDX-License-Identifier: Apache-2.0
"""Streams for tinyc_conv_2d_s8_armv7m: how it requantizes, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...graph import Array, Layer
from ...ops._fixed_point import activation_range
from ...program import Binding
from .. import _packed_pixels
from .._packed_pixels import Channel, Product

#: Bit of the word that ends a channel: its results need the sign of the accumulator for rounding.
SIGNED = 1 << 30

#: Right shifts for which `_threshold_record` looks for a rounding term, and how far from the usual one, nearest first.
SEARCHED_SHIFTS = range(2, 21)
_AROUND = np.array(sorted(range(-1024, 1025), key=abs), np.int64)


def record(channel: Channel) -> tuple[int, int, Sequence[int]]:
    """(addition to the bias, flags and shift, [multiplier, rounding term])."""
    found = _threshold_record(channel) if channel.low >= channel.zero_point else None
    if found is not None:
        return found
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
    # A few thresholds tell most of the wrong terms.
    some = _offsets(channel, scaled[::31], term + _AROUND) - wanted[::31]
    for near in _AROUND[(some == some[:, :1]).all(axis=1)].tolist():
        offsets = _offsets(channel, scaled, np.array([term + near])) - wanted
        if (offsets == offsets[0, 0]).all():
            rounding = int(term) + near + (channel.zero_point << (channel.right - 1))
            return int(offsets[0, 0]), channel.right - 1, [channel.multiplier, rounding]
    return None


def _offsets(channel: Channel, scaled: Array, terms: Array) -> Array:
    """[term, result]: the least accumulator whose high product plus the term reaches `scaled`."""
    exact: Array = -((-((scaled - terms[:, None]) << 32)) // np.int64(channel.multiplier))
    return exact


def bind(layer: Layer, p: Product) -> Binding:
    """The call of tinyc_conv_2d_s8_armv7m."""
    return _packed_pixels.bind(layer, p, _packed_pixels.stream(p, record))


def cost(layer: Layer, p: Product) -> float:
    """Instructions of tinyc_conv_2d_s8_armv7m."""
    groups = _packed_pixels.groups(p.depth)
    corrections = sum(len(_packed_pixels.split(channel.weights)[1]) for channel in p.channels)
    channels = len(p.channels) * (42.0 + 18.0 * groups + 3.0 * -(-groups // 4)) + 14.0 * corrections
    rows = layer.output.elements // p.count
    low, high = activation_range(layer.attributes["activation"], layer.output)
    clamps = 0.0 if (low, high) == (-128, 127) else 10.0 * rows * p.count
    return 60.0 + -(-rows // 4) * (80.0 + 8.0 * p.depth + channels + 8.0 * len(p.constants)) + clamps
