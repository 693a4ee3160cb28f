# SPDX-License-Identifier: Apache-2.0
"""CONV_2D on random layers: numpy reference == TFLite Micro == compiled C; and its rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import layers
import numpy as np
import pytest
from hypothesis import given, settings
from oracle import assert_same_bytes, check, compiled_outputs, random_inputs, tflm_outputs
from tinyc import reference
from tinyc.graph import Graph, Layer, Quantization
from tinyc.ops import all_ops, problems


@settings(max_examples=30, deadline=None, derandomize=True)
@given(layers.conv_2d())
def test_same_as_tflm_and_c(graph: Graph) -> None:
    check(graph)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(layers.conv_2d())
def test_reference_same_as_tflm(graph: Graph) -> None:
    inputs = random_inputs(graph, 0)
    assert_same_bytes(reference.outputs(graph, inputs)[0], tflm_outputs(graph, inputs)[0], "TFLM differs")


@settings(max_examples=25, deadline=None, derandomize=True)
@given(layers.in_int16(layers.conv_2d()) | layers.in_float32(layers.conv_2d()))
def test_other_types_same_as_tflm_and_c(graph: Graph) -> None:
    check(graph)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(layers.in_int16(layers.conv_2d()) | layers.in_float32(layers.conv_2d()))
def test_reference_of_other_types_same_as_tflm(graph: Graph) -> None:
    inputs = random_inputs(graph, 0)
    assert_same_bytes(reference.outputs(graph, inputs)[0], tflm_outputs(graph, inputs)[0], "TFLM differs")


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(layers.in_int16(layers.conv_2d()) | layers.in_float32(layers.conv_2d()))
def test_other_types_same_as_tflm_and_c_many(graph: Graph) -> None:
    check(graph)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(layers.conv_2d())
def test_same_as_tflm_and_c_many(graph: Graph) -> None:
    check(graph)


def test_sums_wrap_like_tflm() -> None:
    graph = _graph("1x1")
    limits = np.array([2**31 - 1, -(2**31)] * 6, np.int32)
    check(layers.with_tensor(graph, 2, data=limits), runs=4)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(layers.in_float32(layers.conv_2d()).filter(lambda graph: len(graph.inputs) == 1))
def test_real(graph: Graph) -> None:
    layers.check_real(graph)


@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
def test_float32_specials(activation: str) -> None:
    """NaN passes the activation and -0.0 a bound of 0.0; without an activation, infinities become the largest numbers."""
    graph = layers.one_weight("CONV_2D", activation)
    specials = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1.0, -1.5, 6.0, 6.5, 3e38], np.float32)
    inputs = [specials.reshape(graph.tensors[0].shape)]
    [want] = reference.outputs(graph, inputs)
    assert np.isnan(want.reshape(-1)[0])
    assert np.isfinite(want.reshape(-1)[1:]).all()
    assert_same_bytes(want, tflm_outputs(graph, inputs)[0], "TFLM differs")
    assert_same_bytes(want, compiled_outputs(graph, [inputs])[0][0], "C differs")


def _graph(name: str) -> Graph:
    return next(graph for case, graph in all_ops()["CONV_2D"].cases() if case == name)


def _layer(graph: Graph) -> Layer:
    return next(graph.layers())


BREAKS: list[tuple[str, Callable[[Graph], Graph]]] = [
    ("Found: int16 in 'input', int8 in 'filter', int32", lambda g: layers.with_tensor(g, 0, dtype="int16")),
    ("Found: uint8 in 'input'", lambda g: layers.with_tensor(g, 0, dtype="uint8")),
    ("int8, int8, int32 and int8; int16, int8", lambda g: layers.with_tensor(g, 1, dtype="float32")),
    ("int64 in 'bias'", lambda g: layers.with_tensor(g, 2, dtype="int64")),
    ("uint8 in 'output'", lambda g: layers.with_tensor(g, 3, dtype="uint8")),
    ("The input must have 4 dimensions", lambda g: layers.with_tensor(g, 0, shape=(6, 4))),
    ("The filter must have 4 dimensions", lambda g: layers.with_tensor(g, 1, shape=(8, 36))),
    ("must not be empty", lambda g: layers.with_tensor(g, 1, shape=(8, 0, 3, 4))),
    ("must not be empty", lambda g: layers.with_tensor(g, 0, shape=(1, 5, 0, 4))),
    ("padding must be SAME or VALID", lambda g: layers.with_attributes(g, padding="value 7")),
    ("activation must be one of", lambda g: layers.with_attributes(g, activation="TANH")),
    ("strides and dilations", lambda g: layers.with_attributes(g, stride=(0, 1))),
    ("strides and dilations", lambda g: layers.with_attributes(g, stride=(1, 2**31 - 1))),
    ("strides and dilations", lambda g: layers.with_attributes(g, dilation=(1, -1))),
    ("strides and dilations", lambda g: layers.with_attributes(g, dilation=(40000, 1))),
    ("must fit into the image", lambda g: layers.with_attributes(g, padding="VALID", dilation=(9, 9))),
    ("multiple of the filter's", lambda g: layers.with_tensor(g, 0, shape=(1, 5, 6, 6))),
    ("multiple of the filter's", lambda g: layers.with_tensor(g, 0, shape=(1, 5, 6, 12))),
    ("one value per output channel", lambda g: layers.with_tensor(g, 2, shape=(9,))),
    ("quantized per tensor", lambda g: layers.with_tensor(g, 0, quantization=None)),
    ("quantized per tensor", lambda g: layers.with_tensor(g, 3, quantization=Quantization((0.1,), (300,)))),
    ("filter must be quantized", lambda g: layers.with_tensor(g, 1, quantization=None)),
    ("filter must be quantized", lambda g: layers.with_tensor(g, 1, quantization=Quantization((), ()))),
    ("filter must be quantized", lambda g: layers.with_tensor(g, 1, quantization=Quantization((0.0,), (0,)))),
    ("filter must be quantized", lambda g: layers.with_tensor(g, 1, quantization=Quantization((0.1,), (4,)))),
    ("filter must be quantized", lambda g: layers.with_tensor(g, 1, quantization=Quantization((0.1,) * 7, (0,) * 7))),
    (
        "filter must be quantized",
        lambda g: layers.with_tensor(g, 1, quantization=Quantization((0.1,) * 8, (0,) * 8, 3)),
    ),
    ("at most 2^29", lambda g: layers.with_tensor(g, 3, quantization=Quantization((1e-20,), (0,)))),
    ("output shape", lambda g: layers.with_tensor(g, 3, shape=(1, 5, 7, 8))),
]


@pytest.mark.parametrize(("text", "change"), BREAKS, ids=[f"{i}-{text}" for i, (text, _) in enumerate(BREAKS)])
def test_rule(text: str, change: Callable[[Graph], Graph]) -> None:
    graph = _graph("3x3")
    assert problems(_layer(graph)) == []
    found = problems(_layer(change(graph)))
    assert len(found) == 1
    assert text in found[0]


def test_rules_of_int16() -> None:
    graph = _graph("3x3, int16")
    assert problems(_layer(graph)) == []
    assert "(0 in int16). Found: 'input'" in layers.problem(
        layers.with_tensor(graph, 0, quantization=Quantization((0.1,), (1,)))
    )
    assert "less than 2^46" in layers.problem(layers.with_tensor(graph, 2, data=np.full(8, 2**46, np.int64)))
    assert "less than 2^46" in layers.problem(layers.with_tensor(graph, 2, data=np.full(8, -(2**63), np.int64)))
    assert "at most 2^6 in int16" in layers.problem(
        layers.with_tensor(graph, 3, quantization=Quantization((1e-9,), (0,)))
    )
    assert "int16 in 'filter'" in layers.problem(layers.with_tensor(graph, 1, dtype="int16"))
    assert "int8 in 'output'" in layers.problem(layers.with_tensor(graph, 3, dtype="int8"))


def test_float32_needs_no_quantization_but_one_type() -> None:
    graph = _graph("3x3, float32")
    assert all(tensor.quantization is None for tensor in graph.tensors)
    assert problems(_layer(graph)) == []
    assert problems(_layer(layers.with_tensor(graph, 3, quantization=Quantization((), ())))) == []
    assert "all float32" in layers.problem(layers.with_tensor(graph, 1, dtype="int8"))
    assert "all float32" in layers.problem(layers.with_tensor(graph, 2, dtype="int32"))


def test_computed_int64_bias() -> None:
    graph = _graph("dilated, int16")
    tensors = [replace(t, data=None) if i == 2 else t for i, t in enumerate(graph.tensors)]
    graph = replace(graph, tensors=tuple(tensors), inputs=(0, 2), input_names=("input", "bias"))
    random = np.random.default_rng(5)
    image = random.integers(-32768, 32768, graph.tensors[0].shape).astype(np.int16)
    inputs = [image, random.integers(-(2**40), 2**40, graph.tensors[2].shape)]
    [want] = reference.outputs(graph, inputs)
    assert_same_bytes(want, tflm_outputs(graph, inputs)[0], "TFLM differs")
    assert_same_bytes(want, compiled_outputs(graph, [inputs])[0][0], "C differs")


def test_large_groups_are_rejected_without_division_by_zero() -> None:
    graph = layers.with_tensor(_graph("1x1"), 1, shape=(0, 1, 1, 16))
    assert "must not be empty" in problems(_layer(graph))[0]


def test_options_round_trip() -> None:
    op = all_ops()["CONV_2D"]
    raw: dict[str, Any] = {
        "padding": 1,
        "stride_h": 2,
        "stride_w": 3,
        "dilation_h_factor": 4,
        "dilation_w_factor": 5,
        "fused_activation_function": 3,
    }
    attributes = op.attributes({**raw, "quantized_bias_type": 0})
    assert attributes == {"padding": "VALID", "stride": (2, 3), "dilation": (4, 5), "activation": "RELU6"}
    assert op.export(attributes) == raw


def test_macs() -> None:
    assert all_ops()["CONV_2D"].macs(_layer(_graph("groups"))) == 4 * 4 * 10 * 3 * 3 * 3


def test_computed_filter_and_bias() -> None:
    graph = _graph("dilated")
    tensors = [replace(t, data=None) if i in (1, 2) else t for i, t in enumerate(graph.tensors)]
    names = tuple(t.name for t in tensors[:3])
    check(replace(graph, tensors=tuple(tensors), inputs=(0, 1, 2), input_names=names))


def test_absent_bias_of_two_inputs() -> None:
    graph = _graph("no bias, batch")
    assert graph.nodes[0].inputs == (0, 1, -1)
    node = replace(graph.nodes[0], inputs=(0, 1))
    check(replace(graph, nodes=(node,)))


def test_missing_filter() -> None:
    graph = _graph("3x3")
    node = replace(graph.nodes[0], inputs=(0, -1, 2))
    assert problems(_layer(replace(graph, nodes=(node,)))) == ["input filter is absent"]
