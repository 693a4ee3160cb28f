# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D for Armv7-M: two pixels per multiplication."""

from __future__ import annotations

from functools import partial

from ...graph import Layer
from ...program import Binding
from .. import Kernel, _packed_pixels, _packed_planes
from ._requantize import RECORD, record

#: Fitted to counts with arm-none-eabi-gcc 12 -O2, which are within 5 %.
_PRICES = _packed_planes.Prices(
    core=48.0,
    no_core=27.4,
    signed=8.4,
    pair=14.9,
    plane=274.0,
    plane_row=14.4,
    word=7.0,
    output_row=14.7,
    constant=4.0,
    clamp=8.0,
)


def _applies(layer: Layer, small: bool) -> bool:
    if _packed_pixels.product(layer) is None or _packed_planes.planes(layer) is None:
        return False
    return not small or _packed_planes.smaller(layer)


def _bind(layer: Layer, small: bool) -> Binding:
    return _packed_planes.bind(layer, record, RECORD, small)


def _cost(layer: Layer, small: bool) -> float:
    return _packed_planes.cost(layer, _PRICES, small)


KERNELS = tuple(
    Kernel(
        "tinyc_depthwise_conv_2d_s8_armv7m",
        "DEPTHWISE_CONV_2D",
        partial(_bind, small=small),
        partial(_cost, small=small),
        partial(_applies, small=small),
        isa="armv7m",
    )
    for small in (False, True)
)
