# SPDX-License-Identifier: Apache-2.0
"""RESHAPE, SQUEEZE and EXPAND_DIMS: no code, the same memory, and their rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import check
from tinyc.graph import Graph, Tensor, single_node_graph
from tinyc.lower import lower
from tinyc.ops import expand_dims, problems, reshape, squeeze
from tinyc.targets.cpus import find_cpu
from violations import changed, found, with_attributes

#: Those of MOVED_TYPES for which tests/ops/oracle.py makes random values.
TYPES = ("int8", "int8", "uint8", "int16", "int32", "int64", "float32")

SHAPES = st.lists(st.sampled_from([1, 1, 2, 3, 4]), max_size=5).map(tuple)


@st.composite
def reshapes(draw: st.DrawFn) -> Graph:
    """The new shape in a constant, in the option or only in the output tensor, with or without a -1."""
    output = draw(SHAPES)
    shape = tuple(draw(st.permutations([*output, 1]))) if draw(st.booleans()) else (math.prod(output),)
    wanted = list(output)
    if wanted and draw(st.booleans()):
        wanted[draw(st.integers(0, len(wanted) - 1))] = -1
    place = draw(st.sampled_from(["table", "option", "nowhere"]))
    element = draw(st.sampled_from(TYPES))
    table = wanted if place == "table" else None
    return reshape.case(shape, output, element=element, table=table, option=tuple(wanted) if place == "option" else ())


@st.composite
def squeezes(draw: st.DrawFn) -> Graph:
    shape = draw(SHAPES)
    ones = [position for position, extent in enumerate(shape) if extent == 1]
    chosen = draw(st.lists(st.sampled_from(ones), max_size=4)) if ones else []
    dropped = set(chosen or ones)
    output = tuple(extent for position, extent in enumerate(shape) if position not in dropped)
    signed = tuple(position - len(shape) if draw(st.booleans()) else position for position in chosen)
    return squeeze.case(shape, signed, output, draw(st.sampled_from(TYPES)))


@st.composite
def expansions(draw: st.DrawFn) -> Graph:
    shape = draw(SHAPES)
    axis = draw(st.integers(0, len(shape)))
    output = (*shape[:axis], 1, *shape[axis:])
    # The types that TFLite Micro takes here.
    element = draw(st.sampled_from(["int8", "int16", "float32"]))
    return expand_dims.case(shape, axis - len(output) if draw(st.booleans()) else axis, output, element)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(reshapes() | squeezes() | expansions())
def test_matches_tflite_micro(graph: Graph) -> None:
    assert lower(graph, find_cpu("host")).steps == ()
    check(graph, runs=1)


def test_shape_computed_at_run_time() -> None:
    q = reshape.case((2, 3), (3, 2)).tensors[0].quantization
    tensors = (
        Tensor("input", (2, 3), "int8", q),
        Tensor("shape", (2,), "int32"),
        Tensor("output", (3, 2), "int8", q),
    )
    graph = single_node_graph("RESHAPE", tensors[:2], tensors[2:], {"new_shape": (7, 7)})
    assert problems(next(graph.layers())) == []
    check(graph)


def test_expand_dims_takes_an_int64_axis() -> None:
    check(expand_dims.case((2, 3), 1, (2, 1, 3), axis_dtype="int64"), tflm=False)


@pytest.mark.parametrize(
    "graph",
    [reshape.case((2, 3), (3, 2), table=(3, 2)), squeeze.case((1, 6), (0,), (6,)), expand_dims.case((6,), 0, (1, 6))],
    ids=["RESHAPE", "SQUEEZE", "EXPAND_DIMS"],
)
def test_rules_of_views(graph: Graph) -> None:
    output = graph.outputs[0]
    assert "input must be int8 or uint8" in found(changed(graph, 0, dtype="string"))
    assert "input's element type. Found: int8 and int32" in found(changed(graph, output, dtype="int32"))
    assert "as many elements as the input" in found(changed(graph, output, shape=(7,)))
    assert "at least one" in found(changed(changed(graph, output, shape=(0, 3)), 0, shape=(0, 3)))


def test_rules_of_reshape() -> None:
    graph = reshape.case((2, 6), (3, 4), table=(3, 4))

    def with_table(*table: int) -> Graph:
        return changed(graph, 1, shape=(len(table),), data=np.array(table, np.int32))

    assert "shape must be int32 or int64. Found: float32" in found(changed(graph, 1, dtype="float32"))
    assert "at most 8 dimensions. Found: 9 dimensions" in found(with_table(*[1] * 9))
    for table in [(3, 5), (-1, -1), (-1, 5), (0, -1), (-2, -6), (0, 12), (2**31 - 1, -1)]:
        assert f"at most one -1, and hold as many elements as the input. Found: new shape {list(table)}" in found(
            with_table(*table)
        )
    assert "[(3, 4)] found, the operator computes [(4, 3)]" in found(with_table(4, -1))
    assert "Found: new shape [5] for 12 elements" in found(reshape.case((2, 6), (12,), option=(5,)))


def test_rules_of_squeeze() -> None:
    graph = squeeze.case((1, 6, 1), (0,), (6, 1))
    assert "Found: dimension 1 of shape [1, 6, 1]" in found(with_attributes(graph, squeeze_dims=(0, 1)))
    assert "Found: dimension -4 of shape [1, 6, 1]" in found(with_attributes(graph, squeeze_dims=(-4,)))
    assert "the operator computes [(6,)]" in found(with_attributes(graph, squeeze_dims=()))


def test_rules_of_expand_dims() -> None:
    graph = expand_dims.case((2, 3), 1, (2, 1, 3))
    assert "axis must be int32 or int64" in found(changed(graph, 1, dtype="int8"))
    assert "axis must be a constant" in found(changed(graph, 1, data=None))
    assert "must be one number" in found(changed(graph, 1, shape=(2,)))
    assert "Found: axis 3 of 3 dimensions" in found(changed(graph, 1, data=np.array([3], np.int32)))
    assert "the operator computes [(1, 2, 3)]" in found(changed(graph, 1, data=np.array([-3], np.int32)))
