# SPDX-License-Identifier: Apache-2.0
"""LOGISTIC: 1 / (1 + exp(-x))."""

from __future__ import annotations

from collections.abc import Iterator

from ..graph import Graph
from . import Op
from ._constraints import dtype, not_empty, output_dtype, per_tensor
from ._elementwise import one_input_graph, reference, same_shape
from ._exponential import logistic
from ._sigmoid import input_scale_fits, output_quantization, sigmoid_values

values = sigmoid_values(logistic, output_bits=8, zero_point=-128)


def _cases() -> Iterator[tuple[str, Graph]]:
    for name, scale, zero_point in [
        ("usual", 0.05, 4),
        ("fine", 1e-4, -128),
        ("coarse", 3.0, 0),
        ("saturated", 40.0, 127),
    ]:
        yield name, one_input_graph("LOGISTIC", (4, 50), ("int8", scale, zero_point), ("int8", 1 / 256, -128))


OP = Op(
    name="LOGISTIC",
    versions=(1, 3),
    inputs=("input",),
    constraints=(
        dtype("input", 0, "int8"),
        output_dtype("int8"),
        not_empty("input", 0),
        per_tensor("input and the output", 0),
        output_quantization(1 / 256, -128),
        input_scale_fits,
    ),
    output_shapes=same_shape,
    reference=reference(values),
    cases=_cases,
)
