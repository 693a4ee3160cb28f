# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions without planes for the DSP extension: exact, inside their buffers, over their input, as fast as predicted."""

from __future__ import annotations

from pathlib import Path

import layers
import numpy as np
import pytest
from dsp_harness import build_kernel, call_kernel, call_with, check_emulated, check_lead, need_compiler, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import assert_same_bytes
from test_depthwise_dsp import build, depthwise, depthwise_layers
from tinyc import reference
from tinyc.graph import Graph
from tinyc.ops import all_ops, problems
from tinyc.targets import Kernel, kernels_for
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image

FUNCTION = "tinyc_depthwise_direct_s8_dsp"
PAIRS = "tinyc_depthwise_direct_pairs_relu_s8_dsp"


def kernel(function: str = FUNCTION) -> Kernel:
    return next(k for k in kernels_for(CPUS["cortex-m4"])["DEPTHWISE_CONV_2D"] if k.function == function)


@st.composite
def any_layers(draw: st.DrawFn) -> Graph:
    """3x3 or any window, dilated or not."""
    if draw(st.booleans()):
        return draw(depthwise_layers(draw(st.sampled_from(["tinyc_depthwise_3x3_relu_s8_dsp", None]))))
    return depthwise(
        (draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 13))),
        draw(st.sampled_from([(3, 3), (3, 3), (2, 3), (5, 5), (1, 1), (1, 4)])),
        (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        batches=draw(st.integers(1, 2)),
        dilation=draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (3, 2)])),
        activation=draw(layers.ACTIVATIONS),
        zero_points=(draw(layers.ZERO_POINTS), draw(layers.ZERO_POINTS)),
        number=draw(st.integers(0, 1000)),
    )


@st.composite
def paired_layers(draw: st.DrawFn) -> Graph:
    """3x3 with a horizontal stride of 1 and a ReLU."""
    zero_point = draw(layers.ZERO_POINTS)
    return depthwise(
        (draw(st.integers(1, 9)), draw(st.integers(1, 12)), 4 * draw(st.integers(1, 5))),
        (3, 3),
        (draw(st.integers(1, 3)), 1),
        batches=draw(st.integers(1, 2)),
        padding=draw(st.sampled_from(["SAME", "SAME", "VALID"])),
        dilation=(draw(st.sampled_from([1, 1, 2, 3])), 1),
        activation=draw(st.sampled_from(["RELU", "RELU6"])),
        zero_points=(draw(layers.ZERO_POINTS), zero_point),
        number=draw(st.integers(0, 1000)),
    )


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_kernel(PAIRS, tmp_path_factory.mktemp("dsp"), optimize="-Os")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_kernel(FUNCTION, tmp_path_factory.mktemp("dsp"), optimize="-Os")


def check_drawn(image: Image, graph: Graph, number: int, start: bool, function: str = FUNCTION) -> bool:
    """Alone in memory, then in one buffer with its input; whether the kernel takes the layer."""
    (layer,) = graph.layers()
    if problems(layer) or not kernel(function).applies(layer):
        return False
    want, got, _ = call_kernel(image, kernel(function), graph, number, start)
    assert_same_bytes(want, got, function)
    check_lead(image, kernel(function), graph, number, exact=False)
    return True


def test_exact_inside_its_buffers_and_over_its_input(image: Image) -> None:
    taken = []

    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(graph=any_layers(), start=st.booleans())
    def check(graph: Graph, start: bool) -> None:
        taken.append(check_drawn(image, graph, 0, start))

    check()
    assert sum(taken) > 40


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, derandomize=True)
@given(graph=any_layers(), start=st.booleans())
def test_exact_inside_its_buffers_and_over_its_input_many(image: Image, graph: Graph, start: bool) -> None:
    check_drawn(image, graph, 1, start)


def test_pairs_exact_inside_their_buffers_and_over_their_input(pairs: Image) -> None:
    taken = []

    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(graph=paired_layers(), start=st.booleans())
    def check(graph: Graph, start: bool) -> None:
        taken.append(check_drawn(pairs, graph, 0, start, PAIRS))

    check()
    assert sum(taken) > 40


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, derandomize=True)
@given(graph=paired_layers(), start=st.booleans())
def test_pairs_exact_inside_their_buffers_and_over_their_input_many(pairs: Image, graph: Graph, start: bool) -> None:
    check_drawn(pairs, graph, 1, start, PAIRS)


