# SPDX-License-Identifier: Apache-2.0
"""ADD: elementwise sum with broadcasting and a fused activation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import Graph
from . import Integer, Op
from ._additive import add_multipliers, export, reference, scales_fit
from ._broadcast import activation_attributes, inputs_broadcast, output_shapes, real, two_input_graph, wide_cases
from ._constraints import ACTIVATIONS, activation, integer_only, one_type, per_tensor


def _cases() -> Iterator[tuple[str, Graph]]:
    random = np.random.default_rng(1)
    channels = random.integers(-128, 128, 5).astype(np.int8)
    yield "same shape", two_input_graph("ADD", ((1, 3, 4, 5), (1, 3, 4, 5)), (0.1, 0.07, 0.13), (-3, 5, 7))
    yield "same tensor", two_input_graph("ADD", ((2, 9), (2, 9)), (0.1, 0.1, 0.2), (4, 4, -1), same=True)
    yield "channels", two_input_graph("ADD", ((1, 3, 4, 5), (5,)), (0.1, 0.02, 0.1), constants=(None, channels))
    yield "constant first", two_input_graph("ADD", ((5,), (2, 5)), (0.1, 0.02, 0.1), constants=(channels, None))
    yield "scalar", two_input_graph("ADD", ((), (7,)), (0.5, 0.001, 0.3), (0, -128, 127), activation="RELU")
    yield (
        "both broadcast",
        two_input_graph("ADD", ((2, 1, 3, 1, 2), (1, 4, 3, 2, 1)), (0.3, 0.3, 0.3), activation="RELU6"),
    )
    yield (
        "saturating",
        two_input_graph("ADD", ((64,), (64,)), (1.0, 1.0, 0.01), (100, -100, 0), activation="RELU_N1_TO_1"),
    )
    yield from wide_cases("ADD")


OP = Op(
    name="ADD",
    versions=(1, 5),
    inputs=("input1", "input2"),
    options="AddOptions",
    attributes=activation_attributes,
    export=export,
    constraints=(
        one_type("inputs and the output", 0, 1),
        per_tensor("inputs and the output", 0, 1),
        activation(*ACTIVATIONS),
        inputs_broadcast,
        integer_only(scales_fit(add_multipliers)),
    ),
    output_shapes=output_shapes,
    reference=reference(add_multipliers, 1),
    cases=_cases,
    real=real(np.add),
    integer=Integer("own", {"float32": 1, "int8": 2, "int16": 3}),
)
