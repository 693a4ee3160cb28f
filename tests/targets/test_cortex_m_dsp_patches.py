# SPDX-License-Identifier: Apache-2.0
"""Convolutions of any filter size for the DSP extension: exact, inside their buffers, as fast as predicted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import layers
import numpy as np
import pytest
from dsp_harness import BUILDS, build_kernel, call_kernel, call_with, check_emulated, chosen, need_compiler, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import assert_same_bytes
from tinyc import reference
from tinyc.graph import Graph, Quantization, Tensor
from tinyc.ops import problems
from tinyc.targets import Kernel, kernels_for
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image

FUNCTION = "tinyc_conv_kxk_s8_dsp"


def kernel(function: str = FUNCTION) -> Kernel:
    return next(k for k in kernels_for(CPUS["cortex-m4"])["CONV_2D"] if k.function == function)


def conv(
    size: tuple[int, int],
    image: tuple[int, int],
    depth: int,
    channels: int,
    stride: tuple[int, int] = (1, 1),
    padding: str = "SAME",
    dilation: tuple[int, int] = (1, 1),
    activation: str = "NONE",
    shift: float | None = None,
    seed: int = 0,
    batches: int = 1,
    zero_points: tuple[int, int] = (-7, 4),
) -> Graph:
    """A layer of random weights whose outputs fill the range."""
    random = np.random.default_rng(seed)
    weights = random.integers(-127, 128, (channels, *size, depth)).astype(np.int8)
    if shift is None:
        shift = 6 + float(np.log2(size[0] * size[1] * depth)) / 2
    scales = tuple(layers.scale(f * 2.0**-shift) for f in random.uniform(0.5, 1.0, channels))
    inputs = (
        Tensor("input", (batches, *image, depth), "int8", Quantization((1.0,), (zero_points[0],))),
        Tensor("filter", weights.shape, "int8", Quantization(scales, (0,) * channels), weights),
        Tensor("bias", (channels,), "int32", None, random.integers(-5000, 5000, channels).astype(np.int32)),
    )
    attributes = {"padding": padding, "stride": stride, "dilation": dilation, "activation": activation}
    return layers.with_output_shape("CONV_2D", inputs, Quantization((1.0,), (zero_points[1],)), attributes)


@st.composite
def windows(draw: st.DrawFn) -> Graph:
    """Convolutions with one group and right shifts, mostly such that the kernel takes them."""
    size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)) | st.sampled_from([(3, 3), (3, 3), (10, 4), (7, 1)]))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 1), (1, 2), (3, 2)]))
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    least = [(taps - 1) * step + 1 if padding == "VALID" else 1 for taps, step in zip(size, dilation, strict=True)]
    depth = draw(st.integers(1, 9) | st.sampled_from([12, 16, 20]))
    channels = draw(st.integers(1, 9))
    graph = conv(
        size,
        (draw(st.integers(least[0], least[0] + 7)), draw(st.integers(least[1], least[1] + 7))),
        depth,
        channels,
        draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 2), (3, 1), (4, 5)])),
        padding,
        dilation,
        draw(layers.ACTIVATIONS),
        shift=draw(st.none() | st.integers(5, 16)),
        seed=draw(st.integers(0, 2**32 - 1)),
        batches=draw(st.sampled_from([1, 1, 2, 3])),
        zero_points=(draw(layers.ZERO_POINTS), draw(layers.ZERO_POINTS)),
    )
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scales = list(graph.tensors[1].quantization.scale)  # type: ignore[union-attr]
    if draw(st.integers(0, 3)) == 0:
        scales[random.integers(0, channels)] = layers.scale(2.0 ** -random.uniform(25.0, 45.0))
    bias = graph.tensors[2].data
    kind = draw(st.sampled_from(["", "", "large", "constant"]))
    if kind == "large":
        bias = random.integers(-(1 << 22), 1 << 22, channels).astype(np.int32)
    elif kind == "constant":
        # Such channels are in trained models: a bias at TFLite's limit with a scale to match.
        bias = np.where(np.arange(channels) % 2, bias, random.choice([-(1 << 30), 1 << 30], channels)).astype(np.int32)  # type: ignore[arg-type]
        scales = [layers.scale(2.0**-24.3) if i % 2 == 0 else s for i, s in enumerate(scales)]
    graph = layers.with_tensor(graph, 1, quantization=Quantization(tuple(scales), (0,) * channels))
    return layers.with_tensor(graph, 2, data=bias)


@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
def test_exact_in_emulation(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    graphs = sample(windows(), 25, BUILDS.index((cpu_name, kind, optimize)))
    assert [kernel().applies(next(graph.layers())) for graph in graphs].count(True) > 12
    check_emulated(graphs, cpu_name, kind, optimize, tmp_path, FUNCTION)


@pytest.mark.slow
@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
def test_exact_in_emulation_many(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    for number in range(4):
        graphs = sample(windows(), 60, 100 + 10 * BUILDS.index((cpu_name, kind, optimize)) + number)
        check_emulated(graphs, cpu_name, kind, optimize, tmp_path / str(number), FUNCTION)


# The kernel alone, in memory that faults outside its buffers


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_kernel(FUNCTION, tmp_path_factory.mktemp("dsp"))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graph=windows(), start=st.booleans())
def test_stays_inside_its_buffers(image: Image, graph: Graph, start: bool) -> None:
    if kernel().applies(next(graph.layers())):
        want, got, _ = call_kernel(image, kernel(), graph, 0, start)
        assert_same_bytes(want, got, "kernel")


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, derandomize=True)
@given(graph=windows(), start=st.booleans())
def test_stays_inside_its_buffers_many(image: Image, graph: Graph, start: bool) -> None:
    if kernel().applies(next(graph.layers())):
        want, got, _ = call_kernel(image, kernel(), graph, 1, start)
        assert_same_bytes(want, got, "kernel")


@pytest.mark.parametrize(
    ("graph", "most"),
    [
        (conv((3, 3), (16, 16), 16, 16), 0.96),
        (conv((3, 3), (8, 8), 32, 64, (2, 2)), 0.87),
        (conv((10, 4), (49, 10), 1, 64, (2, 2), activation="RELU", zero_points=(83, -128)), 1.12),
        (conv((3, 3), (32, 32), 3, 8, (2, 2)), 1.65),
        (conv((3, 3), (20, 20), 3, 16), 1.45),
        (conv((1, 1), (16, 16), 16, 32, (2, 2)), 1.39),
        (conv((5, 5), (12, 12), 8, 8), 1.2),
        (conv((3, 3), (9, 7), 5, 7), 2.1),
        (conv((7, 7), (16, 16), 3, 6, (2, 2)), 1.9),
        (conv((1, 7), (4, 20), 12, 8), 1.2),
        (conv((3, 3), (10, 10), 8, 8, (1, 1), "VALID"), 1.1),
        (conv((3, 3), (10, 10), 8, 8, (1, 1), "SAME", (2, 2)), 2.1),
        (conv((3, 3), (9, 9), 8, 8, (1, 1), "SAME", (2, 1), activation="RELU6"), 2.0),
        (conv((5, 5), (14, 14), 1, 6), 3.6),
        (conv((3, 3), (1, 5), 8, 16, activation="RELU", zero_points=(5, -128)), 1.45),
        (conv((3, 3), (3, 3), 16, 64, padding="VALID"), 1.4),
    ],
)
def test_instructions_per_mac(image: Image, graph: Graph, most: float) -> None:
    """The speed that the kernel exists for, and a cost model near it."""
    want, got, instructions = call_kernel(image, kernel(), graph, 0, False)
    assert_same_bytes(want, got, "kernel")
    macs = want.size * graph.tensors[1].elements // graph.tensors[1].shape[0]
    assert instructions / macs < most
    assert 0.93 < kernel().cost(next(graph.layers())) / instructions < 1.07


def test_channel_with_one_output_for_all_inputs(image: Image) -> None:
    """Its accumulators are beyond the kernel's range, but do not matter; one step less and the layer is not taken."""
    graph = conv((3, 3), (4, 5), 4, 4, zero_points=(3, -20))
    scales = list(graph.tensors[1].quantization.scale)  # type: ignore[union-attr]
    scales[1] = layers.scale(2.0**-24)
    graph = layers.with_tensor(graph, 1, quantization=Quantization(tuple(scales), (0,) * 4))
    bias = np.array([100, 1 << 30, -100, 0], np.int32)
    graph = layers.with_tensor(graph, 2, data=bias)
    assert kernel().applies(next(graph.layers()))
    want, got, _ = call_kernel(image, kernel(), graph, 0, False)
    assert_same_bytes(want, got, "kernel")
    assert set(want[1::4].tolist()) == {64 - 20}
    half = bias + np.array([0, 1 << 23, 0, 0], np.int32)
    assert not kernel().applies(next(layers.with_tensor(graph, 2, data=half).layers()))


