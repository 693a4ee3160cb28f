# SPDX-License-Identifier: Apache-2.0
"""CONV_2D in portable C."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding
from .. import Kernel
from . import _convolution


def _groups(layer: Layer) -> tuple[int, int]:
    """Input and output channels of one group."""
    filters, _, _, filter_depth = layer.input(1).shape
    return filter_depth, filters * filter_depth // layer.input(0).shape[3]


def _bind(layer: Layer) -> Binding:
    return _convolution.bind(layer, *_groups(layer))


def _bind_int16(layer: Layer) -> Binding:
    return _convolution.bind_int16(layer, *_groups(layer))


def _bind_float32(layer: Layer) -> Binding:
    return _convolution.bind_float32(layer, *_groups(layer))


def _cost(layer: Layer) -> float:
    """Fitted to counts on Cortex-M3 with arm-none-eabi-gcc 12 -O2."""
    filters, rows, columns, depth = layer.input(1).shape
    groups = layer.input(0).shape[3] // depth
    blocks = groups * -(-filters // groups // 4)
    one_run = groups == 1 and layer.attributes["dilation"][1] == 1
    window = 12.2 * rows * columns * depth + 28.0 * rows * (1 if one_run else columns) + 60.0
    return (layer.output.elements // filters) * (130.0 + blocks * window + 40.0 * filters)


def _cost_int16(layer: Layer) -> float:
    """Fitted to counts on Cortex-M4."""
    return _windows(layer, 11.0, 70.0)


def _cost_float32(layer: Layer) -> float:
    """Fitted to counts on Cortex-M4 with its FPU; on Cortex-M3 it is 13 to 21 times as much."""
    return _windows(layer, 14.5, 25.0)


def _windows(layer: Layer, per_weight: float, per_output: float) -> float:
    """Instructions: `per_weight` for four filters' weights at one place, and `per_output` from the sum to the output."""
    filters, rows, columns, depth = layer.input(1).shape
    groups = layer.input(0).shape[3] // depth
    blocks = groups * -(-filters // groups // 4)
    one_run = groups == 1 and layer.attributes["dilation"][1] == 1
    window = per_weight * rows * columns * depth + 50.0 * rows * (1 if one_run else columns) + 60.0
    return (layer.output.elements // filters) * (130.0 + blocks * window + per_output * filters)


KERNELS = (
    Kernel("tinyc_conv_2d_s8", "CONV_2D", _bind, _cost),
    Kernel("tinyc_conv_2d_s16", "CONV_2D", _bind_int16, _cost_int16, dtype="int16"),
    Kernel("tinyc_conv_2d_f32", "CONV_2D", _bind_float32, _cost_float32, dtype="float32"),
)
