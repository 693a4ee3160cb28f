# SPDX-License-Identifier: Apache-2.0
"""The operators that sum up products of an input and a filter: how sums become the output, and their test cases in other types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from ..graph import DTYPES, Array, Graph, Layer, Quantization, Tensor
from ._fixed_point import (
    activation_range,
    multiply_by_quantized_multiplier,
    multiply_by_quantized_multiplier_64,
    wrap_int32,
)
from ._floats import clamp

#: A constant int64 bias is smaller, so that every sum stays below the 2^47 that TFLite Micro's arithmetic is for.
LARGEST_BIAS = 1 << 46


def wide(layer: Layer) -> bool:
    """Whether sums have 64 bits: those of int16 inputs, unless the bias is int32."""
    bias = layer.optional(2)
    return layer.input(0).dtype == "int16" and (bias is None or bias.dtype == "int64")


def bias_in_range(layer: Layer) -> str | None:
    """The values of a constant int64 bias must be less than 2^46 in magnitude."""
    bias = layer.optional(2)
    if bias is None or bias.dtype != "int64" or bias.data is None or bias.data.size == 0:
        return None
    low, high = int(bias.data.min()), int(bias.data.max())
    return None if low > -LARGEST_BIAS and high < LARGEST_BIAS else f"values from {low} to {high}"


def integer_output(layer: Layer, sums: Array, bias: Array | None, multiplier: Array, shift: Array) -> Array:
    """The output from int64 sums, output channels last; `multiplier` and `shift` have one entry, or one per channel."""
    total = sums + (0 if bias is None else bias.astype(np.int64).reshape(-1))
    scale = multiply_by_quantized_multiplier_64 if wide(layer) else multiply_by_quantized_multiplier
    scaled = scale(total, multiplier, shift) + layer.output.zero_point
    low, high = activation_range(layer.attributes["activation"], layer.output)
    return np.clip(wrap_int32(scaled), low, high).astype(DTYPES[layer.output.dtype])


def float_output(layer: Layer, sums: Array, bias: Array | None) -> Array:
    """The output from float32 sums, output channels last."""
    with np.errstate(all="ignore"):
        total = sums + (np.float32(0.0) if bias is None else bias.reshape(-1))
        return clamp(total, layer.attributes["activation"])


def cases_in_other_types(cases: Iterable[tuple[str, Graph]], names: Iterable[str]) -> Iterator[tuple[str, Graph]]:
    """The int8 cases with these names, in int16 and in float32."""
    wanted = dict(cases)
    for name in names:
        yield f"{name}, int16", _retyped(wanted[name], _in_int16)
        yield f"{name}, float32", _retyped(wanted[name], _in_float32)


def _retyped(graph: Graph, change: Callable[[Tensor], Tensor]) -> Graph:
    return replace(graph, tensors=tuple(change(tensor) for tensor in graph.tensors))


def _in_int16(tensor: Tensor) -> Tensor:
    """Values with 256 times the resolution and a zero point of 0; the filter stays as it is."""
    if tensor.name == "filter":
        assert tensor.quantization is not None
        return replace(
            tensor, quantization=replace(tensor.quantization, zero_point=(0,) * len(tensor.quantization.scale))
        )
    if tensor.dtype == "int32":
        assert tensor.data is not None
        finer = None if tensor.quantization is None else Quantization((tensor.quantization.scale[0] / 256,), (0,))
        return replace(tensor, dtype="int64", data=tensor.data.astype(np.int64) * 256 + 77, quantization=finer)
    return replace(tensor, dtype="int16", quantization=Quantization((tensor.scale / 256,), (0,)))


def _in_float32(tensor: Tensor) -> Tensor:
    data = None if tensor.data is None else (tensor.data.astype(np.float32) / np.float32(100.0))
    return replace(tensor, dtype="float32", quantization=None, data=data)
