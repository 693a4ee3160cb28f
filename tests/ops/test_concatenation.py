# SPDX-License-Identifier: Apache-2.0
"""CONCATENATION against TFLite Micro, and its rules."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import ZERO_POINTS
from oracle import check
from tinyc.emit import emit
from tinyc.graph import Graph, Quantization, single_node_graph
from tinyc.lower import lower
from tinyc.memory import plan_memory
from tinyc.ops.concatenation import case
from tinyc.targets.cpus import find_cpu
from violations import changed, found, with_attributes

#: bool is left out: tests/ops/oracle.py makes no random truth values.
TFLM_TYPES = ("int8", "int8", "int16", "int32", "int64", "float32")


@st.composite
def concatenations(draw: st.DrawFn, largest: int = 4) -> Graph:
    """One to ten inputs of one to five dimensions, some of them constant, along any axis."""
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=5)))
    extents = draw(st.lists(st.integers(1, largest), min_size=1, max_size=10))
    constants = draw(st.sets(st.integers(1, 9), max_size=3))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return case(shape, axis, extents, draw(st.sampled_from(TFLM_TYPES)), sorted(constants), draw(ZERO_POINTS))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(concatenations())
def test_matches_tflite_micro(graph: Graph) -> None:
    check(graph)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(concatenations(largest=9))
def test_matches_tflite_micro_at_length(graph: Graph) -> None:
    check(graph)


def test_more_inputs_than_tflite_micro_takes() -> None:
    check(case((2, 0, 2), 1, [1, 2, 3] * 7), tflm=False)


def test_uint8() -> None:
    check(case((2, 0), 1, [3, 1], "uint8"), tflm=False)


def test_one_tensor_twice() -> None:
    graph = case((2, 3, 2), 1, [3])
    source, output = graph.tensors
    doubled = replace(output, shape=(2, 6, 2))
    check(single_node_graph("CONCATENATION", (source, source), (doubled,), {"axis": 1, "activation": "NONE"}))


def test_the_call_lists_its_inputs() -> None:
    program = lower(case((1, 0), 1, [4, 2], constants=(1,)), find_cpu("host"))
    text = emit(program, plan_memory(program), "m")["m.c"].decode()
    assert "(const void *const[]){(const int8_t *)&arena[" in text
    assert "static const int8_t m_0_input_1[2] M_TABLE_SECTION = {" in text


def test_rules() -> None:
    graph = case((2, 3, 4), 1, [3, 2])
    absent = replace(graph, nodes=(replace(graph.nodes[0], inputs=(0, -1)),))
    none = replace(graph, nodes=(replace(graph.nodes[0], inputs=()),))
    other = Quantization((0.5,), (4,))
    assert "none may be absent. Found: 2 inputs, 1 of them absent" in found(absent)
    assert "at least one input" in found(none)
    assert "Found: string" in found(changed(graph, 0, dtype="string"))
    assert "one element type. Found: int16 and int8" in found(changed(graph, 1, dtype="int16"))
    assert "input's element type" in found(changed(graph, 2, dtype="int16"))
    assert "1 to 8 dimensions" in found(changed(graph, 0, shape=()))
    assert "fused activation must be one of NONE" in found(with_attributes(graph, activation="RELU"))
    assert "axis 3 of 3 dimensions" in found(with_attributes(graph, axis=3))
    assert "same shape but for the axis" in found(changed(graph, 1, shape=(2, 3, 5)))
    assert "same shape but for the axis" in found(changed(graph, 1, shape=(2, 3)))
    assert "none may be empty" in found(changed(graph, 1, shape=(2, 0, 4)))
    assert "scale and zero point. Found: ((0.5,), (4,)) in 'input_1'" in found(changed(graph, 1, quantization=other))
    assert "the operator computes [(2, 5, 4)]" in found(changed(graph, 2, shape=(2, 6, 4)))
