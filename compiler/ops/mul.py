# SPDX-License-Identifier: Apache-2.0
"""MUL: elementwise product with broadcasting and a fused activation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..graph import Array, Graph, Layer
from . import Integer, Op
from ._broadcast import (
    activation_attributes,
    activation_export,
    float_reference,
    inputs_broadcast,
    output_shapes,
    real,
    two_input_graph,
    wide_cases,
)
from ._constraints import ACTIVATIONS, activation, integer_only, one_type, per_tensor
from ._fixed_point import activation_range, multiply_by_quantized_multiplier, quantize_multiplier, wrap_int32


def _real_multiplier(layer: Layer) -> float:
    return layer.input(0).scale * layer.input(1).scale / layer.output.scale


def multiplier(layer: Layer) -> tuple[int, int]:
    """(multiplier, shift) of the product; TFLite multiplies the scales in float64."""
    return quantize_multiplier(_real_multiplier(layer))


def _scales_fit(layer: Layer) -> str | None:
    """The product of the input scales must be less than 2^30 times the output scale (in int16, less than it)."""
    # An int16 product has 31 bits: TFLite Micro's left shift would overflow.
    limit = 1.0 if layer.output.dtype == "int16" else 2.0**30
    if _real_multiplier(layer) < limit * (1 - 2.0**-31):
        return None
    return "scales " + ", ".join(str(t.scale) for t in (layer.input(0), layer.input(1), layer.output))


def _reference(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    a, b = inputs
    assert a is not None
    assert b is not None
    if layer.output.dtype == "float32":
        return [float_reference(np.multiply, layer, a, b)]
    product = (a.astype(np.int64) - layer.input(0).zero_point) * (b.astype(np.int64) - layer.input(1).zero_point)
    scaled = multiply_by_quantized_multiplier(product, *multiplier(layer))
    low, high = activation_range(layer.attributes["activation"], layer.output)
    result = np.clip(wrap_int32(scaled + layer.output.zero_point), low, high)
    return [result.astype(layer.output.dtype).reshape(layer.output.shape)]


def _cases() -> Iterator[tuple[str, Graph]]:
    random = np.random.default_rng(3)
    channels = random.integers(-128, 128, 5).astype(np.int8)
    yield "same shape", two_input_graph("MUL", ((1, 3, 4, 5), (1, 3, 4, 5)), (0.1, 0.07, 0.9), (-3, 5, 7))
    yield "same tensor", two_input_graph("MUL", ((2, 9), (2, 9)), (0.1, 0.1, 0.2), (4, 4, -1), same=True)
    yield "channels", two_input_graph("MUL", ((1, 3, 4, 5), (5,)), (0.1, 0.02, 0.1), constants=(None, channels))
    yield "constant first", two_input_graph("MUL", ((5,), (2, 5)), (0.1, 0.02, 0.1), constants=(channels, None))
    yield "scalar", two_input_graph("MUL", ((), (7,)), (0.5, 0.01, 0.3), (0, -128, 127), activation="RELU")
    yield (
        "both broadcast",
        two_input_graph("MUL", ((2, 1, 3, 1, 2), (1, 4, 3, 2, 1)), (0.3, 0.3, 0.3), activation="RELU6"),
    )
    yield (
        "left shift",
        two_input_graph("MUL", ((64,), (64,)), (1.5, 1.5, 0.01), (100, -100, 0), activation="RELU_N1_TO_1"),
    )
    yield "ties", two_input_graph("MUL", ((200,), (200,)), (0.5, 0.25, 1.0))
    yield from wide_cases("MUL")


OP = Op(
    name="MUL",
    versions=(1, 7),
    inputs=("input1", "input2"),
    options="MulOptions",
    attributes=activation_attributes,
    export=activation_export,
    constraints=(
        one_type("inputs and the output", 0, 1),
        per_tensor("inputs and the output", 0, 1),
        activation(*ACTIVATIONS),
        inputs_broadcast,
        integer_only(_scales_fit),
    ),
    output_shapes=output_shapes,
    reference=_reference,
    cases=_cases,
    real=real(np.multiply),
    # From version 3 on, the product of the input scales may be larger than the output scale.
    integer=Integer("own", {"float32": 1, "int8": 3, "int16": 4}),
)
