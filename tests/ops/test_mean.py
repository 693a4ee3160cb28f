# SPDX-License-Identifier: Apache-2.0
"""MEAN against TFLite Micro, and its rules."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from elementwise import check_inputs, float_corners
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layers import ZERO_POINTS, scale
from oracle import check, compiled_outputs
from tinyc.graph import Graph, Quantization
from tinyc.ops import problems
from tinyc.ops.mean import case, loops, multiplier
from violations import changed, found


@st.composite
def quantizations(draw: st.DrawFn) -> tuple[Quantization, Quantization]:
    """(input, output): equal, alike, a power of two apart (ties), or far apart (left shifts, nothing left)."""
    source = Quantization((scale(draw(st.floats(1e-6, 4.0))),), (draw(ZERO_POINTS),))
    kind = draw(st.sampled_from(["equal", "alike", "alike", "power of two", "far"]))
    if kind == "equal":
        return source, source
    exponent = draw(
        {"alike": st.floats(-1, 2), "power of two": st.integers(-4, 8), "far": st.floats(-40, 28)}[kind],
    )
    return source, Quantization((scale(source.scale[0] / 2.0**exponent),), (draw(ZERO_POINTS),))


@st.composite
def means(draw: st.DrawFn, largest: int = 6) -> Graph:
    """Any axes of up to four dimensions, negative and repeated ones too."""
    shape = tuple(draw(st.lists(st.integers(1, largest), min_size=1, max_size=4)))
    axes = draw(st.lists(st.integers(-len(shape), len(shape) - 1), max_size=5))
    if len(shape) == 4 and draw(st.booleans()):
        axes = draw(st.sampled_from([[1, 2], [2, 1], [-3, -2]]))
    source, output = draw(quantizations())
    graph = case(shape, axes, keep=draw(st.booleans()), source=source, output=output)
    assume(problems(next(graph.layers())) == [])
    return graph


@settings(max_examples=40, deadline=None, derandomize=True)
@given(means())
def test_matches_tflite_micro(graph: Graph) -> None:
    check(graph)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(means(largest=9))
def test_matches_tflite_micro_at_length(graph: Graph) -> None:
    check(graph)


@st.composite
def wide_means(draw: st.DrawFn, largest: int = 6) -> Graph:
    """As `means`, in int16 or float32."""
    graph = draw(means(largest))
    element = draw(st.sampled_from(["int16", "int16", "float32"]))
    [source, output] = [
        None if t.quantization is None else replace(t.quantization, zero_point=(0,))
        for t in (graph.tensors[0], graph.tensors[-1])
    ]
    axes = graph.tensors[1].data
    assert axes is not None
    keep = graph.nodes[0].attributes["keep_dims"]
    wide = case(graph.tensors[0].shape, axes.tolist(), keep=keep, source=source, output=output, element=element)
    assume(problems(next(wide.layers())) == [])
    return wide


@settings(max_examples=40, deadline=None, derandomize=True)
@given(wide_means())
def test_wide_ones_match_tflite_micro(graph: Graph) -> None:
    check(graph)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(wide_means(largest=9))
def test_wide_ones_match_tflite_micro_at_length(graph: Graph) -> None:
    check(graph)


@pytest.mark.parametrize("value", [-32768, 32767])
def test_large_int16_counts(value: int) -> None:
    q = Quantization((0.5,), (0,))
    graph = case((65535, 2), (0,), source=q, output=q, element="int16")
    check_inputs(graph, [[np.full((65535, 2), value, np.int16)]])


def test_float32_sums_go_in_order() -> None:
    values = np.stack([float_corners(3000, 1), float_corners(3000, 2)], axis=1)
    values[~np.isfinite(values)] = 1.0
    values[:, 0] = np.where(np.abs(values[:, 0]) > 1e30, 3.0, values[:, 0])
    check_inputs(case((3000, 2), (0,), element="float32"), [[values]])
    zeros = np.full((2, 4), -0.0, np.float32)
    check_inputs(case((2, 4), (1,), element="float32"), [[zeros]])


@pytest.mark.parametrize("value", [-127, 127])
def test_large_counts(value: int) -> None:
    source, output = Quantization((0.5,), (-value,)), Quantization((4.0,), (0,))
    graph = case((1, 250, 250, 2), (1, 2), source=source, output=output)
    check(graph, runs=1)
    [[means]] = compiled_outputs(graph, [[np.full((1, 250, 250, 2), value, np.int8)]])
    # 254 * 0.5 / 4 = 31.75
    assert means.reshape(-1).tolist() == [32 if value > 0 else -32] * 2


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=5))
def test_loops_cover_the_input(dimensions: list[tuple[int, bool]]) -> None:
    shape = tuple(n for n, _ in dimensions)
    graph = case(shape, [axis for axis, (_, averaged) in enumerate(dimensions) if averaged])
    layer = next(graph.layers())
    assume(problems(layer) == [])
    nest = loops(layer)
    assert nest.outer * nest.middle * nest.inner == layer.output.elements
    assert nest.outer_count * nest.inner_count * layer.output.elements == math.prod(shape)


@settings(deadline=None, derandomize=True)
@given(st.floats(2.0**-60, 2.0**29), st.integers(1, 1 << 20))
def test_multiplier_is_in_the_documented_range(ratio: float, count: int) -> None:
    source, output = Quantization((scale(ratio),), (0,)), Quantization((1.0,), (0,))
    q, shift = multiplier(next(case((count,), (0,), source=source, output=output).layers()))
    assert 0 <= q < 2**31
    assert -31 <= shift <= 30


def test_rules() -> None:
    graph = case((2, 6, 6, 3), (1, 2))
    assert "must be int8, int16 or float32, all alike. Found: uint8 in 'input'" in found(
        changed(graph, 0, dtype="uint8")
    )
    assert "axes must be int32. Found: int64" in found(changed(graph, 1, dtype="int64"))
    assert "int8 in 'input', float32 in 'output'" in found(changed(graph, 2, dtype="float32"))
    assert "per tensor" in found(changed(graph, 2, quantization=Quantization((0.1, 0.2), (0, 0))))
    assert "1 to 5 dimensions" in found(changed(graph, 0, shape=(1,) * 6))
    assert "axes must be a constant. Found: 'axes' is computed at run time" in found(changed(graph, 1, data=None))
    assert "Found: axis 4 of 4 dimensions" in found(changed(graph, 1, data=np.array([1, 4], np.int32)))
    assert "Found: axis -5 of 4 dimensions" in found(changed(graph, 1, data=np.array([-5], np.int32)))
    assert "not be empty" in found(changed(graph, 0, shape=(2, 0, 6, 3)))
    assert "8388608 values" in found(changed(graph, 0, shape=(1, 4096, 4096, 1)))
    wide = case((65536, 1), (0,), element="int16")
    assert "(in int16, 65535) may be averaged into one. Found: 65536" in found(wide)
    steep = Quantization((2.0**-20,), (0,))
    assert "in int16, 2^15" in found(case((9,), (0,), source=Quantization((1.0,), (0,)), output=steep, element="int16"))
    assert "at most two groups" in found(case((2, 2, 2, 2, 2), (0, 2, 4)))
    assert "2^29" in found(changed(graph, 0, quantization=Quantization((2.0**30,), (0,))))
    assert "[(2, 1, 1, 3)] found, the operator computes [(2, 3)]" in found(changed(graph, 2, shape=(2, 1, 1, 3)))
