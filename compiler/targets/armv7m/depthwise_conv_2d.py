# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D for Armv7-M: two pixels per multiplication."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding
from .. import Kernel, _packed_pixels, _packed_planes
from ._requantize import RECORD, record


def _applies(layer: Layer) -> bool:
    return _packed_pixels.product(layer) is not None and _packed_planes.planes(layer) is not None


def _bind(layer: Layer) -> Binding:
    return _packed_planes.bind(layer, record, RECORD)


def _cost(layer: Layer) -> float:
    """Fitted to counts with arm-none-eabi-gcc 12 -O2."""
    n = _packed_planes.counts(layer)
    position = 24.0 + (25.0 if _packed_planes.has_core(layer) else 2.0)
    plane = 80.0 + 40.0 * n.rows + 6.5 * n.words
    return position * n.positions + 14.0 * n.list_pairs + plane * n.planes + 4.0 * n.constants + 10.0 * n.clamped


KERNELS = (Kernel("tinyc_depthwise_conv_2d_s8_armv7m", "DEPTHWISE_CONV_2D", _bind, _cost, _applies, isa="armv7m"),)
