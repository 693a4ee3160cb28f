# SPDX-License-Identifier: Apache-2.0
"""CONV_2D for Armv6-M: two pixels per multiplication."""

from __future__ import annotations

from ...graph import Layer
from ...ops._fixed_point import activation_range
from ...program import Binding
from .. import Kernel, _packed_pixels
from ._requantize import record, record_words


def applies(layer: Layer) -> bool:
    p = _packed_pixels.product(layer)
    return p is not None and _packed_pixels.scratch(layer, p) <= _packed_pixels.SCRATCH_LIMIT


def bind(layer: Layer) -> Binding:
    p = _packed_pixels.product(layer)
    assert p is not None
    words = record_words(p)
    return _packed_pixels.bind(layer, p, _packed_pixels.stream(p, record(words)), words)


def cost(layer: Layer) -> float:
    """Fitted to counts with arm-none-eabi-gcc 12 -O2."""
    p = _packed_pixels.product(layer)
    assert p is not None
    groups = _packed_pixels.groups(p.depth)
    corrections = sum(len(_packed_pixels.split(channel.weights)[1]) for channel in p.channels)
    channels = len(p.channels) * (100.0 + 33.0 * groups + 3.0 * -(-groups // 4)) + 20.0 * corrections
    rows = layer.output.elements // p.count
    low, high = activation_range(layer.attributes["activation"], layer.output)
    clamps = 0.0 if (low, high) == (-128, 127) else 12.0 * rows * p.count
    return 60.0 + -(-rows // 4) * (150.0 + 12.0 * p.depth + channels + 12.0 * len(p.constants)) + clamps


KERNELS = (Kernel("tinyc_conv_2d_s8_armv6m", "CONV_2D", bind, cost, applies, isa="armv6m"),)
