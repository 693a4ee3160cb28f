# SPDX-License-Identifier: Apache-2.0
"""What operators of one input share whose every output element depends on the input element in its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..graph import DTYPES, Array, Graph, Layer, Quantization, Tensor, single_node_graph
from ._fixed_point import multiply_by_quantized_multiplier, quantize_multiplier, wrap_int32

#: The output elements (in the output's type) for an array of input elements of any shape.
Values = Callable[[Layer, Array], Array]


def reference(values: Values) -> Callable[[Layer, Sequence[Array | None]], Sequence[Array]]:
    """The reference of an operator that applies `values` to every element."""

    def evaluate(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
        assert inputs[0] is not None
        return [values(layer, inputs[0]).reshape(layer.output.shape)]

    return evaluate


def same_shape(layer: Layer) -> Sequence[tuple[int, ...]]:
    """The output has the input's shape."""
    return [layer.input(0).shape]


def lookup_table(layer: Layer, values: Values) -> Array:
    """The outputs for all 256 inputs of an 8-bit type, as uint8, in the order of the inputs' bytes 0 to 255."""
    every_byte = np.arange(256, dtype=np.uint8).view(DTYPES[layer.input(0).dtype])
    return values(layer, every_byte).view(np.uint8)


def rescale(layer: Layer, x: Array) -> Array:
    """Input elements at the output's scale and zero point, as int64 in int32 range, not yet clamped to the output's type.

    TFLite's Requantize: the multiplier is the quotient of the scales in float64, and sums wrap modulo 2**32.
    """
    source, output = layer.input(0), layer.output
    q, shift = quantize_multiplier(source.scale / output.scale)
    scaled = multiply_by_quantized_multiplier(x.astype(np.int64) - source.zero_point, q, shift)
    return wrap_int32(scaled + output.zero_point)


def rescale_fits(layer: Layer) -> str | None:
    """The input scale must be less than 2^30 times the output scale."""
    source, output = layer.input(0), layer.output
    return (
        None if source.scale / output.scale < 2.0**30 * (1 - 2.0**-31) else f"scales {source.scale} and {output.scale}"
    )


def float_scale_fits(layer: Layer) -> str | None:
    """The scale between float32 and integers must be at least 2^-126, as vector units flush smaller numbers to zero."""
    quantized = layer.output if layer.input(0).dtype == "float32" else layer.input(0)
    floats = "float32" in (layer.input(0).dtype, layer.output.dtype)
    return f"scale {quantized.scale}" if floats and quantized.scale < 2.0**-126 else None


def one_input_graph(
    op: str,
    shape: tuple[int, ...],
    source: tuple[str, float, int],
    output: tuple[str, float, int],
    attributes: dict[str, object] | None = None,
) -> Graph:
    """A test graph of `op`; `source` and `output` are (dtype, scale, zero point), the scale 0 for float32."""

    def tensor(name: str, dtype: str, scale: float, zero_point: int) -> Tensor:
        quantization = Quantization((float(np.float32(scale)),), (zero_point,)) if scale else None
        return Tensor(name, shape, dtype, quantization)

    return single_node_graph(op, (tensor("input", *source),), (tensor("output", *output),), attributes)
