# SPDX-License-Identifier: Apache-2.0
"""3x3 convolutions by Winograd's algorithm for the DSP extension: exact for every input, inside their buffers, as fast as predicted."""

from __future__ import annotations

from pathlib import Path

import layers
import numpy as np
import pytest
from dsp_harness import BUILDS, build_kernel, call_kernel, call_with, check_emulated, chosen, need_compiler, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import assert_same_bytes
from test_cortex_m_dsp_patches import conv
from tinyc import reference
from tinyc.graph import Graph, Quantization
from tinyc.targets import Kernel, kernels_for
from tinyc.targets.cortex_m_dsp.conv_2d_winograd import transformed
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image

FUNCTION = "tinyc_conv_3x3_winograd_s8_dsp"


def kernel() -> Kernel:
    return next(k for k in kernels_for(CPUS["cortex-m4"])["CONV_2D"] if k.function == FUNCTION)


@st.composite
def convolutions(draw: st.DrawFn) -> Graph:
    """3x3 at stride 1 with channels in fours, mostly such that the kernel takes them."""
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    least = 3 if padding == "VALID" else 1
    channels = 4 * draw(st.integers(1, 4))
    graph = conv(
        (3, 3),
        (draw(st.integers(least, least + 7)), draw(st.integers(least, least + 7))),
        4 * draw(st.integers(1, 5) | st.sampled_from([8, 9, 17])),
        channels,
        padding=padding,
        activation=draw(layers.ACTIVATIONS),
        shift=draw(st.none() | st.integers(5, 16)),
        seed=draw(st.integers(0, 2**32 - 1)),
        batches=draw(st.sampled_from([1, 1, 2, 3])),
        zero_points=(draw(layers.ZERO_POINTS), draw(layers.ZERO_POINTS)),
    )
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scales = list(graph.tensors[1].quantization.scale)  # type: ignore[union-attr]
    if draw(st.integers(0, 3)) == 0:
        scales[random.integers(0, channels)] = layers.scale(2.0 ** -random.uniform(25.0, 45.0))
    if draw(st.integers(0, 3)) == 0:
        graph = layers.with_tensor(graph, 1, data=random.choice([-128, 127], graph.tensors[1].shape).astype(np.int8))
    if draw(st.integers(0, 2)) == 0:
        graph = layers.with_tensor(graph, 2, data=random.integers(-(1 << 27), 1 << 27, channels).astype(np.int32))
        scales = [layers.scale(2.0**-19 * f) for f in random.uniform(0.5, 1.0, channels)]
    return layers.with_tensor(graph, 1, quantization=Quantization(tuple(scales), (0,) * channels))


