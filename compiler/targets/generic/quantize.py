# SPDX-License-Identifier: Apache-2.0
"""QUANTIZE in portable C: a division per float32 element, a table between 8-bit types, a multiplication with int16."""

from __future__ import annotations

from collections.abc import Callable

from ...graph import Layer, Tensor
from ...ops._elementwise import largest
from ...ops.quantize import values
from ...program import Binding, Input, Output, Params, ParamsPointer
from .. import Kernel
from ._lookup import lookup_kernel
from ._requantize import requantize_kernel


def float_binding(size: int, quantized: Tensor, lead: int) -> Binding:
    """The call of a kernel between float32 and the integer type of `quantized`; see `Binding.overlap` for the lead."""
    params = {"size": size, "scale": quantized.scale, "zero_point": quantized.zero_point}
    return Binding((ParamsPointer(), Input(0), Output()), Params("tinyc_quantize_params", params), overlap={0: lead})


def _bind(layer: Layer) -> Binding:
    return float_binding(layer.output.elements, layer.output, 0)


def _cost(layer: Layer) -> float:
    return 60.0 * layer.output.elements


def _types(source: tuple[str, ...], output: tuple[str, ...]) -> Callable[[Layer], bool]:
    return lambda layer: layer.input(0).dtype in source and layer.output.dtype in output


def _bounds(layer: Layer) -> tuple[int, int]:
    most = largest(layer.output)
    return -most - 1, most


KERNELS = (
    Kernel("tinyc_quantize_f32_s8", "QUANTIZE", _bind, _cost, _types(("float32",), ("int8",)), dtype="float32"),
    Kernel("tinyc_quantize_f32_u8", "QUANTIZE", _bind, _cost, _types(("float32",), ("uint8",)), dtype="float32"),
    Kernel("tinyc_quantize_f32_s16", "QUANTIZE", _bind, _cost, _types(("float32",), ("int16",)), dtype="float32"),
    requantize_kernel("QUANTIZE", _bounds),
    requantize_kernel("QUANTIZE", _bounds, "int16", "int8"),
    requantize_kernel("QUANTIZE", _bounds, "int8", "int16"),
    lookup_kernel("QUANTIZE", values, _types(("int8", "uint8"), ("int8", "uint8")), dtype=None),
)
