# SPDX-License-Identifier: Apache-2.0
"""The 1x1 convolution for the DSP extension: when it is chosen, that it is exact, and that it stays inside its buffers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import layers
import numpy as np
import pytest
from dsp_harness import (
    BUILDS,
    build_kernel,
    call_kernel,
    call_with,
    check_emulated,
    chosen,
    merged,
    need_compiler,
    sample,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import assert_same_bytes, compiled_outputs, random_inputs
from tinyc import reference
from tinyc.graph import Graph, Quantization, Tensor, single_node_graph
from tinyc.ops import all_ops, problems
from tinyc.ops._fixed_point import multiply_by_quantized_multiplier
from tinyc.targets import Kernel, kernels_for
from tinyc.targets.cortex_m_dsp import _stream
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image

FUNCTION = "tinyc_conv_1x1_s8_dsp"


def kernel(op: str) -> Kernel:
    return next(k for k in kernels_for(CPUS["cortex-m4"])[op] if k.function == FUNCTION)


def generic(op: str) -> Kernel:
    return next(k for k in kernels_for(CPUS["cortex-m4"])[op] if k.isa == "generic")


# Layers


@st.composite
def dsp_layers(draw: st.DrawFn, conv: bool | None = None) -> Graph:
    """CONV_2D with a 1x1 filter, or FULLY_CONNECTED, that the kernel takes."""
    conv = draw(st.booleans()) if conv is None else conv
    several = [(1, 1, 2), (1, 3, 1), (2, 2, 2), (1, 3, 5), (3, 1, 3)]
    rows = draw(st.sampled_from([(1, 1, 1), *several] if conv else [(1, 1, 1), (1, 1, 1), (1, 1, 1), *several]))
    depth = draw(st.integers(1, 24) | st.sampled_from([31, 32, 36, 64, 65, 100]))
    channels = draw(st.integers(1, 13))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = draw(layers.weights((channels, depth), low=-127))
    # Right shifts of 1 to about 12, powers of two for ties; a few channels shift everything out, or have multiplier 0.
    count = draw(st.sampled_from([1, channels]))
    exponents = random.uniform(1.0, 4.0 + np.log2(depth) * 0.7 + 4.0, count)
    if draw(st.integers(0, 3)) == 0:
        exponents = np.ceil(exponents)
    if draw(st.integers(0, 3)) == 0:
        exponents[random.integers(0, count)] = random.choice([30.0, 34.0, 45.0])
    scales = tuple(layers.scale(0.999 * 2.0**-e if e % 1 else 2.0**-e) for e in exponents)
    limit = draw(st.sampled_from([100, 20000, 1000000]))
    bias = None
    if draw(st.integers(0, 4)) > 0:
        values = random.integers(-limit, limit, channels).astype(np.int32)
        bias = Tensor("bias", (channels,), "int32", Quantization((scales[0],), (0,)), values)
    shape = (channels, 1, 1, depth) if conv else (channels, depth)
    inputs = (
        Tensor("input", (*rows, depth), "int8", Quantization((1.0,), (draw(layers.ZERO_POINTS),))),
        Tensor("filter", shape, "int8", Quantization(scales, (0,) * count), weights.reshape(shape)),
        bias,
    )
    output = Tensor("output", (*rows, channels), "int8", Quantization((1.0,), (draw(layers.ZERO_POINTS),)))
    act = draw(layers.ACTIVATIONS)
    if conv:
        padding = draw(st.sampled_from(["SAME", "VALID"]))
        dilation = draw(st.sampled_from([(1, 1), (2, 3)]))
        attributes = {"padding": padding, "stride": (1, 1), "dilation": dilation, "activation": act}
        return single_node_graph("CONV_2D", inputs, (output,), attributes)
    attributes = {"activation": act, "weights_format": "DEFAULT", "keep_num_dims": True}
    return single_node_graph("FULLY_CONNECTED", inputs, (output,), attributes)


@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
def test_exact_in_emulation(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    graphs = sample(dsp_layers(), 30, BUILDS.index((cpu_name, kind, optimize)))
    functions = [chosen(graph, cpu_name) for graph in graphs]
    assert functions.count(FUNCTION) > 9
    check_emulated(graphs, cpu_name, kind, optimize, tmp_path)


def test_generic_kernel_agrees(tmp_path: Path) -> None:
    """The same kind of layers through the portable kernel, on a core without the extension and on this computer."""
    need_compiler("cortex-m3", "gcc")
    graphs = sample(dsp_layers(), 30, 0)
    check_emulated(graphs, "cortex-m3", "gcc", "-Os", tmp_path)
    graph = merged(graphs)
    inputs = random_inputs(graph, 0)
    for want, got in zip(reference.outputs(graph, inputs), compiled_outputs(graph, [inputs])[0], strict=True):
        assert_same_bytes(want, got, "host")


# The kernel alone, in memory that faults outside its buffers


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_kernel(FUNCTION, tmp_path_factory.mktemp("dsp"), optimize="-Os")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graph=dsp_layers(), start=st.booleans())
def test_stays_inside_its_buffers(image: Image, graph: Graph, start: bool) -> None:
    layer = next(graph.layers())
    if kernel(layer.op).applies(layer):
        want, got, _ = call_kernel(image, kernel(next(graph.layers()).op), graph, 0, start)
        assert_same_bytes(want, got, "kernel")


@pytest.mark.slow
@settings(max_examples=3000, deadline=None, derandomize=True)
@given(graph=dsp_layers(), start=st.booleans())
def test_stays_inside_its_buffers_many(image: Image, graph: Graph, start: bool) -> None:
    layer = next(graph.layers())
    if kernel(layer.op).applies(layer):
        want, got, _ = call_kernel(image, kernel(next(graph.layers()).op), graph, 1, start)
        assert_same_bytes(want, got, "kernel")


def conv_1x1(pixels: int, depth: int, channels: int, shift: int = 9, seed: int = 0) -> Graph:
    random = np.random.default_rng(seed)
    weights = random.integers(-127, 128, (channels, 1, 1, depth)).astype(np.int8)
    scales = tuple(layers.scale(f * 2.0**-shift) for f in random.uniform(0.5, 1.0, channels))
    inputs = (
        Tensor("input", (1, 1, pixels, depth), "int8", Quantization((1.0,), (-7,))),
        Tensor("filter", weights.shape, "int8", Quantization(scales, (0,) * channels), weights),
        Tensor("bias", (channels,), "int32", None, random.integers(-5000, 5000, channels).astype(np.int32)),
    )
    output = Tensor("output", (1, 1, pixels, channels), "int8", Quantization((1.0,), (4,)))
    attributes = {"padding": "SAME", "stride": (1, 1), "dilation": (1, 1), "activation": "NONE"}
    return single_node_graph("CONV_2D", inputs, (output,), attributes)


@pytest.mark.parametrize(
    ("pixels", "depth", "channels", "most"),
    [
        (125, 64, 64, 0.93),
        (36, 128, 128, 0.9),
        (256, 8, 16, 2.3),
        (128, 16, 32, 1.5),
        (100, 3, 3, 13.0),
        (5, 64, 64, 1.01),
        (1, 128, 128, 1.2),
        (3, 17, 9, 3.2),
    ],
)
def test_instructions_per_mac(image: Image, pixels: int, depth: int, channels: int, most: float) -> None:
    """The speed that the kernel exists for, and a cost model near it."""
    graph = conv_1x1(pixels, depth, channels)
    want, got, instructions = call_kernel(image, kernel(next(graph.layers()).op), graph, 0, False)
    assert_same_bytes(want, got, "kernel")
    assert instructions / (pixels * depth * channels) < most
    layer = next(graph.layers())
    assert 0.9 < kernel("CONV_2D").cost(layer) / instructions < 1.1


def test_largest_sums_that_it_takes(image: Image) -> None:
    """Weights and inputs at their ends, and biases that bring odd channels to just below 2^23."""
    graph = conv_1x1(3, 250, 6, shift=12)
    weights = np.full(graph.tensors[1].shape, 127, np.int8)
    weights[1::2] = -127
    room = (1 << 23) - 1 - 250 * 127 * 135
    bias = np.array([room, room, 1 << 28, -room, -(1 << 28), room], np.int32)
    graph = layers.with_tensor(layers.with_tensor(graph, 1, data=weights), 2, data=bias)
    layer = next(graph.layers())
    assert kernel("CONV_2D").applies(layer)
    one_more = bias + np.array([0, 1 << 20, 0, 0, 0, 0], np.int32)
    assert not kernel("CONV_2D").applies(next(layers.with_tensor(graph, 2, data=one_more).layers()))
    for value in (-128, 127):
        fixed = [np.full(graph.input_tensors[0].shape, value, np.int8)]
        want = reference.outputs(graph, fixed)[0]
        got, _ = call_with(image, kernel("CONV_2D"), graph, fixed[0])
        assert_same_bytes(want.reshape(-1), got, "kernel")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    multiplier=st.integers(1 << 30, (1 << 31) - 1) | st.just(1 << 30),
    right=st.integers(1, _stream.RELU_SHIFT),
    more=st.sampled_from([_stream.EVEN_RELU, _stream.ODD_RELU]),
    random=st.integers(0, 2**32 - 1),
)
def test_shorter_requantization(multiplier: int, right: int, more: int, random: int) -> None:
    """SMMLA and a shift give TFLite Micro's two roundings for results that are not negative, ties included; others give 0 or less."""
    limit = 1 << (23 if more == _stream.ODD_RELU else 29)
    x = np.random.default_rng(random).integers(-limit, limit, 300)
    ties = np.arange(1, 256) * (1 << right + 1) // 2
    x = np.concatenate([x >> np.arange(300) % 29, ties, ties - 1, [0, 1, -1, limit - 1, 1 - limit]])
    x = x[np.abs(x) < limit]
    high = (x << more + 1) * multiplier >> 32
    got = high + (1 << more - 1) + (1 << right + more - 1) >> right + more
    want = multiply_by_quantized_multiplier(x, multiplier, -right)
    assert np.array_equal(np.maximum(got, 0), np.maximum(want, 0))