@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
def test_exact_in_emulation(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    graphs = sample(convolutions(), 20, BUILDS.index((cpu_name, kind, optimize)))
    assert [kernel().applies(next(graph.layers())) for graph in graphs].count(True) > 5
    check_emulated(graphs, cpu_name, kind, optimize, tmp_path, FUNCTION)


@pytest.mark.slow
@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
def test_exact_in_emulation_many(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    for number in range(3):
        graphs = sample(convolutions(), 50, 100 + 10 * BUILDS.index((cpu_name, kind, optimize)) + number)
        check_emulated(graphs, cpu_name, kind, optimize, tmp_path / str(number), FUNCTION)


# The kernel alone, in memory that faults outside its buffers


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_kernel(FUNCTION, tmp_path_factory.mktemp("dsp"))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(graph=convolutions(), start=st.booleans())
def test_stays_inside_its_buffers(image: Image, graph: Graph, start: bool) -> None:
    if kernel().applies(next(graph.layers())):
        want, got, _ = call_kernel(image, kernel(), graph, 0, start)
        assert_same_bytes(want, got, "kernel")


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, derandomize=True)
@given(graph=convolutions(), start=st.booleans())
def test_stays_inside_its_buffers_many(image: Image, graph: Graph, start: bool) -> None:
    if kernel().applies(next(graph.layers())):
        want, got, _ = call_kernel(image, kernel(), graph, 1, start)
        assert_same_bytes(want, got, "kernel")


@pytest.mark.parametrize(
    ("graph", "most"),
    [
        (conv((3, 3), (16, 16), 16, 16), 0.59),
        (conv((3, 3), (8, 8), 32, 32), 0.46),
        (conv((3, 3), (8, 8), 64, 16), 0.47),
        (conv((3, 3), (10, 10), 16, 8, padding="VALID"), 0.66),
        (conv((3, 3), (9, 9), 12, 20, padding="VALID"), 0.83),
        (conv((3, 3), (7, 5), 20, 12, activation="RELU6"), 0.92),
        (conv((3, 3), (4, 4), 4, 4), 2.0),
        (conv((3, 3), (5, 7), 8, 8), 1.4),
        (conv((3, 3), (6, 6), 128, 8), 0.61),
        (conv((3, 3), (12, 3), 8, 16), 1.1),
        (conv((3, 3), (3, 12), 8, 16), 1.1),
        (conv((3, 3), (4, 4), 24, 4, batches=2), 0.95),
        (conv((3, 3), (1, 1), 4, 4), 13.0),
    ],
)
def test_instructions_per_mac(image: Image, graph: Graph, most: float) -> None:
    """The speed that the kernel exists for, and a cost model near it."""
    want, got, instructions = call_kernel(image, kernel(), graph, 0, False)
    assert_same_bytes(want, got, "kernel")
    macs = want.size * graph.tensors[1].elements // graph.tensors[1].shape[0]
    assert instructions / macs < most
    assert 0.94 < kernel().cost(next(graph.layers())) / instructions < 1.06


@pytest.mark.parametrize("sign", [-1, 1])
def test_largest_values(image: Image, sign: int) -> None:
    """Weights and inputs whose transforms are as large as they can be, and biases up to the limit."""
    graph = conv((3, 3), (6, 6), 64, 4, shift=22, zero_points=(127 if sign > 0 else -128, 0))
    pattern = np.array([[1, -1, 1], [-1, 1, -1], [1, -1, 1]]) * 127
    weights = np.stack([np.full((3, 3), 127), pattern, -pattern, np.full((3, 3), -127)])
    data = np.repeat(weights[..., np.newaxis], 64, axis=3).astype(np.int8)
    graph = layers.with_tensor(graph, 1, data=data)
    room = (1 << 29) - 1 - 576 * 127 * 255
    graph = layers.with_tensor(graph, 2, data=np.array([room, room, -room, -room], np.int32))
    assert kernel().applies(next(graph.layers()))
    more = np.array([room + (1 << 26), room, -room, -room], np.int32)
    assert not kernel().applies(next(layers.with_tensor(graph, 2, data=more).layers()))
    y, x = np.indices((6, 6))
    for values in (
        np.where((x + y) % 2, -128, 127),
        np.where(x % 4 < 2, 127, -128),
        np.where(y % 4 < 2, -128, 127),
        np.full((6, 6), -128),
    ):
        fixed = np.repeat(values[np.newaxis, :, :, np.newaxis], 64, axis=3).astype(np.int8)
        got, _ = call_with(image, kernel(), graph, fixed)
        assert_same_bytes(reference.outputs(graph, [fixed])[0].reshape(-1), got, "kernel")


def test_transformed_filters_fit_into_halfwords() -> None:
    for value in (-128, 127):
        signs = np.array([[1, -1, 1], [-1, 1, -1], [1, -1, 1]])
        data = np.clip(np.stack([np.full((3, 3), value), signs * value]), -128, 127)[..., np.newaxis]
        assert np.abs(transformed(data)).max() <= 9 * 128


# Choice


@pytest.mark.parametrize("cpu_name", ["cortex-m4", "cortex-m7", "cortex-m33"])
def test_chosen(cpu_name: str) -> None:
    assert chosen(conv((3, 3), (8, 8), 16, 8), cpu_name) == FUNCTION


def test_scratch_and_flash_are_stated() -> None:
    binding = kernel().bind(next(conv((3, 3), (8, 8), 16, 8).layers()))
    assert binding.scratch == 64 * 16 + 512 + 16 * 16
    assert binding.constants[0].values.nbytes == 8 * 16 * 32 + 8 * 16
    assert kernel().bind(next(conv((3, 3), (8, 8), 16, 8, padding="VALID").layers())).scratch == 64 * 16 + 512


@pytest.mark.parametrize(
    "graph",
    [
        conv((3, 3), (8, 8), 16, 6),
        conv((3, 3), (8, 8), 6, 8),
        conv((3, 3), (8, 8), 16, 8, stride=(1, 2)),
        conv((3, 3), (8, 8), 16, 8, dilation=(2, 1)),
        conv((3, 4), (8, 8), 16, 8),
        conv((3, 3), (8, 8), 16, 8, shift=-1),
    ],
    ids=["channels", "depth", "stride", "dilation", "filter", "left shift"],
)
def test_falls_back(graph: Graph) -> None:
    assert not kernel().applies(next(graph.layers()))
    assert chosen(graph, "cortex-m4") != FUNCTION
