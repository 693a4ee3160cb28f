# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D in portable C."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding
from .. import Kernel
from . import _convolution


def _bind(layer: Layer) -> Binding:
    return _convolution.bind(layer, 1, layer.attributes["depth_multiplier"])


def _cost(layer: Layer) -> float:
    """Fitted to counts on Cortex-M3 with arm-none-eabi-gcc 12 -O2."""
    _, rows, columns, filters = layer.input(1).shape
    in_fours = filters // 4 * 4 if layer.attributes["depth_multiplier"] == 1 else 0
    fast = 5.2 * rows * columns + 2.0 * rows
    slow = 10.0 * rows * columns + 8.0 * rows
    channels = in_fours * fast + (filters - in_fours) * slow + 60.0 * filters
    return (layer.output.elements // filters) * (130.0 + channels)


KERNELS = (Kernel("tinyc_depthwise_conv_2d_s8", "DEPTHWISE_CONV_2D", _bind, _cost),)
