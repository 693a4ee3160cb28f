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


def real(function: Callable[[Array], Array]) -> Callable[[Layer, Sequence[Array | None]], Sequence[Array]]:
    """`Op.real` of an operator that applies `function` to every element."""

    def evaluate(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
        assert inputs[0] is not None
        with np.errstate(all="ignore"):
            return [function(inputs[0])]

    return evaluate


def same_shape(layer: Layer) -> Sequence[tuple[int, ...]]:
    """The output has the input's shape."""
    return [layer.input(0).shape]


def lookup_table(layer: Layer, values: Values) -> Array:
    """The outputs for all 256 inputs of an 8-bit type, as uint8, in the order of the inputs' bytes 0 to 255."""
    every_byte = np.arange(256, dtype=np.uint8).view(DTYPES[layer.input(0).dtype])
    return values(layer, every_byte).view(np.uint8)


def largest(tensor: Tensor) -> int:
    """The largest value of its integer type."""
    return int(np.iinfo(tensor.dtype).max)


def rescale(layer: Layer, x: Array) -> Array:
    """Input elements at the output's scale and zero point, as int64 in int32 range, not yet clamped to the output's type.

    TFLite's Requantize: the multiplier is the quotient of the scales in float64, and sums wrap modulo 2**32.
    """
    scaled = multiply_by_quantized_multiplier(
        x.astype(np.int64) - layer.input(0).zero_point, *rescale_multiplier(layer)
    )
    return wrap_int32(scaled + layer.output.zero_point)


def rescale_multiplier(layer: Layer) -> tuple[int, int]:
    """(q, shift) of the input's scale by the output's."""
    return quantize_multiplier(layer.input(0).scale / layer.output.scale)


def rescale_fits(layer: Layer) -> str | None:
    """The input scale must be less than 2^30 times the output scale, from int16 2^15 times."""
    source, output = layer.input(0), layer.output
    # Beyond 2^15, TFLite Micro's left shift of an int16 difference overflows.
    limit = 2.0**15 if source.dtype == "int16" else 2.0**30
    fits = source.scale / output.scale < limit * (1 - 2.0**-31)
    return None if fits else f"scales {source.scale} and {output.scale}"


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