@pytest.mark.parametrize(
    "graph",
    [
        depthwise((12, 11, 8)),
        depthwise((12, 10, 4)),
        depthwise((9, 9, 12), padding="VALID"),
        depthwise((7, 9, 12), batches=2),
        depthwise((9, 9, 8), stride=(2, 1)),
        depthwise((9, 8, 8), dilation=(2, 1)),
    ],
)
def test_lead_of_pairs_is_exact(pairs: Image, graph: Graph) -> None:
    check_lead(pairs, kernel(PAIRS), graph)


@pytest.mark.parametrize(
    "graph",
    [
        depthwise((12, 11, 8)),
        depthwise((9, 7, 6), activation="NONE"),
        depthwise((12, 12, 4), (5, 5)),
        depthwise((7, 9, 12), batches=2),
        depthwise((9, 9, 4), (3, 3), dilation=(2, 2)),
        depthwise((12, 3, 4), (7, 2), (1, 1)),
    ],
)
def test_lead_is_exact(image: Image, graph: Graph) -> None:
    check_lead(image, kernel(), graph)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kind", "optimize"), [("gcc", "-O2"), ("zig", "-O2"), ("zig", "-Os")])
def test_every_compiler(kind: str, optimize: str, stride: int, tmp_path: Path) -> None:
    found = build(FUNCTION, kind, optimize, tmp_path)
    for size in ((5, 29, 8), (6, 5, 7), (4, 5, 3)):
        for activation, window in (("RELU", (3, 3)), ("NONE", (3, 3)), ("RELU6", (2, 5))):
            graph = depthwise(size, window, (stride, stride), activation=activation, zero_points=(3, -120))
            want, got, _ = call_kernel(found, kernel(), graph, 0, False)
            assert_same_bytes(want, got, f"{size} {activation} {window}")
            check_lead(found, kernel(), graph, exact=False)


@pytest.mark.parametrize(("kind", "optimize"), [("gcc", "-O2"), ("zig", "-O2"), ("zig", "-Os")])
def test_pairs_with_every_compiler(kind: str, optimize: str, tmp_path: Path) -> None:
    found = build(PAIRS, kind, optimize, tmp_path)
    for size in ((5, 9, 8), (6, 4, 12), (1, 1, 4), (25, 5, 16)):
        for activation in ("RELU", "RELU6"):
            graph = depthwise(size, activation=activation, zero_points=(3, -120))
            want, got, _ = call_kernel(found, kernel(PAIRS), graph, 0, False)
            assert_same_bytes(want, got, f"{size} {activation}")
            check_lead(found, kernel(PAIRS), graph, exact=False)


@pytest.mark.parametrize("value", [-128, 127])
@pytest.mark.parametrize("activation", ["RELU", "NONE", "pairs"])
def test_largest_sums(image: Image, pairs: Image, value: int, activation: str) -> None:
    """Weights and inputs at their ends, so that sums and halfwords are as large as they get."""
    function, found = (PAIRS, pairs) if activation == "pairs" else (FUNCTION, image)
    activation = activation.replace("pairs", "RELU")
    for weight in (-128, 127):
        graph = depthwise(
            (4, 5, 8), zero_points=(127 if value < 0 else -128, -128), shifts=(3.0, 4.0), activation=activation
        )
        graph = layers.with_tensor(graph, 1, data=np.full(graph.tensors[1].shape, weight, np.int8))
        data = np.full(graph.input_tensors[0].shape, value, np.int8)
        got, _ = call_with(found, kernel(function), graph, data)
        assert_same_bytes(reference.outputs(graph, [data])[0].reshape(-1), got, activation)