def test_largest_sums_that_it_takes(image: Image) -> None:
    graph = conv((3, 3), (3, 4), 28, 4, shift=13, zero_points=(127, 0))
    weights = np.full(graph.tensors[1].shape, 127, np.int8)
    weights[1::2] = -127
    room = (1 << 23) - 1 - 252 * 127 * 255
    graph = layers.with_tensor(graph, 1, data=weights)
    graph = layers.with_tensor(graph, 2, data=np.array([1 << 28, room, -(1 << 28), room], np.int32))
    assert kernel().applies(next(graph.layers()))
    more = np.array([1 << 28, room, -(1 << 28), room + 1], np.int32)
    assert not kernel().applies(next(layers.with_tensor(graph, 2, data=more).layers()))
    for value in (-128, 127):
        fixed = np.full(graph.input_tensors[0].shape, value, np.int8)
        got, _ = call_with(image, kernel(), graph, fixed)
        assert_same_bytes(reference.outputs(graph, [fixed])[0].reshape(-1), got, "kernel")


# Choice


@pytest.mark.parametrize("cpu_name", ["cortex-m4", "cortex-m7", "cortex-m33"])
def test_chosen(cpu_name: str) -> None:
    assert chosen(conv((3, 3), (8, 8), 16, 8, (2, 2)), cpu_name) == FUNCTION
    assert chosen(conv((10, 4), (49, 10), 1, 64, (2, 2)), cpu_name) == FUNCTION
    assert chosen(conv((1, 1), (8, 8), 16, 8, (2, 2)), cpu_name) == FUNCTION


