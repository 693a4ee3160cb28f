# SPDX-License-Identifier: Apache-2.0
"""RELU: max(x, 0), requantized to the output's scale."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import Array, Graph, Layer
from . import Integer, Op
from ._constraints import integer_only, not_empty, one_type, per_tensor
from ._elementwise import largest, one_input_graph, real, reference, rescale, rescale_fits, same_shape


def values(layer: Layer, x: Array) -> Array:
    output = layer.output
    if output.dtype == "float32":
        return np.where(x < 0, np.float32(0), x)
    return np.clip(rescale(layer, x), output.zero_point, largest(output)).astype(output.dtype)


def _cases() -> Iterator[tuple[str, Graph]]:
    yield "same scale", one_input_graph("RELU", (2, 7, 9), ("int8", 0.1, -5), ("int8", 0.1, -5))
    yield "smaller scale", one_input_graph("RELU", (1, 200), ("int8", 0.1, 3), ("int8", 0.03, -128))
    yield "larger scale", one_input_graph("RELU", (200,), ("int8", 0.1, -60), ("int8", 0.8, 11))
    yield "int16", one_input_graph("RELU", (2, 90), ("int16", 3e-4, 0), ("int16", 3e-4, 0))
    yield "float32", one_input_graph("RELU", (2, 3, 90), ("float32", 0, 0), ("float32", 0, 0))
    yield "int16 smaller scale", one_input_graph("RELU", (2, 90), ("int16", 1e-3, 0), ("int16", 3e-4, 0))
    yield "int16 ties", one_input_graph("RELU", (2, 90), ("int16", 1e-3, 0), ("int16", 4e-3, 0))


OP = Op(
    name="RELU",
    versions=(1, 3),
    inputs=("input",),
    constraints=(
        one_type("input and the output", 0),
        not_empty("input", 0),
        per_tensor("input and the output", 0),
        integer_only(rescale_fits),
    ),
    output_shapes=same_shape,
    reference=reference(values),
    cases=_cases,
    real=real(lambda x: np.maximum(x, np.float32(0))),
    integer=Integer("own", {"float32": 1, "int8": 2, "int16": 3}),
)
