# SPDX-License-Identifier: Apache-2.0
"""CONV_2D for Armv7-M: two pixels per multiplication."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding
from .. import Kernel, _packed_pixels
from ._requantize import RECORD, record

#: Fitted to counts with arm-none-eabi-gcc 12 -O2, which are within 5 %.
_PRICES = _packed_pixels.Prices(
    channel=36.3,
    group=18.0,
    signed=13.3,
    correction=19.4,
    constant=8.0,
    value=8.25,
    four=30.0,
    row=176.0,
    edge=215.0,
    copied_tap=6.7,
    copied_byte=6.7,
    clamp=8.0,
)


def applies(layer: Layer) -> bool:
    p = _packed_pixels.product(layer)
    return p is not None and _packed_pixels.scratch(layer, p) <= _packed_pixels.SCRATCH_LIMIT


def bind(layer: Layer) -> Binding:
    p = _packed_pixels.product(layer)
    assert p is not None
    return _packed_pixels.bind(layer, p, _packed_pixels.stream(p, record), RECORD)


def cost(layer: Layer) -> float:
    """Instructions."""
    return _packed_pixels.cost(layer, _PRICES)


KERNELS = (Kernel("tinyc_conv_2d_s8_armv7m", "CONV_2D", bind, cost, applies, isa="armv7m"),)
