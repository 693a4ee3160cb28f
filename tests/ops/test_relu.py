# SPDX-License-Identifier: Apache-2.0
"""RELU against TFLite Micro on all 256 inputs, and the messages of its rules."""

import pytest
from elementwise import SCALES, check_inputs, every_byte, every_int16, float_corners, only_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import ZERO_POINTS, scale, with_tensor
from tinyc.graph import Graph, Quantization
from tinyc.ops._elementwise import one_input_graph

#: Multipliers up to 2^30 and down to zero.
WIDE_SCALES = SCALES | st.floats(-20, 10).map(lambda e: scale(2.0**e))

LAYERS = st.builds(
    lambda source, output: one_input_graph("RELU", (256,), ("int8", *source), ("int8", *output)),
    st.tuples(WIDE_SCALES, ZERO_POINTS),
    st.tuples(WIDE_SCALES, ZERO_POINTS),
)

INT16_LAYERS = st.builds(
    lambda source, output: one_input_graph("RELU", (2**16,), ("int16", source, 0), ("int16", output, 0)), SCALES, SCALES
)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(INT16_LAYERS)
def test_every_int16_input(graph: Graph) -> None:
    check_inputs(graph, every_int16(graph))


def test_float_corners() -> None:
    check_inputs(one_input_graph("RELU", (500,), ("float32", 0, 0), ("float32", 0, 0)), [[float_corners(500)]])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(LAYERS)
def test_every_input(graph: Graph) -> None:
    check_inputs(graph, every_byte(graph))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(LAYERS)
def test_many_quantizations(graph: Graph) -> None:
    check_inputs(graph, every_byte(graph))


def test_rules() -> None:
    graph = one_input_graph("RELU", (3,), ("int8", 0.1, 0), ("int8", 0.1, 0))
    assert "must be int8" in only_problem(with_tensor(graph, 0, dtype="int16"))
    assert "2^30 times" in only_problem(with_tensor(graph, 1, quantization=Quantization((2.0**-40,), (0,))))
    assert "output shape" in only_problem(with_tensor(graph, 1, shape=(3, 1)))
