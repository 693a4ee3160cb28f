# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D on random layers: numpy reference == TFLite Micro == compiled C; and its rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import layers
import numpy as np
import pytest
from hypothesis import given, settings
from oracle import assert_same_bytes, check, compiled_outputs, random_inputs, tflm_outputs
from tinyc import reference
from tinyc.graph import Graph, Layer, Quantization
from tinyc.ops import all_ops, problems


@settings(max_examples=30, deadline=None, derandomize=True)
@given(layers.depthwise_conv_2d())
def test_same_as_tflm_and_c(graph: Graph) -> None:
    check(graph)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(layers.depthwise_conv_2d())
def test_reference_same_as_tflm(graph: Graph) -> None:
    inputs = random_inputs(graph, 0)
    assert_same_bytes(reference.outputs(graph, inputs)[0], tflm_outputs(graph, inputs)[0], "TFLM differs")


@settings(max_examples=25, deadline=None, derandomize=True)
@given(layers.in_int16(layers.depthwise_conv_2d(), narrow=False) | layers.in_float32(layers.depthwise_conv_2d()))
def test_other_types_same_as_tflm_and_c(graph: Graph) -> None:
    check(graph)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(layers.in_int16(layers.depthwise_conv_2d(), narrow=False) | layers.in_float32(layers.depthwise_conv_2d()))
def test_reference_of_other_types_same_as_tflm(graph: Graph) -> None:
    inputs = random_inputs(graph, 0)
    assert_same_bytes(reference.outputs(graph, inputs)[0], tflm_outputs(graph, inputs)[0], "TFLM differs")


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(layers.in_int16(layers.depthwise_conv_2d(), narrow=False) | layers.in_float32(layers.depthwise_conv_2d()))
def test_other_types_same_as_tflm_and_c_many(graph: Graph) -> None:
    check(graph)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(layers.depthwise_conv_2d())
def test_same_as_tflm_and_c_many(graph: Graph) -> None:
    check(graph)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(layers.depthwise_conv_2d(bias=False))
def test_absent_bias_means_zeros(graph: Graph) -> None:
    """TFLite Micro crashes without a bias, so it gets one of zeros."""
    inputs = random_inputs(graph, 0)
    zeros = np.zeros(graph.tensors[1].shape[3], np.int32)
    with_zeros = layers.with_bias(graph, zeros)
    expected = tflm_outputs(with_zeros, inputs)[0]
    assert_same_bytes(expected, reference.outputs(graph, inputs)[0], "reference differs from TFLM with zeros")
    assert_same_bytes(expected, compiled_outputs(graph, [inputs])[0][0], "C differs from TFLM with zeros")


@settings(max_examples=40, deadline=None, derandomize=True)
@given(layers.in_float32(layers.depthwise_conv_2d()).filter(lambda graph: len(graph.inputs) == 1))
def test_real(graph: Graph) -> None:
    layers.check_real(graph)


@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
def test_float32_specials(activation: str) -> None:
    """NaN passes the activation and -0.0 a bound of 0.0; without an activation, infinities become the largest numbers."""
    graph = layers.one_weight("DEPTHWISE_CONV_2D", activation)
    specials = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1.0, -1.5, 6.0, 6.5, 3e38], np.float32)
    inputs = [specials.reshape(graph.tensors[0].shape)]
    [want] = reference.outputs(graph, inputs)
    assert np.isnan(want.reshape(-1)[0])
    assert np.isfinite(want.reshape(-1)[1:]).all()
    assert_same_bytes(want, tflm_outputs(graph, inputs)[0], "TFLM differs")
    assert_same_bytes(want, compiled_outputs(graph, [inputs])[0][0], "C differs")


def _graph(name: str) -> Graph:
    return next(graph for case, graph in all_ops()["DEPTHWISE_CONV_2D"].cases() if case == name)


def _layer(graph: Graph) -> Layer:
    return next(graph.layers())


BREAKS: list[tuple[str, Callable[[Graph], Graph]]] = [
    ("Found: float32 in 'input'", lambda g: layers.with_tensor(g, 0, dtype="float32")),
    ("The filter must have 4 dimensions", lambda g: layers.with_tensor(g, 1, shape=(3, 3, 8))),
    ("must not be empty", lambda g: layers.with_tensor(g, 0, shape=(0, 5, 6, 8))),
    ("times the depth multiplier", lambda g: layers.with_attributes(g, depth_multiplier=2)),
    ("times the depth multiplier", lambda g: layers.with_attributes(g, depth_multiplier=0)),
    ("times the depth multiplier", lambda g: layers.with_tensor(g, 1, shape=(2, 3, 3, 8))),
    ("must fit into the image", lambda g: layers.with_attributes(g, padding="VALID", dilation=(9, 1))),
    ("one value per output channel", lambda g: layers.with_tensor(g, 2, shape=(1,))),
    (
        "filter must be quantized",
        lambda g: layers.with_tensor(g, 1, quantization=Quantization((0.1,) * 8, (0,) * 8, 0)),
    ),
    ("bounds that fit in 32 bits", lambda g: layers.with_attributes(_tiny_output(g), activation="RELU6")),
    ("output shape", lambda g: layers.with_tensor(g, 3, shape=(5, 6, 8))),
]


def _tiny_output(graph: Graph) -> Graph:
    tiny = Quantization((2.0**-29,), (0,))
    return layers.with_tensor(layers.with_tensor(graph, 3, quantization=tiny), 0, quantization=tiny)


@pytest.mark.parametrize(("text", "change"), BREAKS, ids=[f"{i}-{text}" for i, (text, _) in enumerate(BREAKS)])
def test_rule(text: str, change: Callable[[Graph], Graph]) -> None:
    graph = _graph("3x3")
    assert problems(_layer(graph)) == []
    found = problems(_layer(change(graph)))
    assert len(found) == 1
    assert text in found[0]


def test_options_round_trip() -> None:
    op = all_ops()["DEPTHWISE_CONV_2D"]
    raw = {
        "padding": 0,
        "stride_h": 1,
        "stride_w": 2,
        "depth_multiplier": 3,
        "fused_activation_function": 1,
        "dilation_h_factor": 4,
        "dilation_w_factor": 5,
    }
    attributes = op.attributes(raw)
    assert attributes["depth_multiplier"] == 3
    assert attributes["padding"] == "SAME"
    assert op.export(attributes) == raw


def test_macs() -> None:
    assert all_ops()["DEPTHWISE_CONV_2D"].macs(_layer(_graph("multiplier 3"))) == 4 * 5 * 15 * 2 * 3


def test_computed_filter() -> None:
    graph = _graph("multiplier 4, dilated")
    tensors = tuple(replace(t, data=None) if i == 1 else t for i, t in enumerate(graph.tensors))
    check(replace(graph, tensors=tensors, inputs=(0, 1), input_names=("input", "filter")))


def test_bias_of_int16_is_int64() -> None:
    """TFLite Micro reads an int32 bias of an int16 layer as int64."""
    graph = _graph("3x3, int16")
    assert problems(_layer(graph)) == []
    narrow = layers.with_tensor(graph, 2, dtype="int32", data=np.zeros(8, np.int32))
    assert "must be int64. Found: int32" in layers.problem(narrow)
