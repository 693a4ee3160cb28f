# SPDX-License-Identifier: Apache-2.0
"""DEQUANTIZE in portable C."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding
from .. import Kernel
from .quantize import float_binding


def _bind(layer: Layer) -> Binding:
    # The output grows by three bytes more than the input shrinks, up to the last element.
    size = layer.output.elements
    return float_binding(size, layer.input(0), max(3 * (size - 1), 0))


def _cost(layer: Layer) -> float:
    return 20.0 * layer.output.elements


KERNELS = (
    Kernel("tinyc_dequantize_s8_f32", "DEQUANTIZE", _bind, _cost, lambda layer: layer.input(0).dtype == "int8"),
    Kernel("tinyc_dequantize_u8_f32", "DEQUANTIZE", _bind, _cost, lambda layer: layer.input(0).dtype == "uint8"),
)
