# SPDX-License-Identifier: Apache-2.0
"""The mean over an image whose rows come in several calls, with the DSP extension: exact, inside its buffers, as fast as predicted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from direct_call import Buffer, call
from dsp_harness import build_kernel
from oracle import assert_same_bytes
from test_depthwise_dsp import build
from tinyc import reference
from tinyc.graph import Array, Graph, Layer
from tinyc.ops._pool import case
from tinyc.program import Params
from tinyc.targets import Kernel, kernels_for
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image

FUNCTION = "tinyc_average_pool_rows_s8_dsp"


def kernel() -> Kernel:
    return next(k for k in kernels_for(CPUS["cortex-m4"])["AVERAGE_POOL_2D"] if k.function == FUNCTION)


def whole(height: int, width: int, depth: int) -> Graph:
    return case("AVERAGE_POOL_2D", (1, height, width, depth), (height, width), (1, 1), "VALID")


def rows(graph: Graph, first: int, end: int) -> Layer:
    """Rows [first, end) of the layer's input, to be added up."""
    (layer,) = graph.layers()
    _, height, width, depth = layer.input(0).shape
    ends = (first == 0, end == height, height)
    tensors = (replace(graph.tensors[0], shape=(1, end - first, width, depth)), *graph.tensors[1:])
    (node,) = graph.nodes
    node = replace(node, attributes={**node.attributes, "partial": ends})
    return next(replace(graph, tensors=tensors, nodes=(node,)).layers())


def mean(image: Image, graph: Graph, data: Array, chunk: int, start: bool) -> tuple[Array, list[float]]:
    """The output of all calls, and of each the ratio of predicted and counted instructions."""
    height, depth = data.shape[1], data.shape[3]
    state, ratios = b"\xa5" * 4 * depth, []
    for first in range(0, height, chunk):
        part = rows(graph, first, min(first + chunk, height))
        assert kernel().applies(part)
        binding = kernel().bind(part)
        assert isinstance(binding.params, Params)
        assert binding.state == len(state)
        fields = np.array([int(v) for v in binding.params.fields.values()], np.int32)  # type: ignore[call-overload]
        contents = (fields.tobytes(), data[:, first : first + chunk].tobytes(), bytes(depth), state)
        after, instructions = call(image, FUNCTION, [Buffer(content, start) for content in contents])
        assert after[:2] == list(contents[:2])
        state = after[3]
        ratios.append(kernel().cost(part) / instructions)
    return np.frombuffer(after[2], np.int8), ratios


def check(image: Image, size: tuple[int, int, int], chunk: int, start: bool = False) -> list[float]:
    graph = whole(*size)
    data = np.random.default_rng(sum(size)).integers(-128, 128, (1, *size)).astype(np.int8)
    got, ratios = mean(image, graph, data, chunk, start)
    assert_same_bytes(reference.outputs(graph, [data])[0].reshape(-1), got, f"{size} {chunk}")
    return ratios


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_kernel(FUNCTION, tmp_path_factory.mktemp("dsp"))


@pytest.mark.parametrize("start", [False, True])
def test_exact_inside_its_buffers(image: Image, start: bool) -> None:
    for size, chunk in (((5, 5, 64), 2), ((7, 1, 4), 1), ((4, 64, 8), 4), ((9, 3, 12), 4), ((1, 1, 4), 1)):
        check(image, size, chunk, start)


@pytest.mark.parametrize("value", [-128, 127])
def test_largest_sums(image: Image, value: int) -> None:
    graph, data = whole(16, 16, 8), np.full((1, 16, 16, 8), value, np.int8)
    got, _ = mean(image, graph, data, 16, False)
    assert (got == value).all()


def test_as_fast_as_predicted(image: Image) -> None:
    for size, chunk in (((25, 5, 64), 2), ((8, 8, 64), 1), ((12, 12, 32), 4)):
        assert all(0.9 < ratio < 1.1 for ratio in check(image, size, chunk))


@pytest.mark.parametrize(("kind", "optimize"), [("gcc", "-Os"), ("zig", "-O2"), ("zig", "-Os")])
def test_every_compiler(kind: str, optimize: str, tmp_path: Path) -> None:
    check(build(FUNCTION, kind, optimize, tmp_path), (5, 5, 64), 2)


def test_refuses_what_it_cannot_add_up() -> None:
    """Rests of four channels, and sums beyond 16 bits."""
    assert kernel().applies(rows(whole(5, 5, 8), 0, 2))
    assert not kernel().applies(rows(whole(5, 5, 6), 0, 2))
    assert not kernel().applies(rows(whole(20, 20, 8), 0, 20))