@pytest.mark.parametrize(
    ("cpu_name", "kind", "optimize"),
    [("cortex-m4", "gcc", "-O2"), ("cortex-m7", "zig", "-Os"), ("cortex-m33", "gcc", "-Os")],
)
@pytest.mark.parametrize("function", [FUNCTION, PAIRS])
def test_exact_in_models(function: str, cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    drawn = any_layers() if function == FUNCTION else paired_layers().filter(lambda g: not problems(next(g.layers())))
    check_emulated(sample(drawn, 30, 3), cpu_name, kind, optimize, tmp_path, function)


@pytest.mark.parametrize(
    ("graph", "most"),
    [
        (depthwise((48, 48, 16), stride=(2, 2)), 2.6),
        (depthwise((25, 5, 64)), 2.8),
        (depthwise((6, 6, 128)), 2.75),
        (depthwise((3, 3, 256)), 2.95),
        (depthwise((12, 12, 64), stride=(2, 2)), 2.7),
        (depthwise((12, 12, 32), activation="NONE", zero_points=(0, 4)), 3.1),
        (depthwise((9, 9, 12), padding="VALID", activation="RELU6"), 2.85),
        (depthwise((12, 12, 40), (5, 5)), 2.75),
        (depthwise((20, 1, 64), (9, 1)), 3.5),
        (depthwise((9, 9, 12), (2, 4), dilation=(3, 2)), 5.2),
        (depthwise((15, 15, 12), (3, 1)), 5.4),
        (depthwise((9, 9, 7)), 12.5),
        (depthwise((9, 9, 3)), 24.5),
    ],
)
def test_speed(tmp_path_factory: pytest.TempPathFactory, graph: Graph, most: float) -> None:
    """Instructions per multiply-accumulate, and a cost model within 10 % of them."""
    image = build_kernel(FUNCTION, tmp_path_factory.mktemp("dsp"))
    (layer,) = graph.layers()
    want, got, instructions = call_kernel(image, kernel(), graph, 0, False)
    assert_same_bytes(want, got, FUNCTION)
    assert instructions / all_ops()[layer.op].macs(layer) < most
    assert 0.9 < kernel().cost(layer) / instructions < 1.1


@pytest.mark.parametrize(
    ("graph", "most"),
    [
        (depthwise((25, 5, 64)), 2.19),
        (depthwise((3, 5, 64)), 2.2),
        (depthwise((24, 24, 32)), 2.0),
        (depthwise((6, 6, 128)), 2.0),
        (depthwise((3, 3, 256)), 2.2),
        (depthwise((9, 9, 12), padding="VALID", activation="RELU6"), 2.7),
        (depthwise((9, 9, 12), stride=(2, 1)), 2.55),
        (depthwise((5, 4, 8), batches=2, dilation=(2, 1)), 3.5),
    ],
)
def test_speed_of_pairs(tmp_path_factory: pytest.TempPathFactory, graph: Graph, most: float) -> None:
    """Instructions per multiply-accumulate, and a cost model within 5 % of them."""
    image = build_kernel(PAIRS, tmp_path_factory.mktemp("dsp"))
    (layer,) = graph.layers()
    want, got, instructions = call_kernel(image, kernel(PAIRS), graph, 0, False)
    assert_same_bytes(want, got, PAIRS)
    assert instructions / all_ops()[layer.op].macs(layer) < most
    assert 0.95 < kernel(PAIRS).cost(layer) / instructions < 1.05


def test_scratch_and_records() -> None:
    def bound(graph: Graph, function: str = FUNCTION) -> tuple[int, int]:
        binding = kernel(function).bind(next(graph.layers()))
        return binding.scratch, binding.constants[0].values.nbytes

    assert bound(depthwise((48, 48, 16), stride=(2, 2))) == (36 + 16, 30 * 16)
    assert bound(depthwise((9, 9, 16), padding="VALID")) == (0, 30 * 16)
    assert bound(depthwise((9, 9, 16), (5, 5))) == (100 + 16, (4 + 50 + 8) * 16)
    assert bound(depthwise((9, 9, 5))) == (36 + 40 + 5, 30 * 8)
    assert bound(depthwise((9, 9, 16)), PAIRS) == (16, 32 * 16)
    assert bound(depthwise((9, 9, 16), padding="VALID"), PAIRS) == (0, 32 * 16)


def test_needs_one_output_channel_per_input_channel() -> None:
    assert not kernel().applies(next(depthwise((8, 8, 4), multiplier=2).layers()))
    assert not kernel(PAIRS).applies(next(depthwise((8, 8, 4), multiplier=2).layers()))


@pytest.mark.parametrize(
    "graph",
    [
        depthwise((8, 8, 6)),
        depthwise((8, 8, 8), (5, 5)),
        depthwise((8, 8, 8), stride=(1, 2)),
        depthwise((8, 8, 8), dilation=(1, 2)),
        depthwise((8, 8, 8), activation="NONE", zero_points=(0, 4)),
        depthwise((8, 8, 8), shifts=(1.0, 3.0)),
    ],
)
def test_pairs_leave_others_to_other_kernels(graph: Graph) -> None:
    assert kernel(FUNCTION).applies(next(graph.layers()))
    assert not kernel(PAIRS).applies(next(graph.layers()))
