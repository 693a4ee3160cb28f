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


def kernel() -> Kernel:
    return next(k for k in kernels_for(CPUS["cortex-m4"])["DEPTHWISE_CONV_2D"] if k.function == FUNCTION)


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


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_kernel(FUNCTION, tmp_path_factory.mktemp("dsp"), optimize="-Os")


def check_drawn(image: Image, graph: Graph, number: int, start: bool) -> bool:
    """Alone in memory, then in one buffer with its input; whether the kernel takes the layer."""
    (layer,) = graph.layers()
    assert problems(layer) == []
    if not kernel().applies(layer):
        return False
    want, got, _ = call_kernel(image, kernel(), graph, number, start)
    assert_same_bytes(want, got, FUNCTION)
    check_lead(image, kernel(), graph, number, exact=False)
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


@pytest.mark.parametrize("value", [-128, 127])
@pytest.mark.parametrize("activation", ["RELU", "NONE"])
def test_largest_sums(image: Image, value: int, activation: str) -> None:
    """Weights and inputs at their ends, so that sums and halfwords are as large as they get."""
    for weight in (-128, 127):
        graph = depthwise(
            (4, 5, 8), zero_points=(127 if value < 0 else -128, -128), shifts=(3.0, 4.0), activation=activation
        )
        graph = layers.with_tensor(graph, 1, data=np.full(graph.tensors[1].shape, weight, np.int8))
        data = np.full(graph.input_tensors[0].shape, value, np.int8)
        got, _ = call_with(image, kernel(), graph, data)
        assert_same_bytes(reference.outputs(graph, [data])[0].reshape(-1), got, activation)


@pytest.mark.parametrize(
    ("cpu_name", "kind", "optimize"),
    [("cortex-m4", "gcc", "-O2"), ("cortex-m7", "zig", "-Os"), ("cortex-m33", "gcc", "-Os")],
)
def test_exact_in_models(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    check_emulated(sample(any_layers(), 30, 3), cpu_name, kind, optimize, tmp_path, FUNCTION)


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


def test_scratch_and_records() -> None:
    def bound(graph: Graph) -> tuple[int, int]:
        binding = kernel().bind(next(graph.layers()))
        return binding.scratch, binding.constants[0].values.nbytes

    assert bound(depthwise((48, 48, 16), stride=(2, 2))) == (36 + 16, 30 * 16)
    assert bound(depthwise((9, 9, 16), padding="VALID")) == (0, 30 * 16)
    assert bound(depthwise((9, 9, 16), (5, 5))) == (100 + 16, (4 + 50 + 8) * 16)
    assert bound(depthwise((9, 9, 5))) == (36 + 40 + 5, 30 * 8)


def test_needs_one_output_channel_per_input_channel() -> None:
    assert not kernel().applies(next(depthwise((8, 8, 4), multiplier=2).layers()))
