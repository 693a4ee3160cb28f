# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED row by row for the DSP extension: exact, inside its buffers, as fast as predicted, and chosen for a single row."""

from __future__ import annotations

from pathlib import Path

import layers
import numpy as np
import pytest
from dsp_harness import BUILDS, build_kernel, call_kernel, check_emulated, chosen, need_compiler, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import assert_same_bytes
from test_cortex_m_dsp import dsp_layers
from tinyc.graph import Graph, Quantization, Tensor, single_node_graph
from tinyc.ops import all_ops
from tinyc.targets import Kernel, kernels_for
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image

FUNCTION = "tinyc_fully_connected_s8_dsp"
LAYERS = dsp_layers(conv=False)


def kernels() -> list[Kernel]:
    """With all inputs in scratch, then with some of them."""
    return [k for k in kernels_for(CPUS["cortex-m4"])["FULLY_CONNECTED"] if k.function == FUNCTION]


def kernel(depth: int = 1) -> Kernel:
    return kernels()[1 if depth > 320 else 0]


def dense(rows: int, depth: int, units: int, activation: str = "NONE") -> Graph:
    """A layer of random weights whose outputs fill the range."""
    random = np.random.default_rng(0)
    weights = random.integers(-127, 128, (units, depth)).astype(np.int8)
    scales = tuple(layers.scale(f * 2.0**-6 / np.sqrt(depth)) for f in random.uniform(0.5, 1.0, units))
    inputs = (
        Tensor("input", (rows, depth), "int8", Quantization((1.0,), (-7,))),
        Tensor("filter", weights.shape, "int8", Quantization(scales, (0,) * units), weights),
        Tensor("bias", (units,), "int32", None, random.integers(-5000, 5000, units).astype(np.int32)),
    )
    output = Tensor("output", (rows, units), "int8", Quantization((1.0,), (4,)))
    attributes = {"activation": activation, "weights_format": "DEFAULT", "keep_num_dims": True}
    return single_node_graph("FULLY_CONNECTED", inputs, (output,), attributes)


@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
def test_exact_in_emulation(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    graphs = sample(LAYERS, 30, BUILDS.index((cpu_name, kind, optimize)))
    graphs += [dense(1, 331, 9), dense(2, 402, 6, "RELU6")]
    assert [kernel().applies(next(graph.layers())) for graph in graphs].count(True) > 20
    check_emulated(graphs, cpu_name, kind, optimize, tmp_path, FUNCTION)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_kernel(FUNCTION, tmp_path_factory.mktemp("dsp"))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graph=LAYERS, start=st.booleans())
def test_stays_inside_its_buffers(image: Image, graph: Graph, start: bool) -> None:
    if kernel().applies(next(graph.layers())):
        want, got, _ = call_kernel(image, kernel(), graph, 0, start)
        assert_same_bytes(want, got, "kernel")


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, derandomize=True)
@given(graph=LAYERS, start=st.booleans())
def test_stays_inside_its_buffers_many(image: Image, graph: Graph, start: bool) -> None:
    if kernel().applies(next(graph.layers())):
        want, got, _ = call_kernel(image, kernel(), graph, 1, start)
        assert_same_bytes(want, got, "kernel")


@pytest.mark.parametrize(
    ("rows", "depth", "units", "activation", "most"),
    [
        (1, 640, 128, "NONE", 0.9),
        (1, 320, 128, "NONE", 0.92),
        (1, 128, 128, "RELU", 1.0),
        (1, 128, 8, "NONE", 1.3),
        (1, 8, 128, "NONE", 2.3),
        (1, 64, 12, "NONE", 1.31),
        (1, 400, 7, "RELU6", 1.4),
        (1, 37, 9, "NONE", 2.5),
        (2, 403, 9, "RELU", 1.5),
        (1, 323, 8, "NONE", 1.2),
        (3, 100, 10, "NONE", 1.6),
        (1, 256, 2, "NONE", 3.1),
        (1, 16, 4, "NONE", 3.9),
        (4, 16, 16, "NONE", 1.9),
        (2, 24, 5, "NONE", 3.4),
    ],
)
def test_instructions_per_mac(image: Image, rows: int, depth: int, units: int, activation: str, most: float) -> None:
    graph = dense(rows, depth, units, activation)
    (layer,) = graph.layers()
    for less_scratch, offered in enumerate(kernels()):
        if offered.applies(layer):
            want, got, instructions = call_kernel(image, offered, graph, 0, False)
            assert_same_bytes(want, got, "kernel")
            assert instructions / (rows * depth * units) < most * (1.1 if less_scratch else 1.0)
            assert 0.93 < offered.cost(layer) / instructions < 1.07


@pytest.mark.parametrize("cpu_name", ["cortex-m4", "cortex-m7", "cortex-m33"])
def test_chosen_for_a_single_row(cpu_name: str) -> None:
    assert chosen(dense(1, 64, 12), cpu_name) == FUNCTION
    assert chosen(dense(2, 64, 12), cpu_name) == "tinyc_conv_1x1_s8_dsp"


def test_scratch_and_weights() -> None:
    binding = kernel().bind(next(dense(1, 17, 8).layers()))
    assert binding.scratch == 2 * 24 + 4
    assert binding.constants[0].values.nbytes == 24 * 8 + 16 * 8


def test_scratch_is_bounded() -> None:
    """Of deep layers, only some inputs are copied as halfwords; weights are padded no more than before."""
    for depth, scratch, padded in ((320, 644, 320), (321, 644, 328), (640, 644, 640), (643, 644, 648)):
        binding = kernel(depth).bind(next(dense(1, depth, 8).layers()))
        assert binding.scratch == scratch
        assert binding.constants[0].values.nbytes == padded * 8 + 16 * 8


def test_filter_zero_point_falls_back() -> None:
    graph = next(graph for name, graph in all_ops()["FULLY_CONNECTED"].cases() if name == "filter zero point")
    assert not kernel().applies(next(graph.layers()))
