# SPDX-License-Identifier: Apache-2.0
"""SOFTMAX: exp(beta * x) over the last dimension, divided by its sum.

TFLite Micro stops with an error when the exponentials of a row, relative to its largest, sum to 512 or more; every
probability then rounds to 0, which is the result here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Array, Graph, Layer
from . import Op
from ._constraints import dtype, output_dtype, per_tensor
from ._elementwise import one_input_graph, same_shape
from ._exponential import exp_on_negative_values, input_radius, one_over_one_plus
from ._fixed_point import (
    INT32_MAX,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_pot,
    rounding_doubling_high_mul,
)

#: Integer bits of a scaled difference to the largest input.
DIFFERENCE_BITS = 5
#: Integer bits of the sum of the exponentials.
SUM_BITS = 12
#: From here on every output rounds to zero: 512, with 31 - SUM_BITS fractional bits.
SUM_LIMIT = 1 << 28


def _attributes(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"beta": options["beta"]}


def _export(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"beta": attributes["beta"]}


def _real_multiplier(layer: Layer) -> float:
    """TFLite's PreprocessSoftmaxScaling."""
    beta: float = layer.attributes["beta"]
    return min(beta * layer.input(0).scale * 2.0 ** (31 - DIFFERENCE_BITS), float(INT32_MAX))


def _rows_exist(layer: Layer) -> str | None:
    """The input must have at least one dimension and no empty ones."""
    shape = layer.input(0).shape
    return None if shape and min(shape) > 0 else f"shape {list(shape)}"


def _beta_fits(layer: Layer) -> str | None:
    """beta must be positive, and beta times the input scale more than 2^-26."""
    fits = layer.attributes["beta"] > 0.0 and _real_multiplier(layer) > 1.0
    return None if fits else f"beta {layer.attributes['beta']} and scale {layer.input(0).scale}"


def _output_quantization(layer: Layer) -> str | None:
    """The output must have scale 1/256 and zero point -128."""
    output = layer.output
    fits = output.scale == 1 / 256 and output.zero_point == -128
    return None if fits else f"scale {output.scale} and zero point {output.zero_point}"


def exponentials(layer: Layer) -> Array:
    """exp(-beta * scale * d) with 0 integer bits, as int32, for d = 0, 1, … as far as it counts, at most 256 entries."""
    # Half the multiplier has one shift less and so stays below the limit of 30; shift 31 leaves one entry, of difference 0.
    q, shift_of_half = quantize_multiplier(_real_multiplier(layer) / 2.0)
    left_shift = shift_of_half + 1
    size = min(input_radius(DIFFERENCE_BITS, left_shift), 255) + 1
    scaled = multiply_by_quantized_multiplier(-np.arange(size, dtype=np.int64), q, left_shift)
    return exp_on_negative_values(scaled, DIFFERENCE_BITS).astype(np.int32)


def _reference(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    table = np.zeros(256, np.int64)
    table[: len(exponentials(layer))] = exponentials(layer)
    rows = inputs[0].reshape(-1, layer.input(0).shape[-1]).astype(np.int64)
    powers = table[rows.max(axis=1, keepdims=True) - rows]
    sums = rounding_divide_by_pot(powers, SUM_BITS).sum(axis=1, keepdims=True)
    bounded = np.minimum(sums, SUM_LIMIT)
    headroom = 32 - np.array([int(s).bit_length() for s in bounded.flat], np.int64).reshape(bounded.shape)
    reciprocal = one_over_one_plus((bounded << headroom) - (1 << 31))
    shares = rounding_divide_by_pot(rounding_doubling_high_mul(powers, reciprocal), np.minimum(35 - headroom, 31))
    result = np.where(sums < SUM_LIMIT, np.minimum(shares - 128, 127), -128)
    return [result.astype(np.int8).reshape(layer.output.shape)]


def _cases() -> Iterator[tuple[str, Graph]]:
    def case(shape: tuple[int, ...], scale: float, beta: float = 1.0) -> Graph:
        return one_input_graph("SOFTMAX", shape, ("int8", scale, 9), ("int8", 1 / 256, -128), {"beta": beta})

    yield "classes", case((1, 12), 0.2)
    yield "rank 1", case((7,), 0.05)
    yield "rank 4", case((2, 3, 4, 5), 0.01)
    yield "depth 1", case((3, 1), 0.1)
    yield "large scale", case((2, 9), 30.0)
    yield "small scale", case((2, 300), 1e-5)
    yield "beta", case((4, 20), 0.1, 0.37)


OP = Op(
    name="SOFTMAX",
    versions=(1, 3),
    inputs=("input",),
    options="SoftmaxOptions",
    attributes=_attributes,
    export=_export,
    constraints=(
        dtype("input", 0, "int8"),
        output_dtype("int8"),
        per_tensor("input and the output", 0),
        _rows_exist,
        _output_quantization,
        _beta_fits,
    ),
    output_shapes=same_shape,
    reference=_reference,
    cases=_cases,
)
