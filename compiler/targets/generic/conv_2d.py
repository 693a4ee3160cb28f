# SPDX-License-Identifier: Apache-2.0
"""CONV_2D in portable C."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding
from .. import Kernel
from . import _convolution


def _bind(layer: Layer) -> Binding:
    filters, _, _, filter_depth = layer.input(1).shape
    groups = layer.input(0).shape[3] // filter_depth
    return _convolution.bind(layer, filter_depth, filters // groups)


def _cost(layer: Layer) -> float:
    _, rows, columns, depth = layer.input(1).shape
    return layer.output.elements * (3.3 * rows * columns * depth + 50.0)


KERNELS = (Kernel("tinyc_conv_2d_s8", "CONV_2D", _bind, _cost),)
