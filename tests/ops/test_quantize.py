# SPDX-License-Identifier: Apache-2.0
"""QUANTIZE against TFLite Micro on drawn layers, its corners, and the messages of its rules."""

import numpy as np
import pytest
from elementwise import SCALES, check_inputs, every_byte, every_int16, only_problem
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layers import ZERO_POINTS, scale, with_tensor
from tinyc import reference
from tinyc.graph import Array, Graph, Quantization
from tinyc.ops import problems
from tinyc.ops._elementwise import one_input_graph


@st.composite
def requantizations(draw: st.DrawFn) -> Graph:
    """int8 or uint8 to int8 or uint8 with 256 elements, scales often equal."""
    pair = draw(st.sampled_from([("int8", "int8"), ("int8", "uint8"), ("uint8", "int8")]))
    source = draw(SCALES | st.floats(-16, 12).map(lambda e: scale(2.0**e)))
    ends = zip(pair, (source, draw(st.just(source) | SCALES)), strict=True)
    sides = [(kind, s, draw(ZERO_POINTS) + (128 if kind == "uint8" else 0)) for kind, s in ends]
    return one_input_graph("QUANTIZE", (16, 16), sides[0], sides[1])


def from_float(output: str, output_scale: float, zero_point: int, count: int = 300) -> Graph:
    return one_input_graph("QUANTIZE", (count,), ("float32", 0, 0), (output, output_scale, zero_point))


FLOAT_SCALES = SCALES | st.floats(-60, 60).map(lambda e: scale(2.0**e))


def spread(output_scale: float, seed: int) -> Array:
    """300 float32 values over the output's range and beyond: ties, their neighbours, and others."""
    random = np.random.default_rng(seed)
    ties = (random.integers(-600, 600, 100) / 2).astype(np.float32) * np.float32(output_scale)
    near = np.nextafter(ties, random.choice([-np.inf, np.inf], 100).astype(np.float32))
    others = random.normal(0.0, 100.0, 100).astype(np.float32) * np.float32(output_scale)
    return np.concatenate([ties, near, others])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(requantizations())
def test_requantize(graph: Graph) -> None:
    check_inputs(graph, every_byte(graph))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(FLOAT_SCALES, ZERO_POINTS, st.integers(0, 2**32 - 1))
def test_float32_to_int8(output_scale: float, zero_point: int, seed: int) -> None:
    check_inputs(from_float("int8", output_scale, zero_point), [[spread(output_scale, seed)]])


@settings(max_examples=10, deadline=None, derandomize=True)
@given(FLOAT_SCALES, ZERO_POINTS, st.integers(0, 2**32 - 1))
def test_float32_to_uint8(output_scale: float, zero_point: int, seed: int) -> None:
    """TFLite Micro lacks it: the results are those to int8, shifted by 128."""
    values = spread(output_scale, seed)
    graph = from_float("uint8", output_scale, zero_point + 128)
    check_inputs(graph, [[values]], tflm=False)
    signed = reference.outputs(from_float("int8", output_scale, zero_point), [values])[0]
    assert (reference.outputs(graph, [values])[0] == signed.astype(np.int16) + 128).all()


@st.composite
def int16_requantizations(draw: st.DrawFn) -> Graph:
    """With int16 on one side or both: every value of the input."""
    pair = draw(st.sampled_from([("int16", "int16"), ("int16", "int8"), ("int8", "int16")]))
    source = draw(SCALES | st.floats(-16, 8).map(lambda e: scale(2.0**e)))
    ends = zip(pair, (source, draw(st.just(source) | SCALES)), strict=True)
    sides = [(kind, s, draw(ZERO_POINTS) if kind == "int8" else 0) for kind, s in ends]
    graph = one_input_graph("QUANTIZE", (256,) if pair[0] == "int8" else (256, 256), sides[0], sides[1])
    assume(problems(next(graph.layers())) == [])
    return graph


@settings(max_examples=20, deadline=None, derandomize=True)
@given(int16_requantizations())
def test_requantize_int16(graph: Graph) -> None:
    check_inputs(graph, every_byte(graph) if graph.tensors[0].dtype == "int8" else every_int16(graph))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(FLOAT_SCALES, st.integers(0, 2**32 - 1))