def test_scratch_is_stated() -> None:
    def scratch(graph: Graph) -> int:
        return kernel().bind(next(graph.layers())).scratch

    assert scratch(conv((3, 3), (8, 8), 16, 8)) == 144 * 4 + 8 + 48
    assert scratch(conv((3, 3), (8, 8), 3, 8)) == 28 * 4 + 4 * 2 + 8 + 8
    assert scratch(conv((3, 3), (8, 8), 16, 8, padding="VALID")) == 144 * 4 + 8
    assert scratch(conv((3, 3), (8, 8), 3, 8, padding="VALID")) == 28 * 4 + 4 * 2 + 8


def test_weights_take_one_byte_each() -> None:
    (stream,) = kernel().bind(next(conv((3, 3), (8, 8), 16, 8).layers())).constants
    assert stream.values.nbytes == 144 * 8 + 16 * 8


@pytest.mark.parametrize("name", ["groups", "left shift", "computed filter"])
def test_falls_back(name: str) -> None:
    graph = conv((3, 3), (4, 4), 4, 4)
    if name == "groups":
        data = graph.tensors[1].data
        assert data is not None
        graph = layers.with_tensor(graph, 1, shape=(4, 3, 3, 2), data=data[..., :2])
    elif name == "left shift":
        graph = layers.with_tensor(graph, 1, quantization=Quantization((2.0,), (0,)))
    else:
        tensors = tuple(replace(t, data=None) if i == 1 else t for i, t in enumerate(graph.tensors))
        graph = replace(graph, tensors=tensors, inputs=(0, 1), input_names=("input", "filter"))
    assert problems(next(graph.layers())) == []
    assert not kernel().applies(next(graph.layers()))
    assert chosen(graph, "cortex-m4") == "tinyc_conv_2d_s8"
