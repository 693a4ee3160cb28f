# SPDX-License-Identifier: Apache-2.0
"""What the int16 calls of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED share."""

from __future__ import annotations

import numpy as np

from ...graph import Array, Layer
from ...ops._fixed_point import reduced_multiplier
from ...ops._products import wide
from ...program import Argument, Input, Scalar


def bias_arguments(layer: Layer) -> tuple[Argument, ...]:
    """`bias` and `bias_bits` of an int16 kernel."""
    return Input(2), Scalar(64 if wide(layer) else 32)


def multiplier_table(layer: Layer, multiplier: Array) -> Array:
    """The multipliers (int32) as the layer's kernel takes them: with sums of 64 bits, rounded to 16 bits."""
    return reduced_multiplier(multiplier).astype(np.int32) if wide(layer) else multiplier
