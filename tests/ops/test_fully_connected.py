# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED on random layers: numpy reference == TFLite Micro == compiled C; and its rules."""

from __future__ import annotations

from collections.abc import Callable

import layers
import numpy as np
import pytest
from hypothesis import given, settings
from oracle import assert_same_bytes, check, compiled_outputs, random_inputs, tflm_outputs
from tinyc import reference
from tinyc.graph import Graph, Layer, Quantization, Tensor, single_node_graph
from tinyc.ops import all_ops, problems


@settings(max_examples=30, deadline=None, derandomize=True)
@given(layers.fully_connected())
def test_same_as_tflm_and_c(graph: Graph) -> None:
    check(graph)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(layers.fully_connected())
def test_reference_same_as_tflm(graph: Graph) -> None:
    inputs = random_inputs(graph, 0)
    assert_same_bytes(reference.outputs(graph, inputs)[0], tflm_outputs(graph, inputs)[0], "TFLM differs")


@settings(max_examples=25, deadline=None, derandomize=True)
@given(layers.in_int16(layers.fully_connected()) | layers.in_float32(layers.fully_connected()))
def test_other_types_same_as_tflm_and_c(graph: Graph) -> None:
    check(graph)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(layers.in_int16(layers.fully_connected()) | layers.in_float32(layers.fully_connected()))
def test_reference_of_other_types_same_as_tflm(graph: Graph) -> None:
    inputs = random_inputs(graph, 0)
    assert_same_bytes(reference.outputs(graph, inputs)[0], tflm_outputs(graph, inputs)[0], "TFLM differs")


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(layers.in_int16(layers.fully_connected()) | layers.in_float32(layers.fully_connected()))
def test_other_types_same_as_tflm_and_c_many(graph: Graph) -> None:
    check(graph)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(layers.fully_connected())
def test_same_as_tflm_and_c_many(graph: Graph) -> None:
    check(graph)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(layers.in_float32(layers.fully_connected()).filter(lambda graph: len(graph.inputs) == 1))
def test_real(graph: Graph) -> None:
    layers.check_real(graph)


@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
def test_float32_specials(activation: str) -> None:
    """NaN passes the activation and -0.0 a bound of 0.0; without an activation, infinities become the largest numbers."""
    graph = layers.one_weight("FULLY_CONNECTED", activation)
    specials = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1.0, -1.5, 6.0, 6.5, 3e38], np.float32)
    inputs = [specials.reshape(graph.tensors[0].shape)]
    [want] = reference.outputs(graph, inputs)
    assert np.isnan(want.reshape(-1)[0])
    assert np.isfinite(want.reshape(-1)[1:]).all()
    assert_same_bytes(want, tflm_outputs(graph, inputs)[0], "TFLM differs")
    assert_same_bytes(want, compiled_outputs(graph, [inputs])[0][0], "C differs")


def _graph(name: str) -> Graph:
    return next(graph for case, graph in all_ops()["FULLY_CONNECTED"].cases() if case == name)


def _layer(graph: Graph) -> Layer:
    return next(graph.layers())


BREAKS: list[tuple[str, Callable[[Graph], Graph]]] = [
    ("Found: int16 in 'input', int8 in 'filter', int32", lambda g: layers.with_tensor(g, 0, dtype="int16")),
    ("uint8 in 'filter'", lambda g: layers.with_tensor(g, 1, dtype="uint8")),
    ("The filter must have 2 dimensions", lambda g: layers.with_tensor(g, 1, shape=(128,))),
    ("default format", lambda g: layers.with_attributes(g, weights_format="SHUFFLED4x16INT8")),
    ("activation must be one of", lambda g: layers.with_attributes(g, activation="SIGN_BIT")),
    ("whole number of rows", lambda g: layers.with_tensor(g, 0, shape=(1, 17))),
    ("whole number of rows", lambda g: layers.with_tensor(g, 0, shape=(0, 16))),
    ("whole number of rows", lambda g: layers.with_tensor(g, 1, shape=(8, 0))),
    ("whole number of rows", lambda g: layers.with_tensor(g, 1, shape=(0, 16))),
    ("whole number of rows", lambda g: layers.with_tensor(g, 3, shape=())),
    ("whole number of rows", lambda g: layers.with_tensor(g, 3, shape=(8, 1))),
    ("one value per output channel", lambda g: layers.with_tensor(g, 2, shape=(7,))),
    ("filter must be quantized", lambda g: layers.with_tensor(g, 1, quantization=Quantization((0.1,) * 8, (1,) * 8))),
    ("filter must be quantized", lambda g: layers.with_tensor(g, 1, quantization=Quantization((0.1,), ()))),
    ("filter must be quantized", lambda g: layers.with_tensor(g, 1, quantization=Quantization((0.1,), (128,)))),
    ("at most 2^29", lambda g: layers.with_tensor(g, 1, quantization=Quantization((3e38,), (0,)))),
    ("bias's scale", lambda g: layers.with_tensor(g, 2, quantization=Quantization((0.5,), (0,)))),
]


