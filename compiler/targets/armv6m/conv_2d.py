# SPDX-License-Identifier: Apache-2.0
"""CONV_2D for Armv6-M: two pixels per multiplication."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding
from .. import Kernel, _packed_pixels
from ._requantize import record, record_words

#: Fitted to counts with arm-none-eabi-gcc 12 -O2, which are within 5 %.
_PRICES = _packed_pixels.Prices(
    channel=92.7,
    group=33.0,
    signed=33.0,
    correction=26.5,
    constant=12.0,
    value=12.0,
    four=55.0,
    row=194.0,
    edge=215.0,
    copied_tap=24.0,
    copied_byte=7.3,
    clamp=10.0,
)


def applies(layer: Layer) -> bool:
    p = _packed_pixels.product(layer)
    return p is not None and _packed_pixels.scratch(layer, p) <= _packed_pixels.SCRATCH_LIMIT


def bind(layer: Layer) -> Binding:
    p = _packed_pixels.product(layer)
    assert p is not None
    words = record_words(p)
    return _packed_pixels.bind(layer, p, _packed_pixels.stream(p, record(words)), words)


def cost(layer: Layer) -> float:
    """Instructions."""
    return _packed_pixels.cost(layer, _PRICES)


KERNELS = (Kernel("tinyc_conv_2d_s8_armv6m", "CONV_2D", bind, cost, applies, isa="armv6m"),)
