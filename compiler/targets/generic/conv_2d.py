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
    """Fitted to counts on Cortex-M3 with arm-none-eabi-gcc 12 -O2."""
    filters, rows, columns, depth = layer.input(1).shape
    groups = layer.input(0).shape[3] // depth
    blocks = groups * -(-filters // groups // 4)
    one_run = groups == 1 and layer.attributes["dilation"][1] == 1
    window = 12.2 * rows * columns * depth + 28.0 * rows * (1 if one_run else columns) + 60.0
    return (layer.output.elements // filters) * (130.0 + blocks * window + 40.0 * filters)


KERNELS = (Kernel("tinyc_conv_2d_s8", "CONV_2D", _bind, _cost),)
