# SPDX-License-Identifier: Apache-2.0
"""Fused activations on float32, as in TFLite Micro's reference kernels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import Array

_LARGEST = float(np.finfo(np.float32).max)
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "NONE": (-_LARGEST, _LARGEST),
    "RELU": (0.0, _LARGEST),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU6": (0.0, 6.0),
}


def float_range(activation: str) -> tuple[float, float]:
    """The clamp [low, high] of a fused activation: float32 values. Without one, infinities still become the largest numbers."""
    return _BOUNDS[activation]


def clamp(values: Array, activation: str) -> Array:
    """float32 values after the activation. NaN stays, and so does -0.0 at a bound of 0.0: C++'s min(max(x, low), high)."""
    low, high = (np.float32(bound) for bound in float_range(activation))
    raised = np.where(values < low, low, values)
    return np.where(high < raised, high, raised)


def activate(values: Array, activation: str) -> Array:
    """`values` (float32) with the activation applied in place, for calibration."""
    if activation != "NONE":
        np.clip(values, *float_range(activation), out=values)
    return values
