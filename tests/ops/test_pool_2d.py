# SPDX-License-Identifier: Apache-2.0
"""AVERAGE_POOL_2D and MAX_POOL_2D against TFLite Micro, and the rules they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import ACTIVATIONS, ZERO_POINTS, check_real, scale
from oracle import assert_same_bytes, check, compiled_outputs, tflm_outputs
from tinyc import reference
from tinyc.graph import Graph, Quantization
from tinyc.lower import lower
from tinyc.ops._pool import case
from tinyc.targets.cpus import find_cpu
from violations import changed, found, with_attributes

OPS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")


@st.composite
def pools(draw: st.DrawFn, largest: int = 9, dtypes: Sequence[str] = ("int8",)) -> Graph:
    """Any geometry: windows larger than the image with SAME, strides larger than the window, skipped pixels."""
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    image = draw(st.tuples(st.integers(1, largest), st.integers(1, largest)))
    window = tuple(draw(st.integers(1, extent if padding == "VALID" else extent + 3)) for extent in image)
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dtype = draw(st.sampled_from(dtypes))
    q = Quantization((scale(draw(st.floats(0.001, 2.0))),), (draw(ZERO_POINTS) if dtype == "int8" else 0,))
    shape = (draw(st.integers(1, 3)), *image, draw(st.integers(1, 9)))
    op, activation = draw(st.sampled_from(OPS)), draw(ACTIVATIONS)
    return case(op, shape, (window[0], window[1]), stride, padding, activation, q, dtype)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(pools())
def test_matches_tflite_micro(graph: Graph) -> None:
    check(graph)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(pools(dtypes=("int16", "float32")))
def test_other_types_match_tflite_micro(graph: Graph) -> None:
    check(graph)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(pools(dtypes=("float32",)))
def test_real(graph: Graph) -> None:
    check_real(graph)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(pools(largest=17, dtypes=("int16", "float32")))
def test_other_types_match_tflite_micro_at_length(graph: Graph) -> None:
    check(graph)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
def test_float32_specials(op: str, activation: str) -> None:
    """NaN is no maximum, and of 0.0 and -0.0 the first one stays; without an activation, infinities become the largest numbers."""
    graph = case(op, (1, 2, 8, 1), (2, 1), (1, 1), "VALID", activation, dtype="float32")
    nan, inf = np.nan, np.inf
    values = [[nan, nan, 0.0, -0.0, inf, -inf, 3e38, -2.0], [nan, 1.0, -0.0, 0.0, 1.0, -inf, 3e38, 7.5]]
    image = np.array(values, np.float32).reshape(1, 2, 8, 1)
    [want] = reference.outputs(graph, [image])
    assert np.isnan(want).sum() == (2 if op == "AVERAGE_POOL_2D" else 0)
    assert not np.isinf(want).any()
    assert_same_bytes(want, tflm_outputs(graph, [image])[0], "TFLM differs")
    assert_same_bytes(want, compiled_outputs(graph, [[image]])[0][0], "C differs")


def test_mean_of_the_largest_int16_window() -> None:
    graph = case("AVERAGE_POOL_2D", (1, 255, 257, 1), (255, 257), (1, 1), "VALID", dtype="int16")
    for value in (-32768, 32767):
        image = np.full((1, 255, 257, 1), value, np.int16)
        [[mean]] = compiled_outputs(graph, [[image]])
        assert mean.item() == reference.outputs(graph, [image])[0].item() == value
        assert tflm_outputs(graph, [image])[0].item() == value
    large = changed(graph, 0, shape=(1, 256, 256, 1))
    assert "65535 in int16" in found(with_attributes(large, window=(256, 256)))


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(pools(largest=17))
def test_matches_tflite_micro_at_length(graph: Graph) -> None:
    check(graph)


def test_ties_round_away_from_zero() -> None:
    graph = case("AVERAGE_POOL_2D", (1, 2, 8, 1), (2, 1), (1, 1), "VALID")
    values = [[3, -3, 1, -1, 127, -128, 0, -127], [2, -2, 0, 0, 126, -127, 0, -128]]
    image = np.array(values, np.int8).reshape(1, 2, 8, 1)
    [[averages]] = compiled_outputs(graph, [[image]])
    assert averages.reshape(-1).tolist() == [3, -3, 1, -1, 127, -128, 0, -128]


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(("padding", "shared"), [("VALID", True), ("SAME", False)])
def test_output_takes_the_inputs_place_only_without_padding_in_front(op: str, padding: str, shared: bool) -> None:
    graph = case(op, (1, 5, 5, 2), (3, 3), (1, 1), padding)
    [step] = lower(graph, find_cpu("host")).steps
    assert (step.binding.overlap[0] == 0) == shared
    check(graph, tflm=False)


def test_scales_may_differ_by_a_millionth() -> None:
    graph = case("AVERAGE_POOL_2D", (1, 4, 4, 3), (2, 2), (2, 2), "VALID")
    q = Quantization((scale(0.0600005),), (-9,))
    check(replace(graph, tensors=(graph.tensors[0], replace(graph.tensors[1], quantization=q))))


@pytest.mark.parametrize("op", OPS)
def test_rules(op: str) -> None:
    graph = case(op, (1, 6, 6, 2), (2, 2), (2, 2), "VALID")
    other = Quantization((0.5,), (-9,))
    assert "input must be int8 or int16 or float32. Found: uint8" in found(changed(graph, 0, dtype="uint8"))
    assert "output must have the input's type. Found: int8 and int16" in found(changed(graph, 1, dtype="int16"))
    assert "per tensor" in found(changed(graph, 0, quantization=None))
    assert "4 dimensions. Found: shape [6, 6, 2]" in found(changed(graph, 0, shape=(6, 6, 2)))
    assert "fused activation" in found(with_attributes(graph, activation="TANH"))
    assert "SAME or VALID. Found: value 9" in found(with_attributes(graph, padding="value 9"))
    assert "1 to 65536. Found: strides [0, 1]" in found(with_attributes(graph, stride=(0, 1)))
    assert "1 to 65536. Found: strides [2, 2], window [2, -5]" in found(with_attributes(graph, window=(2, -5)))
    assert "not be empty" in found(changed(graph, 0, shape=(1, 0, 6, 2)))
    assert "fit in the image" in found(with_attributes(graph, window=(7, 1)))
    assert "8388608 pixels" in found(with_attributes(changed(graph, 0, shape=(1, 4096, 4096, 1)), window=(4096, 4096)))
    assert "scale and zero point must be the input's" in found(changed(graph, 1, quantization=other))
    assert "[(1, 3, 3, 3)] found, the operator computes [(1, 3, 3, 2)]" in found(changed(graph, 1, shape=(1, 3, 3, 3)))


def test_largest_of_the_smallest() -> None:
    graph = case("MAX_POOL_2D", (1, 3, 3, 1), (3, 3), (1, 1), "SAME")
    [[largest]] = compiled_outputs(graph, [[np.full((1, 3, 3, 1), -128, np.int8)]])
    assert_same_bytes(np.full((1, 3, 3, 1), -128, np.int8), largest, "a window of -128")
