# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies and checks for operators that work element by element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from layers import ACTIVATIONS, ZERO_POINTS, scale
from oracle import assert_near, assert_same_bytes, calls_a_library, compiled_outputs, random_array, tflm_outputs
from tinyc import reference
from tinyc.graph import Array, Graph, Tensor
from tinyc.ops import problems
from tinyc.ops._broadcast import two_input_graph

#: Scales from fine to coarse; powers of two make ties.
SCALES = st.floats(-9, 4).map(lambda e: scale(2.0**e)) | st.integers(-6, 2).map(lambda e: 2.0**e)
SHAPES = st.lists(st.integers(1, 5), max_size=4).map(tuple)


def only_problem(graph: Graph) -> str:
    """What is wrong with the graph's only layer."""
    [found] = problems(next(graph.layers()))
    return found


def check_inputs(graph: Graph, inputs_list: Sequence[Sequence[Array]], tflm: bool = True) -> None:
    """As `oracle.check`, on given inputs."""
    assert problems(next(graph.layers())) == []
    for inputs, [from_c] in zip(inputs_list, compiled_outputs(graph, inputs_list), strict=True):
        [expected] = reference.outputs(graph, inputs)
        assert_same_bytes(expected, from_c, "C differs from the reference")
        if tflm:
            assert_same = assert_near if calls_a_library(graph) else assert_same_bytes
            assert_same(expected, tflm_outputs(graph, inputs)[0], "TFLM differs from the reference")


def every_int16(graph: Graph) -> list[list[Array]]:
    """Inputs for `check_inputs`: all 65536 values of the int16 input, which has so many elements."""
    return [[np.arange(-(2**15), 2**15).astype(np.int16).reshape(graph.input_tensors[0].shape)]]


def float_corners(count: int, seed: int = 0) -> Array:
    """float32 values of every size: zeros, subnormal numbers, infinities, bounds of activations and their neighbours; no NaN."""
    random = np.random.default_rng(seed)
    special = np.array([0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 3.4e38, -3.4e38, np.inf, -np.inf, 1, -1, 6], np.float32)
    near = np.nextafter(special[8:], np.float32(0))
    anything = random.integers(0, 2**32, count, dtype=np.uint64).astype(np.uint32).view(np.float32)
    usual = random.normal(0.0, 5.0, count).astype(np.float32)
    values = np.where(np.isnan(anything) | (random.random(count) < 0.5), usual, anything)
    values[: special.size + near.size] = np.concatenate([special, near])[:count]
    return random.permutation(values)


def every_byte(graph: Graph) -> list[list[Array]]:
    """Inputs for `check_inputs`: all 256 values of the 8-bit input, which has 256 elements."""
    tensor = graph.input_tensors[0]
    return [[np.arange(256, dtype=np.uint8).view(tensor.dtype).reshape(tensor.shape)]]


@st.composite
def broadcasts(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast: equal, scalar, one shorter, or with ones on either side."""
    full = draw(st.lists(st.integers(1, 4), max_size=5))
    sides = [tuple(draw(st.sampled_from([extent, extent, 1])) for extent in full) for _ in range(2)]
    cut = draw(st.integers(0, len(full)))
    return draw(
        st.sampled_from(
            [(tuple(full), tuple(full)), (sides[0], sides[1]), (sides[0][cut:], sides[1]), (sides[0], sides[1][cut:])]
        )
    )


@st.composite
def two_inputs(draw: st.DrawFn, op: str, element: str = "int8") -> Graph:
    """A layer of `op` on `element`s: any broadcast, either input constant, or one tensor as both inputs."""
    shapes = draw(broadcasts())
    same = shapes[0] == shapes[1] and draw(st.booleans())
    first = draw(SCALES)
    scales = (first, draw(st.just(first) | SCALES), draw(SCALES))
    zero_points = (draw(ZERO_POINTS), draw(ZERO_POINTS), draw(ZERO_POINTS)) if element == "int8" else (0, 0, 0)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = [random_array(Tensor("", shape, element), random) for shape in shapes]
    which = draw(st.sampled_from([None, None, 0, 1])) if not same else None
    constants = (values[0] if which == 0 else None, values[1] if which == 1 else None)
    graph = two_input_graph(
        op,
        shapes,
        scales,
        zero_points,
        activation=draw(ACTIVATIONS),
        constants=constants,
        same=same,
        element=element,
    )
    assume(problems(next(graph.layers())) == [])
    return graph
