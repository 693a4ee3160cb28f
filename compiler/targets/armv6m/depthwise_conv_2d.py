# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D for Armv6-M: two pixels per multiplication."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding
from .. import Kernel, _packed_pixels, _packed_planes
from ._requantize import record, record_words


def _applies(layer: Layer) -> bool:
    return _packed_pixels.product(layer) is not None and _packed_planes.planes(layer) is not None


def _bind(layer: Layer) -> Binding:
    p = _packed_pixels.product(layer)
    assert p is not None
    words = record_words(p)
    return _packed_planes.bind(layer, record(words), words)


def _cost(layer: Layer) -> float:
    """Fitted to counts with arm-none-eabi-gcc 12 -O2."""
    n = _packed_planes.counts(layer)
    position = 50.0 + (40.0 if _packed_planes.has_core(layer) else 5.0)
    plane = 250.0 + 60.0 * n.rows + 11.0 * n.words
    return position * n.positions + 18.0 * n.list_pairs + plane * n.planes + 6.0 * n.constants + 12.0 * n.clamped


KERNELS = (Kernel("tinyc_depthwise_conv_2d_s8_armv6m", "DEPTHWISE_CONV_2D", _bind, _cost, _applies, isa="armv6m"),)
