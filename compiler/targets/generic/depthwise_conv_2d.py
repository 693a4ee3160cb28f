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
    _, rows, columns, _ = layer.input(1).shape
    return layer.output.elements * (6.0 * rows * columns + 60.0)


KERNELS = (Kernel("tinyc_depthwise_conv_2d_s8", "DEPTHWISE_CONV_2D", _bind, _cost),)
