# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D for Armv6-M: two pixels per multiplication."""

from __future__ import annotations

from functools import partial

from ...graph import Layer
from ...program import Binding
from .. import Kernel, _packed_pixels, _packed_planes
from ._requantize import record, record_words

#: Fitted to counts with arm-none-eabi-gcc 12 -O2, which are within 5 %.
_PRICES = _packed_planes.Prices(
    core=89.9,
    no_core=62.9,
    signed=17.5,
    pair=14.9,
    plane=467.0,
    plane_row=28.4,
    word=9.6,
    output_row=9.8,
    constant=5.0,
    clamp=10.0,
)


def _applies(layer: Layer, small: bool) -> bool:
    if _packed_pixels.product(layer) is None or _packed_planes.planes(layer) is None:
        return False
    return not small or _packed_planes.smaller(layer)


def _bind(layer: Layer, small: bool) -> Binding:
    p = _packed_pixels.product(layer)
    assert p is not None
    words = record_words(p)
    return _packed_planes.bind(layer, record(words), words, small)


def _cost(layer: Layer, small: bool) -> float:
    return _packed_planes.cost(layer, _PRICES, small)


KERNELS = tuple(
    Kernel(
        "tinyc_depthwise_conv_2d_s8_armv6m",
        "DEPTHWISE_CONV_2D",
        partial(_bind, small=small),
        partial(_cost, small=small),
        partial(_applies, small=small),
        isa="armv6m",
    )
    for small in (False, True)
)