@pytest.mark.parametrize(("text", "change"), BREAKS, ids=[f"{i}-{text}" for i, (text, _) in enumerate(BREAKS)])
def test_rule(text: str, change: Callable[[Graph], Graph]) -> None:
    graph = _graph("plain")
    assert problems(_layer(graph)) == []
    found = problems(_layer(change(graph)))
    assert len(found) == 1
    assert text in found[0]


def test_bias_scale_is_free_per_channel() -> None:
    graph = layers.with_tensor(_graph("per channel"), 2, quantization=Quantization((0.5,), (0,)))
    check(graph)


def test_sums_wrap_like_tflm() -> None:
    limits = np.array([2**31 - 1, -(2**31)] * 4, np.int32)
    check(layers.with_tensor(_graph("plain"), 2, data=limits), runs=4)


@pytest.mark.parametrize("weight", [-128, 127])
def test_sums_of_int16_need_64_bits(weight: int) -> None:
    """1000 products of 2^22 exceed 32 bits; the kernel adds them up in runs of 256."""
    tensors = (
        Tensor("input", (1, 1000), "int16", Quantization((2.0**-8,), (0,))),
        Tensor("filter", (3, 1000), "int8", Quantization((2.0**-8,), (0,)), np.full((3, 1000), weight, np.int8)),
        Tensor("bias", (3,), "int64", Quantization((2.0**-16,), (0,)), np.array([0, 12345678901, -12345678901])),
    )
    output = Tensor("output", (1, 3), "int16", Quantization((2.0**4,), (0,)))
    attributes = {"activation": "NONE", "weights_format": "DEFAULT", "keep_num_dims": False}
    graph = single_node_graph("FULLY_CONNECTED", tensors, (output,), attributes)
    for value in (-32768, 32767):
        inputs = [np.full((1, 1000), value, np.int16)]
        [want] = reference.outputs(graph, inputs)
        assert want[0, 0] == round(1000 * value * weight / 2**20)
        assert_same_bytes(want, tflm_outputs(graph, inputs)[0], "TFLM differs")
        assert_same_bytes(want, compiled_outputs(graph, [inputs])[0][0], "C differs")


def test_filter_of_int16_is_symmetric() -> None:
    graph = layers.with_tensor(_graph("plain, int16"), 1, quantization=Quantization((0.1,), (3,)))
    assert "int16 layer must have zero points of 0. Found: zero point 3" in layers.problem(graph)


def test_options_round_trip() -> None:
    op = all_ops()["FULLY_CONNECTED"]
    raw = {"fused_activation_function": 2, "weights_format": 0, "keep_num_dims": True}
    attributes = op.attributes({**raw, "asymmetric_quantize_inputs": False})
    assert attributes == {"activation": "RELU_N1_TO_1", "weights_format": "DEFAULT", "keep_num_dims": True}
    assert op.export(attributes) == raw
    assert op.attributes({**raw, "weights_format": 9})["weights_format"] == "value 9"


def test_macs() -> None:
    assert all_ops()["FULLY_CONNECTED"].macs(_layer(_graph("batch"))) == 5 * 7 * 33
