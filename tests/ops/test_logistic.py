# SPDX-License-Identifier: Apache-2.0
"""LOGISTIC against TFLite Micro on all 256 inputs, and the messages of its rules."""

import pytest
from elementwise import SCALES, check_inputs, every_byte, only_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import ZERO_POINTS, scale, with_tensor
from tinyc.graph import Graph, Quantization
from tinyc.ops._elementwise import one_input_graph

LAYERS = st.builds(
    lambda source: one_input_graph("LOGISTIC", (256,), ("int8", *source), ("int8", 1 / 256, -128)),
    st.tuples(SCALES | st.floats(-28, 30).map(lambda e: scale(2.0**e)), ZERO_POINTS),
)


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
    graph = one_input_graph("LOGISTIC", (3,), ("int8", 0.1, 0), ("int8", 1 / 256, -128))
    assert "must be int8" in only_problem(with_tensor(graph, 0, dtype="int16"))
    assert "2^-28" in only_problem(with_tensor(graph, 0, quantization=Quantization((2.0**-29,), (0,))))
    assert "2^31" in only_problem(with_tensor(graph, 0, quantization=Quantization((2.0**31,), (0,))))
    wrong = with_tensor(graph, 1, quantization=Quantization((0.01,), (3,)))
    assert (
        only_problem(wrong)
        == "The output must have scale 1/256 and zero point -128. Found: scale 0.01 and zero point 3."
    )
