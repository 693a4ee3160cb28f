# SPDX-License-Identifier: Apache-2.0
"""RELU: max(x, 0), requantized to the output's scale."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import Array, Graph, Layer
from . import Op
from ._constraints import dtype, not_empty, output_dtype, per_tensor
from ._elementwise import one_input_graph, reference, rescale, rescale_fits, same_shape


def values(layer: Layer, x: Array) -> Array:
    return np.clip(rescale(layer, x), layer.output.zero_point, 127).astype(np.int8)


def _cases() -> Iterator[tuple[str, Graph]]:
    yield "same scale", one_input_graph("RELU", (2, 7, 9), ("int8", 0.1, -5), ("int8", 0.1, -5))
    yield "smaller scale", one_input_graph("RELU", (1, 200), ("int8", 0.1, 3), ("int8", 0.03, -128))
    yield "larger scale", one_input_graph("RELU", (200,), ("int8", 0.1, -60), ("int8", 0.8, 11))


OP = Op(
    name="RELU",
    versions=(1, 3),
    inputs=("input",),
    constraints=(
        dtype("input", 0, "int8"),
        output_dtype("int8"),
        not_empty("input", 0),
        per_tensor("input and the output", 0),
        rescale_fits,
    ),
    output_shapes=same_shape,
    reference=reference(values),
    cases=_cases,
)
