# SPDX-License-Identifier: Apache-2.0
"""DEQUANTIZE in portable C."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding
from .. import Kernel
from .quantize import float_binding


def _bind(layer: Layer) -> Binding:
    return float_binding(layer.output.elements, layer.input(0))


def _cost(layer: Layer) -> float:
    return 20.0 * layer.output.elements


KERNELS = (
    Kernel("tinyc_dequantize_s8_f32", "DEQUANTIZE", _bind, _cost, lambda layer: layer.input(0).dtype == "int8"),
    Kernel("tinyc_dequantize_u8_f32", "DEQUANTIZE", _bind, _cost, lambda layer: layer.input(0).dtype == "uint8"),
)
