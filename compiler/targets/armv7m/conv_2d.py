# SPDX-License-Identifier: Apache-2.0
"""CONV_2D for Armv7-M: two pixels per multiplication."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding
from .. import Kernel, _packed_pixels
from . import _stream


def _applies(layer: Layer) -> bool:
    p = _packed_pixels.product(layer)
    return p is not None and _packed_pixels.scratch(layer, p) <= _packed_pixels.SCRATCH_LIMIT


def _bind(layer: Layer) -> Binding:
    p = _packed_pixels.product(layer)
    assert p is not None
    return _stream.bind(layer, p)


def _cost(layer: Layer) -> float:
    p = _packed_pixels.product(layer)
    assert p is not None
    return _stream.cost(layer, p)


KERNELS = (Kernel("tinyc_conv_2d_s8_armv7m", "CONV_2D", _bind, _cost, _applies, isa="armv7m"),)
