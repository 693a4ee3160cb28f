# SPDX-License-Identifier: Apache-2.0
"""The Helium kernels of ADD, AVERAGE_POOL_2D and MAX_POOL_2D: exact, inside their buffers, and as fast as they say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import layers
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mve_harness import Case, build, loose, mve_kernel, run, shared
from oracle import random_inputs
from tinyc.graph import Graph, Quantization, Tensor, single_node_graph
from tinyc.ops import problems
from tinyc.ops._pool import case as pool_case
from tinyc.targets import Kernel
from tinyc.toolchains import Image

ADD, AVERAGE, MAX = "tinyc_add_s8_mve", "tinyc_average_pool_2d_s8_mve", "tinyc_max_pool_2d_s8_mve"
FUNCTIONS = (ADD, AVERAGE, MAX)
USES = (("ADD", ADD), ("AVERAGE_POOL_2D", AVERAGE), ("MAX_POOL_2D", MAX))


@st.composite
def add(draw: st.DrawFn) -> Graph:
    shape = draw(st.sampled_from([(1,), (7,), (8,), (9,), (1, 3, 5, 3), (2, 4, 4, 16), (1, 1, 1, 100)]))
    first = 10.0 ** draw(st.floats(-3.0, 1.0))
    # Equal scales, halves (ties) and anything up to where the smaller input vanishes.
    second = first * draw(
        st.sampled_from([1.0, 0.5, 2.0, 0.25]) | st.floats(-6.0, 6.0).map(lambda e: 2.0**e) | st.just(1e-8)
    )
    output = max(first, second) * draw(st.sampled_from([1.0, 2.0, 0.5]) | st.floats(-3.0, 3.0).map(lambda e: 2.0**e))
    tensors = tuple(
        Tensor(name, shape, "int8", Quantization((layers.scale(scale),), (draw(layers.ZERO_POINTS),)))
        for name, scale in (("input1", first), ("input2", second), ("output", output))
    )
    return single_node_graph("ADD", tensors[:2], tensors[2:], {"activation": draw(layers.ACTIVATIONS)})


def pools(op: str) -> st.SearchStrategy[Graph]:
    @st.composite
    def pool(draw: st.DrawFn) -> Graph:
        window = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)) | st.just((16, 16)) | st.just((12, 2)))
        padding = draw(st.sampled_from(["SAME", "VALID"]))
        least = window if padding == "VALID" else (1, 1)
        image = [draw(st.integers(size, size + 7)) for size in least]
        depth = draw(st.integers(1, 40) | st.sampled_from([16, 32, 64]))
        stride = draw(st.sampled_from([(1, 1), (2, 2), (1, 3), (4, 1)]))
        quantization = Quantization((layers.scale(0.06),), (draw(layers.ZERO_POINTS),))
        shape = (draw(st.sampled_from([1, 1, 2])), *image, depth)
        return pool_case(op, shape, window, stride, padding, draw(layers.ACTIVATIONS), quantization)

    return pool()


STRATEGIES = {"ADD": add(), "AVERAGE_POOL_2D": pools("AVERAGE_POOL_2D"), "MAX_POOL_2D": pools("MAX_POOL_2D")}


class Enough(Exception):
    """Ends a collection of layers."""


def collected(op: str, kernel: Kernel, count: int) -> list[Case]:
    """`count` layers that the kernel takes. Every input is random or at an end of the range."""
    cases: list[Case] = []

    @settings(max_examples=8 * count, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(graph=STRATEGIES[op], kind=st.integers(0, 9))
    def collect(graph: Graph, kind: int) -> None:
        layer = next(graph.layers())
        if len(cases) == count:
            raise Enough
        if problems(layer) or not kernel.applies(layer):
            return
        inputs = random_inputs(graph, len(cases))
        if kind < 4:
            inputs = [np.full(array.shape, (-128, 127)[kind >> i & 1], np.int8) for i, array in enumerate(inputs)]
        cases.append(Case(kernel, graph, inputs, misaligned=len(cases) % 4))

    with contextlib.suppress(Enough):
        collect()
    assert len(cases) > count // 2
    return cases


@pytest.fixture(scope="module")
def images_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Image]:
    made: dict[tuple[str, str], Image] = {}

    def image(kind: str, optimize: str) -> Image:
        if (kind, optimize) not in made:
            made[kind, optimize] = build(FUNCTIONS, tmp_path_factory.mktemp("mve"), kind, optimize)
        return made[kind, optimize]

    return image


@pytest.mark.parametrize(("op", "function"), USES)
def test_exact_and_inside_buffers(op: str, function: str, images_of: Callable[[str, str], Image]) -> None:
    cases = collected(op, mve_kernel(op, function), 60)
    for kind, optimize in (("gcc", "-O2"), ("zig", "-Os")):
        run(images_of(kind, optimize), FUNCTIONS, cases)


@pytest.mark.parametrize(("op", "function"), USES)
def test_over_the_input(op: str, function: str, images_of: Callable[[str, str], Image]) -> None:
    """In one buffer at the lead, and some way before it; one byte later is wrong."""
    cases = collected(op, mve_kernel(op, function), 60)
    for kind, optimize, more in (("gcc", "-O2", 0), ("zig", "-Os", 0), ("gcc", "-O2", 1), ("gcc", "-O2", 37)):
        run(images_of(kind, optimize), FUNCTIONS, shared(cases, more))
    assert len(shared(cases)) == len(cases)
    assert 3 * len(loose(images_of("gcc", "-O2"), FUNCTIONS, cases)) <= len(cases)


@pytest.mark.slow
@pytest.mark.parametrize(("op", "function"), USES)
def test_exact_and_inside_buffers_many(op: str, function: str, images_of: Callable[[str, str], Image]) -> None:
    cases = collected(op, mve_kernel(op, function), 1000)
    assert len(cases) == 1000
    for kind, optimize in (("gcc", "-O2"), ("gcc", "-Os"), ("zig", "-O2"), ("zig", "-Os")):
        run(images_of(kind, optimize), FUNCTIONS, cases + shared(cases))


def test_every_pair_of_inputs(images_of: Callable[[str, str], Image]) -> None:
    """ADD of all 65,536 pairs of values, with scales that make ties."""
    pairs = np.arange(1 << 16, dtype=np.uint32)
    inputs = [(pairs >> 8).astype(np.uint8).view(np.int8), (pairs & 255).astype(np.uint8).view(np.int8)]
    cases = []
    for scales, zero_points in (
        ((0.5, 0.25, 0.5), (3, -7, 1)),
        ((0.1, 0.1, 0.2), (-128, 127, 0)),
        ((0.02, 0.7, 0.3), (0, 5, -9)),
    ):
        for half in (slice(0, 1 << 15), slice(1 << 15, 1 << 16)):
            data = [array[half] for array in inputs]
            tensors = tuple(
                Tensor(name, (1 << 15,), "int8", Quantization((layers.scale(s),), (z,)))
                for name, s, z in zip(("input1", "input2", "output"), scales, zero_points, strict=True)
            )
            graph = single_node_graph("ADD", tensors[:2], tensors[2:], {"activation": "NONE"})
            cases.append(Case(mve_kernel("ADD", ADD), graph, data))
    run(images_of("gcc", "-O2"), FUNCTIONS, cases)


def addition(size: int, act: str = "NONE") -> Graph:
    tensors = tuple(
        Tensor(name, (size,), "int8", Quantization((layers.scale(s),), (z,)))
        for name, s, z in (("input1", 0.1, -128), ("input2", 0.07, 3), ("output", 0.13, -128 if act == "RELU" else 7))
    )
    return single_node_graph("ADD", tensors[:2], tensors[2:], {"activation": act})


#: Layers with the most instructions per output that are acceptable.
SPEED: list[tuple[str, Graph, float]] = [
    (ADD, addition(16384), 3.6),
    (ADD, addition(8192, "RELU"), 3.6),
    (ADD, addition(4096), 3.6),
    (ADD, addition(1001), 4.0),
    (ADD, addition(333, "RELU6"), 5.3),
    (AVERAGE, pool_case("AVERAGE_POOL_2D", (1, 25, 5, 64), (25, 5), (25, 5), "VALID"), 82.0),
    (AVERAGE, pool_case("AVERAGE_POOL_2D", (1, 8, 8, 64), (8, 8), (8, 8), "VALID"), 44.0),
    (AVERAGE, pool_case("AVERAGE_POOL_2D", (1, 7, 7, 256), (7, 7), (7, 7), "VALID"), 33.0),
    (AVERAGE, pool_case("AVERAGE_POOL_2D", (1, 16, 16, 32), (2, 2), (2, 2), "VALID"), 10.0),
    (AVERAGE, pool_case("AVERAGE_POOL_2D", (1, 9, 9, 20), (3, 3), (1, 1), "SAME"), 17.0),
    (MAX, pool_case("MAX_POOL_2D", (1, 24, 24, 16), (2, 2), (2, 2), "VALID"), 7.0),
    (MAX, pool_case("MAX_POOL_2D", (1, 16, 16, 64), (2, 2), (2, 2), "VALID"), 5.0),
    (MAX, pool_case("MAX_POOL_2D", (1, 9, 9, 20), (3, 3), (2, 2), "SAME"), 12.0),
    (MAX, pool_case("MAX_POOL_2D", (1, 12, 12, 8), (2, 2), (2, 2), "VALID"), 13.0),
]


def test_instructions_as_predicted(images_of: Callable[[str, str], Image]) -> None:
    cases = [
        Case(mve_kernel(graph.nodes[0].op, function), graph, random_inputs(graph, 0)) for function, graph, _ in SPEED
    ]
    counted = run(images_of("gcc", "-O2"), FUNCTIONS, cases)
    if not counted:
        pytest.skip("QEMU cannot count here: no native compiler for its plugin")
    wrong = []
    for (function, graph, most), case, instructions in zip(SPEED, cases, counted, strict=True):
        layer = next(graph.layers())
        predicted, per_output = case.kernel.cost(layer), instructions / layer.output.elements
        if not 0.9 <= predicted / instructions <= 1.1 or per_output > most:
            shape = f"{function} {layer.input(0).shape} -> {layer.output.shape}"
            wrong.append(
                f"{shape}: {instructions}, predicted {predicted / instructions:.2f} of that, {per_output:.2f} per output"
            )
    assert not wrong, "\n".join(wrong)
