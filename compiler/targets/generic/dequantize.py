# SPDX-License-Identifier: Apache-2.0
"""DEQUANTIZE in portable C."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding
from .. import Kernel
from .quantize import float_binding


def _bind(layer: Layer) -> Binding:
    # Of each element before the last, the output has three bytes (two with int16) more than the input.
    size, source = layer.output.elements, layer.input(0)
    return float_binding(size, source, (4 - source.bytes // size) * (size - 1))


def _cost(layer: Layer) -> float:
    return 20.0 * layer.output.elements


KERNELS = (
    Kernel("tinyc_dequantize_s8_f32", "DEQUANTIZE", _bind, _cost, dtype="int8"),
    Kernel("tinyc_dequantize_u8_f32", "DEQUANTIZE", _bind, _cost, dtype="uint8"),
    Kernel("tinyc_dequantize_s16_f32", "DEQUANTIZE", _bind, _cost, dtype="int16"),
)
