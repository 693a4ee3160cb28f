# SPDX-License-Identifier: Apache-2.0
"""The Helium kernels of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED: exact, inside their buffers, and as fast as they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import layers
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mve_harness import CPU, Case, build, mve_kernel, run
from oracle import random_inputs
from tinyc.graph import Graph, Quantization, Tensor, single_node_graph
from tinyc.lower import lower
from tinyc.ops import all_ops, problems
from tinyc.targets import Kernel
from tinyc.toolchains import Image

GEMM, TAPS = "tinyc_conv_2d_s8_mve", "tinyc_conv_3x3_s8_mve"
PATCHES, ROWS = "tinyc_depthwise_conv_3x3_s8_mve", "tinyc_fully_connected_s8_mve"
FUNCTIONS = (GEMM, TAPS, PATCHES, ROWS)

#: Every use of a kernel.
USES = (
    ("CONV_2D", GEMM),
    ("CONV_2D", TAPS),
    ("DEPTHWISE_CONV_2D", PATCHES),
    ("FULLY_CONNECTED", ROWS),
    ("FULLY_CONNECTED", GEMM),
)


# Layers


@st.composite
def right_shifts(draw: st.DrawFn, channels: int, depth: int) -> tuple[float, ...]:
    """Filter scales for input and output scales of 1: right shifts from 0 on, powers of two for ties, channels that are dead."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([1, channels]))
    low = draw(st.sampled_from([0.0, 0.0, 1.0, 4.0]))
    exponents = random.uniform(low, low + np.log2(depth + 1) * 0.7 + 5.0, count)
    if draw(st.integers(0, 3)) == 0:
        exponents = np.ceil(exponents)
    if draw(st.integers(0, 3)) == 0:
        exponents[random.integers(0, count)] = random.choice([24.0, 30.0, 31.5, 34.0, 45.0])
    return tuple(layers.scale(0.999 * 2.0**-e if e % 1 else 2.0**-e) for e in exponents)


@st.composite
def biases(draw: st.DrawFn, channels: int) -> Tensor | None:
    limit = draw(st.sampled_from([0, 100, 20000, 1000000, 2**31]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Tensor("bias", (channels,), "int32", None, random.integers(-limit, limit, channels).astype(np.int32)) if limit else None


@st.composite
def images(draw: st.DrawFn, taps: tuple[int, int], padding: str, largest: int) -> tuple[int, int]:
    least = taps if padding == "VALID" else (1, 1)
    return draw(st.integers(least[0], least[0] + largest)), draw(st.integers(least[1], least[1] + largest))


@st.composite
def conv_2d(draw: st.DrawFn) -> Graph:
    taps = draw(st.sampled_from([(1, 1), (1, 1), (3, 3), (3, 3), (3, 3), (5, 5), (1, 3), (4, 2), (10, 4)]))
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    image = draw(images(taps, padding, 12))
    depth = draw(st.integers(1, 20) | st.sampled_from([1, 3, 8, 16, 31, 32, 33, 48, 64]))
    if taps[0] * taps[1] * depth > 900:
        depth = 900 // (taps[0] * taps[1])
    if taps == (1, 1):
        depth = draw(st.integers(1, 40) | st.sampled_from([64, 127, 128, 144, 145, 160, 250, 300]))
    filters = draw(st.integers(1, 13) | st.sampled_from([16, 20, 32]))
    stride = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (2, 2), (1, 2), (3, 1)]))
    shape = (filters, *taps, depth)
    scales = draw(right_shifts(filters, taps[0] * taps[1] * depth))
    inputs = (
        Tensor("input", (draw(st.sampled_from([1, 1, 2])), *image, depth), "int8", Quantization((1.0,), (draw(layers.ZERO_POINTS),))),
        Tensor("filter", shape, "int8", Quantization(scales, (0,) * len(scales)), draw(layers.weights(shape))),
        draw(biases(filters)),
    )
    dilation = draw(st.sampled_from([(1, 1), (2, 3)])) if taps == (1, 1) else (1, 1)
    attributes = {"padding": padding, "stride": stride, "dilation": dilation, "activation": draw(layers.ACTIVATIONS)}
    return layers.with_output_shape("CONV_2D", inputs, Quantization((1.0,), (draw(layers.ZERO_POINTS),)), attributes)


