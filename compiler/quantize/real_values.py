# SPDX-License-Identifier: Apache-2.0
"""Real numbers and the integers that stand for them, and how far apart two signals are."""

from __future__ import annotations

import math

import numpy as np

from ..graph import DTYPES, Array, Tensor


def limits(tensor: Tensor) -> tuple[int, int]:
    """The smallest and largest integer of an integer tensor."""
    info = np.iinfo(np.dtype(DTYPES[tensor.dtype]))
    return int(info.min), int(info.max)


def to_real(elements: Array, tensor: Tensor) -> Array:
    """The float32 values that elements of `tensor`, an activation, stand for: scale * (q - zero_point)."""
    q = tensor.quantization
    if elements.dtype == np.float32 or q is None or not q.scale:
        return np.asarray(elements, np.float32)
    found: Array = np.float32(q.scale[0]) * (elements.astype(np.int64) - q.zero_point[0]).astype(np.float32)
    return found


def power(values: Array) -> float:
    """The sum of squares."""
    flat = np.asarray(values, np.float64).reshape(-1)
    return float(flat @ flat)


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise) of two powers: infinite without noise, minus infinite for noise without signal."""
    if noise <= 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 else -math.inf


def spread(count: int, limit: int) -> Array:
    """At most `limit` of the positions 0 to `count` - 1, evenly spread, ascending; all of them when there are no more."""
    if count <= limit:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, max(limit, 1)).round().astype(np.int64))


def finite(value: float | None) -> float | None:
    """The number as JSON can hold it: None in place of infinities."""
    return value if value is not None and math.isfinite(value) else None
