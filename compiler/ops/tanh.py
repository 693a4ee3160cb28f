# SPDX-License-Identifier: Apache-2.0
"""TANH: hyperbolic tangent."""

from __future__ import annotations

from collections.abc import Iterator

from ..graph import Graph
from . import Op
from ._constraints import dtype, not_empty, output_dtype, per_tensor
from ._elementwise import one_input_graph, reference, same_shape
from ._exponential import tanh
from ._sigmoid import input_scale_fits, output_quantization, sigmoid_values

values = sigmoid_values(tanh, output_bits=7, zero_point=0)


def _cases() -> Iterator[tuple[str, Graph]]:
    for name, scale, zero_point in [
        ("usual", 0.03, 4),
        ("fine", 1e-4, -128),
        ("coarse", 3.0, 0),
        ("saturated", 40.0, 127),
    ]:
        yield name, one_input_graph("TANH", (4, 50), ("int8", scale, zero_point), ("int8", 1 / 128, 0))


OP = Op(
    name="TANH",
    versions=(1, 3),
    inputs=("input",),
    constraints=(
        dtype("input", 0, "int8"),
        output_dtype("int8"),
        not_empty("input", 0),
        per_tensor("input and the output", 0),
        output_quantization(1 / 128, 0),
        input_scale_fits,
    ),
    output_shapes=same_shape,
    reference=reference(values),
    cases=_cases,
)
