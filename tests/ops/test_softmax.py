# SPDX-License-Identifier: Apache-2.0
"""SOFTMAX against TFLite Micro on drawn layers, its long rows, and the messages of its rules."""

import numpy as np
import pytest
from elementwise import check_inputs, float_corners, only_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import ZERO_POINTS, scale, with_attributes, with_tensor
from oracle import check
from tinyc import reference
from tinyc.graph import Graph, Quantization
from tinyc.ops._elementwise import one_input_graph


def softmax(shape: tuple[int, ...], scale: float, zero_point: int = 0, beta: float = 1.0) -> Graph:
    return one_input_graph("SOFTMAX", shape, ("int8", scale, zero_point), ("int8", 1 / 256, -128), {"beta": beta})


LAYERS = st.builds(
    softmax,
    st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple)
    | st.integers(100, 511).map(lambda depth: (1, depth)),
    st.floats(-20, 10).map(lambda e: scale(2.0**e)),
    ZERO_POINTS,
    st.floats(-3, 3).map(lambda e: scale(2.0**e)),
)


SHAPES = st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple) | st.integers(100, 3000).map(lambda n: (1, n))


def wide_softmax(shape: tuple[int, ...], element: str, scale: float, beta: float) -> Graph:
    ends = (element, scale, 0), (element, 1 / 32768, 0)
    ends = (("float32", 0, 0), ("float32", 0, 0)) if element == "float32" else ends
    return one_input_graph("SOFTMAX", shape, *ends, {"beta": beta})


WIDE_LAYERS = st.builds(
    wide_softmax,
    SHAPES,
    st.sampled_from(["int16", "int16", "float32"]),
    st.floats(-22, -1).map(lambda e: scale(2.0**e)),
    st.just(1.0) | st.floats(-3, 1).map(lambda e: scale(2.0**e)),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(WIDE_LAYERS)
def test_drawn_wide_layers(graph: Graph) -> None:
    """float32 is some units in the last place from TFLite Micro, whose exp is the C library's."""
    check(graph)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(WIDE_LAYERS)
def test_many_drawn_wide_layers(graph: Graph) -> None:
    check(graph, runs=4)


def test_every_int16_difference() -> None:
    """Rows of two values, all differences from 0 to 65535, and all sums of up to 600 equal values."""
    differences = np.stack([np.full(2**16, 2**15 - 1), np.arange(-(2**15), 2**15)], axis=1).astype(np.int16)
    check_inputs(wide_softmax((2**16, 2), "int16", scale(1.5e-4), 1.0), [[differences]])
    equal = np.where(np.arange(600) <= np.arange(600)[:, None], 30000, -30000).astype(np.int16)
    check_inputs(wide_softmax((600, 600), "int16", scale(1e-3), 1.0), [[equal]])


def test_float32_corners() -> None:
    rows = np.stack([float_corners(40, seed) for seed in range(50)])
    rows[np.isinf(rows)] = 3.0
    rows[0] = np.linspace(-100, 0, 40)
    check_inputs(wide_softmax((50, 40), "float32", 0.0, 1.0), [[rows]])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(LAYERS)
def test_drawn_layers(graph: Graph) -> None:
    check(graph)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(LAYERS)
def test_many_drawn_layers(graph: Graph) -> None:
    check(graph, runs=4)


def test_every_sum_of_equal_values() -> None:
    """Rows of 1 to 511 equal values, whose probabilities are exact, among values that do not count."""
    depth = 511
    graph = softmax((depth, depth), 0.5)
    rows = np.where(np.arange(depth) <= np.arange(depth)[:, None], 127, -128).astype(np.int8)
    check_inputs(graph, [[rows]])


@pytest.mark.parametrize("equal", [511, 512, 513, 4096, 20000])
def test_long_rows(equal: int) -> None:
    """From 512 equal values on TFLite Micro stops; the probabilities round to zero."""
    graph = softmax((1, 20000), 0.5)
    row = np.full((1, 20000), -128, np.int8)
    row[0, :equal] = 100
    check_inputs(graph, [[row]], tflm=equal < 512)
    assert reference.outputs(graph, [row])[0].max() == (-127 if equal < 512 else -128)


def test_rules() -> None:
    graph = softmax((2, 3), 0.1)
    assert "must be int8" in only_problem(with_tensor(graph, 1, dtype="int16"))
    assert "Found: shape []." in only_problem(with_tensor(graph, 0, shape=()))
    assert "Found: shape [0, 3]." in only_problem(with_tensor(graph, 0, shape=(0, 3)))
    assert "beta 0.0" in only_problem(with_attributes(graph, beta=0.0))
    assert "beta -1.0" in only_problem(with_attributes(graph, beta=-1.0))
    assert "beta nan" in only_problem(with_attributes(graph, beta=float("nan")))
    assert "2^-26" in only_problem(with_tensor(graph, 0, quantization=Quantization((1e-9,), (0,))))
    wide = wide_softmax((2, 3), "int16", 0.1, 1.0)
    assert "1/32768 and 0" in only_problem(with_tensor(wide, 1, quantization=Quantization((1 / 256,), (0,))))
    assert "In int16, beta must be positive" in only_problem(with_attributes(wide, beta=20.0))
    assert "at most 65536. Found: 65537" in only_problem(wide_softmax((65537,), "int16", 0.1, 1.0))
    assert "beta must be finite" in only_problem(wide_softmax((3,), "float32", 0.0, float("nan")))
    assert "1/256" in only_problem(with_tensor(graph, 1, quantization=Quantization((1 / 256,), (0,))))


def test_an_infinite_beta_is_refused_or_computed() -> None:
    check(with_attributes(softmax((4, 9), 0.1), beta=float("inf")))
