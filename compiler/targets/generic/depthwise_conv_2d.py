# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D in portable C."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding
from .. import Kernel
from . import _convolution


def _bind(layer: Layer) -> Binding:
    return _convolution.bind(layer, 1, layer.attributes["depth_multiplier"])


def _bind_int16(layer: Layer) -> Binding:
    return _convolution.bind_int16(layer, 1, layer.attributes["depth_multiplier"])


def _bind_float32(layer: Layer) -> Binding:
    return _convolution.bind_float32(layer, 1, layer.attributes["depth_multiplier"])


def _cost(layer: Layer) -> float:
    """Fitted to counts on Cortex-M3 with arm-none-eabi-gcc 12 -O2."""
    _, rows, columns, filters = layer.input(1).shape
    in_fours = filters // 4 * 4 if layer.attributes["depth_multiplier"] == 1 else 0
    fast = 5.2 * rows * columns + 2.0 * rows
    slow = 10.0 * rows * columns + 8.0 * rows
    channels = in_fours * fast + (filters - in_fours) * slow + 60.0 * filters
    return (layer.output.elements // filters) * (130.0 + channels)


def _cost_int16(layer: Layer) -> float:
    """Fitted to counts on Cortex-M4."""
    return _taps(layer, 7.3, 90.0)


def _cost_float32(layer: Layer) -> float:
    """Fitted to counts on Cortex-M4 with its FPU; on Cortex-M3 it is 7 to 8 times as much."""
    return _taps(layer, 7.5, 55.0)


def _taps(layer: Layer, per_tap: float, per_output: float) -> float:
    _, rows, columns, filters = layer.input(1).shape
    return (layer.output.elements // filters) * (130.0 + filters * (per_tap * rows * columns + 5.0 * rows + per_output))


KERNELS = (
    Kernel("tinyc_depthwise_conv_2d_s8", "DEPTHWISE_CONV_2D", _bind, _cost),
    Kernel("tinyc_depthwise_conv_2d_s16", "DEPTHWISE_CONV_2D", _bind_int16, _cost_int16, dtype="int16"),
    Kernel("tinyc_depthwise_conv_2d_f32", "DEPTHWISE_CONV_2D", _bind_float32, _cost_float32, dtype="float32"),
)
