# SPDX-License-Identifier: Apache-2.0
"""RELU6 against TFLite Micro on all 256 inputs, and the messages of its rules."""

import numpy as np
import pytest
from elementwise import SCALES, check_inputs, every_byte, every_int16, float_corners, only_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import ZERO_POINTS, with_tensor
from tinyc import reference
from tinyc.graph import Graph, Quantization
from tinyc.ops._elementwise import one_input_graph

LAYERS = st.builds(
    lambda source: one_input_graph("RELU6", (256,), ("int8", *source), ("int8", *source)),
    st.tuples(SCALES, ZERO_POINTS),
)

INT16_LAYERS = st.builds(
    lambda source, output: one_input_graph("RELU6", (2**16,), ("int16", source, 0), ("int16", source, 0)),
    SCALES,
    SCALES,
)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(INT16_LAYERS)
def test_every_int16_input(graph: Graph) -> None:
    check_inputs(graph, every_int16(graph))


def test_float_corners() -> None:
    check_inputs(one_input_graph("RELU6", (500,), ("float32", 0, 0), ("float32", 0, 0)), [[float_corners(500)]])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(LAYERS)
def test_every_input(graph: Graph) -> None:
    check_inputs(graph, every_byte(graph))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(LAYERS)
def test_many_quantizations(graph: Graph) -> None:
    check_inputs(graph, every_byte(graph))


@pytest.mark.parametrize(
    ("source", "output", "expected"),
    [
        ((0.1, 0), (0.1, 0), [0, 0, 10, 59, 60, 60, 60]),
        ((0.1, 0), (0.05, 0), [0, 0, 20, 118, 120, 120, 120]),
        ((0.1, 0), (0.05, -128), [-128, -128, -108, -10, -8, -8, -8]),
        ((0.1, -50), (0.2, 7), [7, 32, 37, 37, 37, 37, 37]),
        ((0.1, 0), (0.02, 0), [0, 0, 50, 127, 127, 127, 127]),
    ],
)
def test_differing_quantization(source: tuple[float, int], output: tuple[float, int], expected: list[int]) -> None:
    """TFLite Micro does not requantize; these are the real values, which TFLite's own kernel gives too."""
    graph = one_input_graph("RELU6", (7,), ("int8", *source), ("int8", *output))
    inputs = [np.array([-128, 0, 10, 59, 60, 61, 127], np.int8)]
    check_inputs(graph, [inputs], tflm=False)
    assert reference.outputs(graph, inputs)[0].tolist() == expected


def test_rules() -> None:
    graph = one_input_graph("RELU6", (3,), ("int8", 0.1, 0), ("int8", 0.1, 0))
    assert "must be int8" in only_problem(with_tensor(graph, 1, dtype="uint8"))
    assert "2^30 times" in only_problem(with_tensor(graph, 1, quantization=Quantization((2.0**-40,), (0,))))


def test_differing_int16_quantization() -> None:
    """As above."""
    graph = one_input_graph("RELU6", (5,), ("int16", 0.001, 0), ("int16", 0.0005, 0))
    inputs = [np.array([-3, 0, 1, 5999, 20000], np.int16)]
    check_inputs(graph, [inputs], tflm=False)
    assert reference.outputs(graph, inputs)[0].tolist() == [0, 0, 2, 11998, 12000]


def test_six_beyond_any_integer_saturates() -> None:
    graph = one_input_graph("RELU6", (256,), ("int8", 1e-30, 0), ("int8", 1e-38, 0))
    check_inputs(graph, every_byte(graph), tflm=False)
