# SPDX-License-Identifier: Apache-2.0
"""LOGISTIC against TFLite Micro on all 256 inputs, and the messages of its rules."""

import numpy as np
import pytest
from elementwise import SCALES, check_inputs, every_byte, every_int16, float_corners, only_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import ZERO_POINTS, scale, with_tensor
from tinyc.graph import Graph, Quantization
from tinyc.ops._elementwise import one_input_graph

LAYERS = st.builds(
    lambda source: one_input_graph("LOGISTIC", (256,), ("int8", *source), ("int8", 1 / 256, -128)),
    st.tuples(SCALES | st.floats(-28, 30).map(lambda e: scale(2.0**e)), ZERO_POINTS),
)


#: Powers of two and scales next to them, which TFLite Micro takes for one, among others.
INT16_SCALES = (
    st.floats(-27.9, 1.4).map(lambda e: scale(2.0**e))
    | st.integers(-15, 1).map(lambda e: 2.0**e)
    | st.sampled_from([2.0**-12, 2.0**-11]).flatmap(lambda s: st.floats(0.999, 1.001).map(lambda f: scale(s * f)))
)
INT16_LAYERS = INT16_SCALES.map(
    lambda s: one_input_graph("LOGISTIC", (2**16,), ("int16", s, 0), ("int16", 2.0**-15, 0))
)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(INT16_LAYERS)
def test_every_int16_input(graph: Graph) -> None:
    check_inputs(graph, every_int16(graph))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(INT16_LAYERS)
def test_many_int16_scales(graph: Graph) -> None:
    check_inputs(graph, every_int16(graph))


def test_float32_is_near_tflite_micro() -> None:
    values = np.concatenate([float_corners(5000), np.linspace(-20, 20, 20001, dtype=np.float32)])
    check_inputs(one_input_graph("LOGISTIC", values.shape, ("float32", 0, 0), ("float32", 0, 0)), [[values]])


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
    wide = one_input_graph("LOGISTIC", (3,), ("int16", 2.7, 0), ("int16", 2.0**-15, 0))
    assert "in int16 less than 2.66" in only_problem(wide)
    assert "in int16 1/32768" in only_problem(with_tensor(wide, 1, quantization=Quantization((1 / 128,), (0,))))
    assert "(0 in int16)" in only_problem(with_tensor(wide, 0, quantization=Quantization((0.1,), (1,))))
    wrong = with_tensor(graph, 1, quantization=Quantization((0.01,), (3,)))
    assert (
        only_problem(wrong)
        == "The output must have scale 1/256 and zero point -128, in int16 1/32768 and 0. Found: scale 0.01 and zero point 3."
    )