def test_float32_to_int16(output_scale: float, seed: int) -> None:
    values = spread(output_scale, seed) * np.random.default_rng(seed).choice(np.float32([1, 16, 128, 200]), 300)
    with np.errstate(all="ignore"):
        values = np.clip(values, -(2**31 - 128) * np.float32(output_scale), (2**31 - 128) * np.float32(output_scale))
    check_inputs(from_float("int16", output_scale, 0), [[values]])


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(int16_requantizations())
def test_many_int16(graph: Graph) -> None:
    check_inputs(graph, every_byte(graph) if graph.tensors[0].dtype == "int8" else every_int16(graph))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(requantizations(), FLOAT_SCALES, ZERO_POINTS, st.integers(0, 2**32 - 1))
def test_many(graph: Graph, output_scale: float, zero_point: int, seed: int) -> None:
    check_inputs(graph, every_byte(graph))
    check_inputs(from_float("int8", output_scale, zero_point), [[spread(output_scale, seed)]])


def test_halves_round_away_from_zero() -> None:
    graph = from_float("int8", 0.5, 0, 8)
    values = np.array([0.25, -0.25, 0.75, -0.75, 0.24999999, -0.24999999, 0.0, -0.0], np.float32)
    check_inputs(graph, [[values]])
    assert reference.outputs(graph, [values])[0].tolist() == [1, -1, 2, -2, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("kind", "zero_point", "low", "high"),
    [("int8", -7, -128, 127), ("uint8", 200, 0, 255), ("int16", 0, -32768, 32767)],
)
def test_what_is_out_of_range_saturates(kind: str, zero_point: int, low: int, high: int) -> None:
    """Undefined in TFLite Micro beyond 32 bits."""
    graph = from_float(kind, 0.1, zero_point, 11)
    inf, nan, tiny = np.inf, np.nan, 1e-45
    values = np.array([inf, -inf, nan, 3e38, -3e38, 1e10, -1e10, 20000, -20000, tiny, -tiny], np.float32)
    check_inputs(graph, [[values]], tflm=False)
    expected = [high, low, low, high, low, high, low, high, low, zero_point, zero_point]
    assert reference.outputs(graph, [values])[0].tolist() == expected


def test_quotients_that_overflow_saturate() -> None:
    graph = from_float("int8", 2.0**-126, 0, 5)
    values = np.array([3e38, -3e38, 1e-45, 2.0**-127, -(2.0**-127)], np.float32)
    check_inputs(graph, [[values]], tflm=False)
    assert reference.outputs(graph, [values])[0].tolist() == [127, -128, 0, 1, -1]


def test_rules() -> None:
    graph = one_input_graph("QUANTIZE", (3,), ("uint8", 0.1, 0), ("int8", 0.1, 0))
    assert "float32 or int8 or uint8 or int16. Found: int32" in only_problem(with_tensor(graph, 0, dtype="int32"))
    assert "int16 int8 or int16. Found: uint8 to int16" in only_problem(with_tensor(graph, 1, dtype="int16"))
    assert "uint8 to uint8" in only_problem(with_tensor(graph, 1, dtype="uint8"))
    steep = one_input_graph("QUANTIZE", (3,), ("int16", 1.0, 0), ("int16", 2.0**-15, 0))
    assert "from int16 2^15 times" in only_problem(steep)
    assert "(0 in int16)" in only_problem(with_tensor(steep, 1, quantization=Quantization((1.0,), (5,))))
    assert "2^30 times" in only_problem(with_tensor(graph, 1, quantization=Quantization((2.0**-40,), (0,))))
    assert "2^-126" in only_problem(from_float("int8", 2.0**-127, 0))
    assert "no quantization" in only_problem(with_tensor(graph, 1, quantization=None))
    channels = Quantization((0.1, 0.2, 0.3), (0, 0, 0))
    assert "3 scales" in only_problem(with_tensor(graph, 1, quantization=channels))
    assert "output shape" in only_problem(with_tensor(graph, 1, shape=(1, 3)))
