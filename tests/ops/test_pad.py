# SPDX-License-Identifier: Apache-2.0
"""PAD and PADV2 against TFLite Micro, and their rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import ZERO_POINTS
from oracle import check
from tinyc.graph import Graph, Quantization
from tinyc.ops._pad import TYPES, case
from violations import changed, found

OPS = ("PAD", "PADV2")


@st.composite
def pads(draw: st.DrawFn, largest: int = 3) -> Graph:
    """One to five dimensions, each padded or not, of any element type that TFLite Micro takes."""
    op = draw(st.sampled_from(OPS))
    shape = tuple(draw(st.lists(st.integers(1, largest), min_size=1, max_size=5)))
    pairs = [draw(st.sampled_from([(0, 0), (0, 0), (1, 1), (0, 2), (3, 0), (2, 1)])) for _ in shape]
    element = draw(st.sampled_from(["int8", "int8", *TYPES]))
    value = draw(st.integers(-128, 127) if element == "int8" else st.integers(-32768, 32767))
    return case(op, shape, pairs, value, element, zero_point=draw(ZERO_POINTS))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(pads())
def test_matches_tflite_micro(graph: Graph) -> None:
    check(graph)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(pads(largest=5))
def test_matches_tflite_micro_at_length(graph: Graph) -> None:
    check(graph)


@pytest.mark.parametrize("op", OPS)
def test_int64_paddings(op: str) -> None:
    # TFLite Micro reads paddings as int32 always, so only the reference and the C code are compared.
    check(case(op, (2, 3), [(1, 0), (0, 2)], 9, paddings_dtype="int64"), tflm=False)


def test_bytes_are_copied_where_quantizations_differ() -> None:
    check(changed(case("PAD", (2, 3), [(1, 0), (0, 2)]), 2, quantization=Quantization((0.5,), (100,))))


@pytest.mark.parametrize("op", OPS)
def test_rules(op: str) -> None:
    graph = case(op, (2, 3), [(1, 0), (0, 2)], 7)
    assert "input must be int8 or int16 or int32 or float32. Found: bool" in found(changed(graph, 0, dtype="bool"))
    assert "input's element type. Found: int8 and int16" in found(changed(graph, graph.outputs[0], dtype="int16"))
    assert "1 to 5 dimensions" in found(changed(graph, 0, shape=(1,) * 6))
    assert "not be empty" in found(changed(graph, 0, shape=(2, 0)))
    assert "paddings must be int32 or int64" in found(changed(graph, 1, dtype="int8"))
    assert "paddings must be a constant" in found(changed(graph, 1, data=None))
    assert "pair of numbers for each dimension" in found(changed(graph, 1, shape=(4,)))
    assert "[[-1, 0], [0, 0]]" in found(changed(graph, 1, data=np.array([[-1, 0], [0, 0]], np.int64)))
    huge = np.array([[2**62, 0], [0, 2**62]], np.int64)
    assert "the operator computes" in found(changed(graph, 1, dtype="int64", data=huge))


def test_rules_of_pad() -> None:
    graph = case("PAD", (2, 3), [(1, 0), (0, 2)])
    assert "one zero point" in found(changed(graph, 2, quantization=None))
    assert "zero points [0, 1]" in found(changed(graph, 2, quantization=Quantization((0.1, 0.1), (0, 1))))


def test_rules_of_padv2() -> None:
    graph = case("PADV2", (2, 3), [(1, 0), (0, 2)], 7)
    assert "pad value must be a constant" in found(changed(graph, 2, data=None))
    assert "element type. Found: int16 for int8" in found(changed(graph, 2, dtype="int16"))
    assert "must be one number" in found(changed(graph, 2, shape=(2,)))
    assert "output's scale and zero point" in found(changed(graph, 2, quantization=Quantization((0.5,), (-5,))))