# Choice


@pytest.mark.parametrize("cpu_name", sorted(CPUS))
def test_chosen_on_cores_with_the_extension_only(cpu_name: str) -> None:
    """Cores with MVE have the extension too, and something better."""
    features = CPUS[cpu_name].features
    expected = "dsp" in features and "mve" not in features
    assert (chosen(conv_1x1(4, 16, 8), cpu_name) == FUNCTION) == expected


def test_cores_with_the_extension() -> None:
    assert {"cortex-m4", "cortex-m7", "cortex-m33"} <= {name for name, cpu in CPUS.items() if "dsp" in cpu.features}


def test_scratch_is_stated() -> None:
    binding = kernel("CONV_2D").bind(next(conv_1x1(4, 17, 8).layers()))
    assert binding.scratch == 4 * 16 + 24 + 8


def test_weights_take_one_byte_each() -> None:
    (stream,) = kernel("CONV_2D").bind(next(conv_1x1(4, 64, 64).layers())).constants
    assert stream.values.nbytes == 64 * 64 + 16 * 64


def refused(name: str) -> Graph:
    graph = conv_1x1(4, 16, 8)
    filter_data = graph.tensors[1].data
    bias = graph.tensors[2].data
    assert filter_data is not None
    assert bias is not None
    if name == "3x3":
        random = np.random.default_rng(0)
        data = random.integers(-127, 128, (8, 3, 3, 16)).astype(np.int8)
        return layers.with_tensor(graph, 1, shape=data.shape, data=data)
    if name == "stride 2":
        graph = layers.with_attributes(graph, stride=(1, 2))
        return layers.with_tensor(graph, 3, shape=(1, 1, 2, 8))
    if name == "groups":
        return layers.with_tensor(graph, 1, shape=(8, 1, 1, 8), data=filter_data[..., :8])
    if name == "left shift":
        return layers.with_tensor(graph, 1, quantization=Quantization((2.0,), (0,)))
    if name == "no shift":
        return layers.with_tensor(graph, 1, quantization=Quantization((layers.scale(0.7),), (0,)))
    if name == "weight -128 over a negative one":
        data = filter_data.copy()
        data[2, 0, 0, 5], data[3, 0, 0, 5] = -1, -128
        return layers.with_tensor(graph, 1, data=data)
    if name == "large sum in an odd channel":
        graph = layers.with_tensor(graph, 1, quantization=Quantization((layers.scale(0.51 * 2.0**-18),), (0,)))
        return layers.with_tensor(graph, 2, data=np.where(np.arange(8) == 3, 1 << 23, bias).astype(np.int32))
    if name == "large sum in an even channel":
        graph = layers.with_tensor(graph, 1, quantization=Quantization((layers.scale(0.51 * 2.0**-22),), (0,)))
        graph = layers.with_tensor(graph, 1, data=(filter_data.astype(int) // 8 * 8 + 7).astype(np.int8))
        graph = layers.with_tensor(graph, 3, quantization=Quantization((1.0,), (-128,)))
        # 131.5 steps of the output and a little: not the same output for all inputs.
        large = round(131.5 / (0.51 * 2.0**-22))
        return layers.with_tensor(graph, 2, data=np.where(np.arange(8) == 2, large, bias).astype(np.int32))
    if name == "computed filter":
        tensors = tuple(replace(t, data=None) if i == 1 else t for i, t in enumerate(graph.tensors))
        return replace(graph, tensors=tensors, inputs=(0, 1), input_names=("input", "filter"))
    assert name == "computed bias"
    tensors = tuple(replace(t, data=None) if i == 2 else t for i, t in enumerate(graph.tensors))
    return replace(graph, tensors=tensors, inputs=(0, 2), input_names=("input", "bias"))


@pytest.mark.parametrize(
    "name",
    [
        "3x3",
        "stride 2",
        "groups",
        "left shift",
        "no shift",
        "weight -128 over a negative one",
        "large sum in an odd channel",
        "large sum in an even channel",
        "computed filter",
        "computed bias",
    ],
)
def test_falls_back(name: str) -> None:
    graph = refused(name)
    layer = next(graph.layers())
    assert problems(layer) == []
    assert not kernel("CONV_2D").applies(layer)
    assert chosen(graph, "cortex-m4") != FUNCTION


def test_large_sum_is_taken_in_an_even_channel() -> None:
    graph = conv_1x1(4, 16, 8)
    bias = np.where(np.arange(8) == 2, (1 << 23) * 5, graph.tensors[2].data).astype(np.int32)  # type: ignore[arg-type]
    assert chosen(layers.with_tensor(graph, 2, data=bias), "cortex-m4") == FUNCTION


def test_fully_connected_with_filter_zero_point_falls_back() -> None:
    graph = next(graph for name, graph in all_ops()["FULLY_CONNECTED"].cases() if name == "filter zero point")
    assert not kernel("FULLY_CONNECTED").applies(next(graph.layers()))
    assert chosen(graph, "cortex-m4") != FUNCTION


def test_never_chosen_where_the_generic_kernel_is_cheaper() -> None:
    for pixels in (1, 2, 3, 100):
        for depth in (1, 2, 5, 64):
            for channels in (1, 2, 5, 64):
                graph = conv_1x1(pixels, depth, channels)
                layer = next(graph.layers())
                if kernel("CONV_2D").cost(layer) > generic("CONV_2D").cost(layer):
                    assert chosen(graph, "cortex-m4") != FUNCTION
