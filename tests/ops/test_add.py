# SPDX-License-Identifier: Apache-2.0
"""ADD against TFLite Micro on drawn layers, and the messages of its rules."""

import numpy as np
import pytest
from elementwise import check_inputs, float_corners, only_problem, two_inputs
from hypothesis import given, settings
from layers import with_attributes, with_tensor
from oracle import check
from tinyc.graph import Graph, Quantization
from tinyc.lower import lower
from tinyc.ops._broadcast import two_input_graph
from tinyc.targets.cpus import find_cpu

GRAPH = two_input_graph("ADD", ((2, 3), (3,)), (0.1, 0.2, 0.3))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(two_inputs("ADD"))
def test_drawn_layers(graph: Graph) -> None:
    check(graph)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(two_inputs("ADD", "int16") | two_inputs("ADD", "float32"))
def test_drawn_wide_layers(graph: Graph) -> None:
    check(graph)


def test_float_corners() -> None:
    for activation in ("NONE", "RELU", "RELU_N1_TO_1", "RELU6"):
        graph = two_input_graph("ADD", ((60, 60), (60,)), (1, 1, 1), activation=activation, element="float32")
        a, b = float_corners(60, 1), float_corners(60, 2)
        with np.errstate(all="ignore"):
            outer = np.add.outer(a, b)
        rows = np.where(np.isnan(outer), np.float32(2), a[:, None])  # not-a-numbers have no bits of their own
        with np.errstate(all="ignore"):
            assert not np.isnan(rows + b).any()
        check_inputs(graph, [[rows, b]])


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(two_inputs("ADD") | two_inputs("ADD", "int16") | two_inputs("ADD", "float32"))
def test_many_drawn_layers(graph: Graph) -> None:
    check(graph, runs=3)


def test_six_dimensions() -> None:
    check(two_input_graph("ADD", ((2, 1) * 3, (1, 2) * 3), (0.1, 0.2, 0.3)))


def test_in_place_only_where_nothing_repeats() -> None:
    for shapes, expected in [
        (((2, 3), (3,)), (0,)),
        (((3,), (2, 3)), (1,)),
        (((2, 3), (2, 3)), (0, 1)),
        (((2, 1), (3,)), ()),
    ]:
        [step] = lower(two_input_graph("ADD", shapes, (0.1, 0.2, 0.3)), find_cpu("host")).steps
        assert tuple(step.binding.overlap) == expected


def test_rules() -> None:
    assert only_problem(with_tensor(GRAPH, 1, dtype="int16")) == (
        "The inputs and the output must be int8, int16 or float32, all alike. "
        "Found: int8 in 'input1', int16 in 'input2', int8 in 'output'."
    )
    assert "[2, 3] and [2]" in only_problem(with_tensor(GRAPH, 1, shape=(2,)))
    assert "[2, 0] and [3]" in only_problem(with_tensor(GRAPH, 0, shape=(2, 0)))
    assert "at most 6 dimensions" in only_problem(with_tensor(GRAPH, 0, shape=(1, 1, 1, 1, 1, 2, 3)))
    assert "output shape [(3, 3)]" in only_problem(with_tensor(GRAPH, 2, shape=(3, 3)))
    assert "one of NONE, RELU" in only_problem(with_attributes(GRAPH, activation="TANH"))
    tiny = Quantization((float(np.float32(1e-9)),), (0,))
    assert "bounds that fit in 32 bits" in only_problem(
        with_attributes(with_tensor(GRAPH, 2, quantization=tiny), activation="RELU6")
    )


def test_extreme_scales_are_refused() -> None:
    tiny = Quantization((float(np.float32(1e-12)),), (0,))
    assert "scales 0.1" in only_problem(with_tensor(GRAPH, 2, quantization=tiny))