@st.composite
def depthwise(draw: st.DrawFn) -> Graph:
    taps = draw(st.sampled_from([(3, 3), (3, 3), (3, 3), (2, 2), (1, 3), (3, 1), (1, 1), (2, 3)]))
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    image = draw(images(taps, padding, 13))
    depth = draw(st.integers(1, 20) | st.sampled_from([8, 16, 24, 31, 32, 33, 64, 100]))
    shape = (1, *taps, depth)
    scales = draw(right_shifts(depth, taps[0] * taps[1]))
    inputs = (
        Tensor("input", (draw(st.sampled_from([1, 1, 2])), *image, depth), "int8", Quantization((1.0,), (draw(layers.ZERO_POINTS),))),
        Tensor("filter", shape, "int8", Quantization(scales, (0,) * len(scales), 3), draw(layers.weights(shape))),
        draw(biases(depth)),
    )
    stride = draw(st.sampled_from([(1, 1), (2, 2)]))
    attributes = {"padding": padding, "stride": stride, "dilation": (1, 1), "activation": draw(layers.ACTIVATIONS)}
    attributes["depth_multiplier"] = 1
    return layers.with_output_shape("DEPTHWISE_CONV_2D", inputs, Quantization((1.0,), (draw(layers.ZERO_POINTS),)), attributes)


@st.composite
def fully_connected(draw: st.DrawFn) -> Graph:
    rows = draw(st.sampled_from([(1,), (1,), (2,), (3, 2), (7,), (9,)]))
    depth = draw(st.integers(1, 40) | st.sampled_from([64, 127, 128, 129, 144, 250, 640]))
    units = draw(st.integers(1, 17) | st.sampled_from([32, 33, 40]))
    scales = draw(right_shifts(units, depth))
    bias = draw(biases(units))
    if bias is not None:
        bias = replace(bias, quantization=Quantization((scales[0],), (0,)))
    inputs = (
        Tensor("input", (*rows, depth), "int8", Quantization((1.0,), (draw(layers.ZERO_POINTS),))),
        Tensor("filter", (units, depth), "int8", Quantization(scales, (0,) * len(scales)), draw(layers.weights((units, depth)))),
        bias,
    )
    attributes = {"activation": draw(layers.ACTIVATIONS), "weights_format": "DEFAULT", "keep_num_dims": len(rows) > 1}
    output = Tensor("output", (*rows, units), "int8", Quantization((1.0,), (draw(layers.ZERO_POINTS),)))
    return single_node_graph("FULLY_CONNECTED", inputs, (output,), attributes)


STRATEGIES = {
    "CONV_2D": conv_2d() | layers.conv_2d(),
    "DEPTHWISE_CONV_2D": depthwise() | layers.depthwise_conv_2d(),
    "FULLY_CONNECTED": fully_connected() | layers.fully_connected(),
}


def collected(op: str, kernel: Kernel, count: int) -> list[Case]:
    """`count` layers that the kernel takes. Every input is random or at an end of the range."""
    cases: list[Case] = []

    @settings(max_examples=4 * count, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(graph=STRATEGIES[op], kind=st.integers(0, 9))
    def collect(graph: Graph, kind: int) -> None:
        layer = next(graph.layers())
        if len(cases) == count or not kernel.applies(layer) or not layer.input(1).constant:
            return
        assert problems(layer) == []
        inputs = random_inputs(graph, len(cases))
        if kind < 2:
            inputs = [np.full(array.shape, (-128, 127)[kind], np.int8) for array in inputs]
        cases.append(Case(kernel, graph, inputs))

    collect()
    assert len(cases) > count // 4
    return cases


@pytest.fixture(scope="module")
def images_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Image]:
    made: dict[tuple[str, str], Image] = {}

    def image(kind: str, optimize: str) -> Image:
        if (kind, optimize) not in made:
            made[kind, optimize] = build(FUNCTIONS, tmp_path_factory.mktemp("mve"), kind, optimize)
        return made[kind, optimize]

    return image


BUILDS = [("gcc", "-O2"), ("gcc", "-Os"), ("zig", "-O2"), ("zig", "-Os")]


@pytest.mark.parametrize(("op", "function"), USES)
def test_exact_and_inside_buffers(op: str, function: str, images_of: Callable[[str, str], Image]) -> None:
    cases = collected(op, mve_kernel(op, function), 60)
    for kind, optimize in (("gcc", "-O2"), ("zig", "-Os")):
        run(images_of(kind, optimize), FUNCTIONS, cases)


@pytest.mark.slow
@pytest.mark.parametrize(("op", "function"), USES)
def test_exact_and_inside_buffers_many(op: str, function: str, images_of: Callable[[str, str], Image]) -> None:
    cases = collected(op, mve_kernel(op, function), 1500)
    assert len(cases) >= 1000
    for kind, optimize in BUILDS:
        run(images_of(kind, optimize), FUNCTIONS, cases)
