# SPDX-License-Identifier: Apache-2.0
"""Sound to another sample rate: a polyphase filter, a sinc under a Kaiser window."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ..graph import Array

#: Zero crossings of the sinc to either side, and the window's shape: about 80 dB of stop band.
CROSSINGS: Final = 24
KAISER: Final = 8.0
#: Share of the lower rate's band that passes.
PASS: Final = 0.94

_CHUNK: Final = 4096


def resample(samples: Array, rate: int, wanted: int) -> Array:
    """float64 samples at `rate` Hz as samples at `wanted` Hz; silence is assumed before and after."""
    if rate == wanted or samples.size == 0:
        return samples
    divisor = math.gcd(rate, wanted)
    up, down = wanted // divisor, rate // divisor
    cutoff = PASS * min(1.0, up / down)
    reach = math.ceil(CROSSINGS / cutoff)
    padded = np.concatenate([np.zeros(reach), samples, np.zeros(reach + 1)])
    count = -(-samples.size * up // down)
    made = np.empty(count)
    for start in range(0, count, _CHUNK):
        place = np.arange(start, min(start + _CHUNK, count), dtype=np.int64) * down
        whole, phase = place // up, place % up
        phases, which = np.unique(phase, return_inverse=True)
        taps = _taps(phases / up, cutoff, reach)
        windows = padded[whole[:, None] + np.arange(2 * reach + 1)]
        made[start : start + len(place)] = (windows * taps[which]).sum(axis=1)
    return made


def _taps(fractions: Array, cutoff: float, reach: int) -> Array:
    """The filter at each fraction of a sample: [len(fractions), 2 * reach + 1], each of sum 1."""
    distance = np.arange(-reach, reach + 1) - fractions[:, None]
    inside = np.clip(1 - (distance / (reach + 1)) ** 2, 0, None)
    shape = np.sinc(distance * cutoff) * np.i0(KAISER * np.sqrt(inside))
    taps: Array = shape / shape.sum(axis=1, keepdims=True)
    return taps
