# SPDX-License-Identifier: Apache-2.0
"""The kernels for RV32 and Xtensa: exact, inside their buffers, as fast as their costs say, and chosen where they apply."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import guarded
import layers
import numpy as np
import pytest
from dsp_harness import chosen, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from scalar_layers import layer, usual
from tinyc.graph import Graph, Quantization, Tensor
from tinyc.ops import problems
from tinyc.ops._fixed_point import multiply_by_quantized_multiplier
from tinyc.resources import resource
from tinyc.targets import Kernel, kernels_for
from tinyc.targets._filters import Filters, filters
from tinyc.targets._rounding import rounding
from tinyc.targets.cpus import CPUS
from tinyc.targets.rv32 import _triples
from tinyc.targets.xtensa import _mac16

#: Core → the folder of its kernels.
CORES = {"rv32imc": "rv32", "xtensa-lx6": "xtensa"}
BUILDS = [
    ("rv32imc", "gcc", "-O2"),
    ("rv32imc", "gcc", "-Os"),
    ("rv32imc", "zig", "-O2"),
    ("rv32imc", "zig", "-Os"),
    ("xtensa-lx6", "clang", "-O2"),
    ("xtensa-lx6", "clang", "-Os"),
]


def cases() -> Iterator[tuple[str, str, str]]:
    """(core, operator, function) of every kernel."""
    for cpu_name, isa in CORES.items():
        for op, kernels in kernels_for(CPUS[cpu_name]).items():
            yield from ((cpu_name, op, k.function) for k in kernels if k.isa == isa)


CASES = sorted(set(cases()))


def taken(kernel: Kernel, op: str, count: int, number: int) -> list[Graph]:
    """Of `count` drawn layers those that the kernel takes."""
    drawn = sample(layer(op), count, number)
    assert all(problems(next(graph.layers())) == [] for graph in drawn)
    found = [graph for graph in drawn if kernel.applies(next(graph.layers()))]
    return found if len(found) > count // 6 else found + usual_layers(kernel, op)


def usual_layers(kernel: Kernel, op: str, least: int = 4) -> list[Graph]:
    """Those of SHAPES and LARGE that the kernel takes: some bands are for larger images than those that are drawn."""
    kind = "planes" if "planes" in kernel.function else op
    graphs = [
        usual(op, image, shape, zero_point=3 if "activation" in more else -128, **more)
        for image, shape, more, *_ in (*SHAPES[kind], *LARGE.get(kind, ()))
    ]
    found = [graph for graph in graphs if kernel.applies(next(graph.layers()))]
    assert len(found) >= least
    return found


def test_every_kernel_is_tested() -> None:
    assert {op for _, op, _ in CASES} == {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    assert len({function for _, _, function in CASES}) == 8


# Exactness


@pytest.mark.parametrize(("cpu_name", "op", "function"), CASES)
def test_exact_and_inside_buffers(cpu_name: str, op: str, function: str, tmp_path: Path) -> None:
    image = guarded.build(function, cpu_name, "auto", "-O2", tmp_path)
    for kernel in guarded.variants(cpu_name, op, function):
        guarded.check(image, kernel, taken(kernel, op, 40, 1), cpu_name)


@pytest.mark.parametrize(("cpu_name", "op", "function"), CASES)
def test_over_the_input(cpu_name: str, op: str, function: str, tmp_path: Path) -> None:
    """In one buffer at the lead, and some way before it; one byte later is wrong."""
    image = guarded.build(function, cpu_name, "auto", "-O2", tmp_path)
    for kernel in guarded.variants(cpu_name, op, function):
        graphs = taken(kernel, op, 40, 4)
        for more in (0, 1, 50):
            guarded.check_shared(image, kernel, graphs, cpu_name, more)
        loose = guarded.loose(image, kernel, usual_layers(kernel, op), cpu_name)
        assert [(g.tensors[0].shape, g.tensors[1].shape) for g in loose] == []


DEPTHWISE = [case for case in CASES if case[1] == "DEPTHWISE_CONV_2D"]


@pytest.mark.parametrize(("cpu_name", "op", "function"), DEPTHWISE)
def test_in_place(cpu_name: str, op: str, function: str, tmp_path: Path) -> None:
    """Layers of one size, at the same address, and with bands of some lines and of all."""
    image = guarded.build(function, cpu_name, "auto", "-O2", tmp_path)
    found = []
    for kernel in guarded.variants(cpu_name, op, function):
        drawn = [graph for graph in sample(layer(op), 300, 6) if kernel.applies(next(graph.layers()))]
        graphs = [*drawn, *usual_layers(kernel, op, least=0)]
        found += guarded.in_place(image, kernel, graphs, cpu_name)
    assert (all(found), len(found) > 25) == (True, True)


@pytest.mark.parametrize(("cpu_name", "op", "function"), DEPTHWISE)
def test_in_place_is_for_whole_channels_and_the_same_address_only(
    cpu_name: str, op: str, function: str, tmp_path: Path
) -> None:
    """A next band of lines would read what is replaced already; parts of a pixel away, channels that are not read yet are replaced."""
    image = guarded.build(function, cpu_name, "auto", "-O2", tmp_path)
    size = (5, 5) if "planes" in function else (3, 3)
    graph = usual(op, (1, 45, 41, 20), (1, *size, 20), zero_point=3, activation="NONE")
    data = np.random.default_rng(0).choice(np.array([-128, 127], np.int8), graph.tensors[0].shape)
    declared = set()
    for kernel in guarded.variants(cpu_name, op, function):
        if not kernel.applies(next(graph.layers())):
            continue
        in_place = kernel.bind(next(graph.layers())).in_place == (0,)
        ahead = [0, 1, 2, 4, 24] if in_place else [0]
        right = [good for *_, good in guarded.at(image, kernel, [(graph, data, more) for more in ahead], cpu_name)]
        assert right == [in_place, False, False, False, False][: len(ahead)]
        declared.add(in_place)
    assert declared == {False, True}


@pytest.mark.parametrize(
    ("rows", "depth", "units"), [(1, 640, 128), (3, 701, 301), (2, 128, 640), (1, 2000, 9), (2, 5, 500)]
)
def test_rows_in_parts(rows: int, depth: int, units: int, tmp_path: Path) -> None:
    """Xtensa cuts rows and units so that they take at most 1,024 bytes of scratch."""
    function = "tinyc_fully_connected_s8_xtensa"
    kernel = guarded.kernel("xtensa-lx6", "FULLY_CONNECTED", function)
    image = guarded.build(function, "xtensa-lx6", "auto", "-O2", tmp_path)
    graph = usual("FULLY_CONNECTED", (rows, depth), (units, depth))
    assert kernel.bind(next(graph.layers())).scratch <= 1024
    guarded.check(image, kernel, [graph], "xtensa-lx6")
    guarded.check_shared(image, kernel, [graph], "xtensa-lx6")
    assert guarded.loose(image, kernel, [graph], "xtensa-lx6") == []


@pytest.mark.slow
@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_exact_and_inside_buffers_many(cpu_name: str, kind: str, optimize: str, op: str, tmp_path: Path) -> None:
    """Over 1,000 layers and inputs per kernel in the first build of its core, a third of the layers in the others."""
    first = next(build for build in BUILDS if build[0] == cpu_name) == (cpu_name, kind, optimize)
    for function in [function for cpu, its_op, function in CASES if (cpu, its_op) == (cpu_name, op)]:
        image = guarded.build(function, cpu_name, kind, optimize, tmp_path / function)
        for kernel in guarded.variants(cpu_name, op, function):
            graphs = taken(kernel, op, 1200 if first else 400, 2 if first else 3)
            guarded.check(image, kernel, graphs, cpu_name, seeds=(0, 1, 2) if first else (0,))
            guarded.check_shared(image, kernel, graphs, cpu_name)
            guarded.check_shared(image, kernel, graphs, cpu_name, 3)
            assert all(guarded.in_place(image, kernel, graphs, cpu_name))


def extreme(channels: int, depth: int) -> Graph:
    """A 1x1 convolution with all weights and inputs at their ends, of sums up to 16,256 * depth."""
    graph = usual("CONV_2D", (1, 1, 7, depth), (channels, 1, 1, depth), zero_point=0, activation="NONE")
    data = np.full(graph.tensors[1].shape, 127, np.int8)
    data[1::2] = -127
    data[2::3] = -128
    scale = layers.scale(1 / (127 * depth))
    graph = layers.with_tensor(graph, 1, data=data, quantization=Quantization((scale,), (0,)))
    return layers.with_tensor(graph, 0, quantization=Quantization((1.0,), (0,)))


@pytest.mark.parametrize("cpu_name", sorted(CORES))
@pytest.mark.parametrize("depth", [63, 64, 65, 300])
def test_largest_sums(cpu_name: str, depth: int, tmp_path: Path) -> None:
    """64 * 128 * 128 is the first sum that does not fit into 21 bits: RV32 then cuts the depth in two."""
    function = f"tinyc_conv_2d_s8_{CORES[cpu_name]}"
    kernel = guarded.kernel(cpu_name, "CONV_2D", function)
    image = guarded.build(function, cpu_name, "auto", "-O2", tmp_path)
    graph = extreme(6, depth)
    plan = _triples.plan(next(graph.layers()))
    assert plan is not None
    assert plan.segments == -(-depth // 63)
    guarded.check(image, kernel, [graph], cpu_name)
    for value in (-128, 127):
        guarded.check_input(image, kernel, graph, cpu_name, np.full(graph.input_tensors[0].shape, value, np.int8))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_rounding_is_exact(data: st.DataObject) -> None:
    """The constants against TFLite Micro's double rounding, at the ends of the range, around zero and at random sums."""
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count = 4
    bound = int(2.0 ** data.draw(st.floats(1.0, 30.0)))
    least = -random.integers(1, bound + 1, count)
    most = random.integers(1, bound + 1, count)
    multiplier = random.choice([1 << 30, (1 << 31) - 1, *random.integers(1 << 30, 1 << 31, 4)], count)
    zero_point = data.draw(layers.ZERO_POINTS)
    low, high = data.draw(
        st.sampled_from([(-128, 127), (zero_point, 127), (max(zero_point - 1, -128), min(zero_point + 1, 127))])
    )
    shift = -random.integers(-2 if low == zero_point else 1, 18, count)
    f = Filters(
        np.zeros((count, 1), np.int64), np.zeros(count, np.int64), least, most, multiplier, shift, np.arange(count), (), count,
        zero_point, low, high,
    )  # fmt: skip
    found = rounding(f)
    if found is None:
        return
    sums = np.concatenate(
        [
            np.stack([least, most]),
            random.integers(least, most + 1, (500, count)),
            np.clip(np.arange(-300, 300)[:, None], least, most),
        ]
    )
    scaled = multiply_by_quantized_multiplier(sums, multiplier, shift) + zero_point
    v = sums << found.sum_shift
    assert (np.abs(v) <= 2**31).all()
    total = (v * found.multiplier >> 32) + np.where(v < 0, found.negative, 0) + found.rounding
    got = total >> found.shift
    if found.negative == 0:
        got = np.where(v < 0, low, got)
    else:
        assert (np.abs(total) <= 2**31).all()
    assert (np.clip(got, low, high) == np.clip(scaled, low, high)).all()


def test_rounding_is_found_for_trained_layers() -> None:
    f = filters(next(usual("CONV_2D", (1, 5, 5, 64), (16, 1, 1, 64)).layers()))
    assert f is not None
    found = rounding(f)
    assert found is not None
    assert (found.sum_shift, found.negative) == (11, 0)


# Speed

SHAPES: dict[str, list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any], float, float]]] = {
    # input, filter, attributes, most instructions per multiply-accumulate on RV32 and on Xtensa
    "CONV_2D": [
        ((1, 6, 8, 64), (64, 1, 1, 64), {}, 2.0, 1.8),
        ((1, 6, 6, 128), (128, 1, 1, 128), {}, 1.9, 1.6),
        ((1, 16, 16, 8), (16, 1, 1, 8), {}, 4.0, 6.3),
        ((1, 12, 12, 16), (32, 1, 1, 16), {}, 2.8, 3.5),
        ((1, 6, 8, 32), (64, 1, 1, 32), {"stride": (2, 2)}, 2.5, 2.6),
        ((1, 16, 16, 16), (16, 3, 3, 16), {}, 2.3, 1.8),
        ((1, 8, 8, 32), (32, 3, 3, 32), {}, 2.2, 1.8),
        ((1, 4, 4, 64), (64, 3, 3, 64), {}, 2.2, 2.1),
        ((1, 49, 10, 1), (64, 10, 4, 1), {"stride": (2, 2)}, 2.5, 2.5),
        ((1, 24, 24, 3), (8, 3, 3, 3), {"stride": (2, 2)}, 3.6, 4.3),
        ((1, 7, 7, 5), (9, 5, 5, 5), {}, 4.0, 3.2),
        ((1, 20, 20, 3), (5, 3, 3, 3), {"dilation": (2, 2)}, 8.2, 7.8),
        ((1, 10, 1, 104), (40, 3, 1, 104), {}, 2.4, 1.9),
        ((1, 3, 3, 7), (3, 3, 3, 7), {"activation": "NONE"}, 9.0, 7.5),
    ],
    "DEPTHWISE_CONV_2D": [
        ((1, 25, 5, 16), (1, 3, 3, 16), {}, 4.3, 5.8),
        ((1, 48, 30, 6), (1, 3, 3, 6), {}, 5.0, 5.2),
        ((1, 24, 24, 16), (1, 3, 3, 16), {"stride": (2, 2)}, 6.8, 8.8),
        ((1, 24, 24, 8), (1, 3, 3, 8), {}, 4.4, 5.2),
        ((1, 6, 6, 32), (1, 3, 3, 32), {}, 5.2, 6.7),
        ((1, 6, 6, 32), (1, 3, 3, 32), {"stride": (2, 2)}, 8.5, 14.0),
        ((1, 32, 32, 1), (1, 3, 3, 8), {"stride": (2, 2)}, 5.0, 8.7),
        ((1, 10, 12, 7), (1, 3, 3, 7), {}, 5.0, 6.0),
        ((1, 49, 1, 24), (1, 3, 1, 24), {}, 14.0, 24.0),
        ((1, 20, 30, 3), (1, 3, 3, 6), {}, 4.2, 5.2),
        ((1, 9, 9, 5), (1, 2, 2, 5), {"padding": "VALID"}, 12.5, 14.5),
        ((1, 14, 14, 8), (1, 3, 3, 8), {"activation": "NONE"}, 4.9, 7.2),
    ],
    "planes": [
        ((1, 30, 1, 24), (1, 9, 1, 24), {}, 8.5, 11.5),
        ((1, 40, 1, 24), (1, 9, 1, 24), {"stride": (2, 2)}, 11.0, 16.0),
        ((1, 24, 24, 4), (1, 5, 5, 4), {}, 6.0, 8.5),
        ((1, 45, 45, 1), (1, 5, 5, 8), {"stride": (2, 2), "padding": "VALID"}, 8.7, 12.9),
        ((1, 28, 1, 24), (1, 5, 1, 24), {"padding": "VALID"}, 12.7, 16.5),
        ((1, 16, 16, 4), (1, 7, 7, 4), {"activation": "NONE"}, 5.6, 8.0),
        ((1, 25, 20, 1), (1, 10, 8, 8), {"stride": (2, 2)}, 7.5, 11.3),
        ((1, 20, 20, 4), (1, 3, 3, 4), {"dilation": (2, 2)}, 11.5, 16.5),
        ((1, 15, 15, 6), (1, 3, 3, 6), {"stride": (3, 3)}, 26.0, 38.0),
        ((1, 25, 5, 16), (1, 3, 3, 16), {}, 10.5, 14.0),
        ((1, 11, 13, 5), (1, 4, 2, 5), {"stride": (1, 2)}, 20.0, 27.0),
        ((1, 12, 12, 6), (1, 3, 3, 6), {"stride": (2, 2)}, 18.5, 26.0),
    ],
    "FULLY_CONNECTED": [
        ((1, 640), (128, 640), {}, 6.5, 3.6),
        ((1, 128), (128, 128), {}, 7.0, 4.5),
        ((1, 128), (8, 128), {}, 9.5, 5.0),
        ((1, 8), (128, 8), {}, 21.0, 18.0),
        ((1, 64), (12, 64), {}, 9.5, 6.0),
        ((1, 256), (2, 256), {}, 24.0, 6.2),
        ((4, 40), (20, 40), {}, 5.0, 4.7),
        ((1, 33), (7, 33), {}, 15.0, 9.0),
        ((1, 16), (16, 16), {}, 15.5, 11.5),
        ((2, 100), (50, 100), {}, 4.2, 3.2),
        ((12, 64), (32, 64), {}, 3.8, 3.5),
        ((1, 128), (64, 128), {"activation": "NONE"}, 7.0, 4.5),
    ],
}  # fmt: skip

#: Layers of images that the fastest kernels take in several bands.
LARGE: dict[str, list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]]] = {
    "DEPTHWISE_CONV_2D": [
        ((1, 24, 30, 20), (1, 3, 3, 20), {}),
        ((1, 48, 24, 20), (1, 3, 3, 20), {"activation": "NONE"}),
        ((2, 25, 25, 12), (1, 3, 3, 12), {}),
        ((1, 50, 43, 6), (1, 3, 3, 6), {}),
    ],
    "planes": [
        ((1, 60, 60, 5), (1, 3, 5, 5), {}),
        ((1, 48, 72, 5), (1, 3, 3, 5), {"activation": "NONE"}),
        ((1, 70, 50, 6), (1, 3, 3, 6), {"dilation": (2, 2)}),
        ((2, 51, 64, 3), (1, 3, 3, 3), {}),
    ],
}


@pytest.mark.parametrize(("cpu_name", "op", "function"), CASES)
def test_cost_is_what_it_takes(cpu_name: str, op: str, function: str, tmp_path: Path) -> None:
    fastest, *others = guarded.variants(cpu_name, op, function)
    shapes = SHAPES["planes" if "planes" in function else op]
    graphs = [
        usual(op, image, shape, zero_point=3 if "activation" in more else -128, **more)
        for image, shape, more, _, _ in shapes
    ]
    for kernel in others:
        taken = usual_layers(kernel, op)
        for graph, count in zip(taken, guarded.instructions(taken, kernel, cpu_name, tmp_path), strict=True):
            what = f"{function} {[t.shape for t in graph.tensors]} {graph.nodes[0].attributes}: {count}"
            assert kernel.cost(next(graph.layers())) == pytest.approx(count, rel=0.1), what
    kernel = fastest
    counts = guarded.instructions(graphs, kernel, cpu_name, tmp_path)
    for graph, (image, shape, more, *most), count in zip(graphs, shapes, counts, strict=True):
        found = next(graph.layers())
        products = found.output.elements * int(np.prod(shape)) / found.output.shape[-1]
        what = f"{function} {image} {shape} {more}: {count} instructions, {count / products:.2f} per product"
        assert kernel.cost(found) == pytest.approx(count, rel=0.1), what
        assert count / products < most[list(CORES).index(cpu_name)], what


@pytest.mark.slow
@pytest.mark.parametrize("cpu_name", sorted(CORES))
def test_flags_hardly_matter(cpu_name: str, tmp_path: Path) -> None:
    """-Os and the other compiler cost at most a tenth more."""
    graphs = [usual("CONV_2D", (1, 12, 12, 16), (32, 1, 1, 16)), usual("CONV_2D", (1, 8, 8, 32), (32, 3, 3, 32))]
    kernel = guarded.kernel(cpu_name, "CONV_2D", f"tinyc_conv_2d_s8_{CORES[cpu_name]}")
    counts = [
        sum(guarded.instructions(graphs, kernel, cpu_name, tmp_path / f"{kind}{optimize}", kind, optimize))
        for cpu, kind, optimize in BUILDS
        if cpu == cpu_name
    ]
    assert max(counts) < 1.1 * counts[0]


# Choice


@pytest.mark.parametrize("cpu_name", sorted(CPUS))
@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_chosen_on_its_cores_only(cpu_name: str, op: str) -> None:
    image, shape, more, _, _ = SHAPES[op][0]
    isa = {"riscv": "rv32", "xtensa": "xtensa"}.get(CPUS[cpu_name].family)
    function = chosen(usual(op, image, shape, **more), cpu_name)
    assert function.endswith(("_rv32", "_xtensa")) == (isa is not None)
    assert isa is None or function == f"tinyc_{op.lower()}_s8_{isa}"


@pytest.mark.parametrize("cpu_name", sorted(CORES))
def test_many_rows_are_pixels(cpu_name: str) -> None:
    conv, rows = f"tinyc_conv_2d_s8_{CORES[cpu_name]}", f"tinyc_fully_connected_s8_{CORES[cpu_name]}"
    assert chosen(usual("FULLY_CONNECTED", (1, 64), (32, 64)), cpu_name) == rows
    assert chosen(usual("FULLY_CONNECTED", (48, 64), (32, 64)), cpu_name) == conv


@pytest.mark.parametrize("cpu_name", sorted(CORES))
def test_dead_channels_cost_neither_time_nor_flash(cpu_name: str) -> None:
    """Channels without weights, whose multipliers and biases may be anything."""
    graph = usual("CONV_2D", (1, 6, 6, 32), (64, 1, 1, 32))
    kernel = guarded.kernel(cpu_name, "CONV_2D", f"tinyc_conv_2d_s8_{CORES[cpu_name]}")
    data, bias = graph.tensors[1].data, graph.tensors[2].data
    assert data is not None and bias is not None
    dead = np.arange(64) % 4 != 1
    less = layers.with_tensor(graph, 1, data=np.where(dead[:, None, None, None], 0, data).astype(np.int8))
    less = layers.with_tensor(less, 2, data=np.where(dead, 2**31 - 1, bias).astype(np.int32))
    one, other = next(graph.layers()), next(less.layers())
    assert kernel.applies(other)
    assert kernel.cost(other) < 0.4 * kernel.cost(one)
    size = [sum(c.values.nbytes for c in kernel.bind(found).constants) for found in (one, other)]
    assert size[1] < 0.4 * size[0]


def test_weights_take_one_byte_each() -> None:
    for cpu_name, isa in CORES.items():
        found = next(usual("CONV_2D", (1, 4, 4, 64), (64, 3, 3, 64)).layers())
        (stream,) = guarded.kernel(cpu_name, "CONV_2D", f"tinyc_conv_2d_s8_{isa}").bind(found).constants
        assert stream.values.nbytes == 64 * 576 + 20 * 64


def refused(name: str) -> Graph:
    graph = usual("CONV_2D", (1, 3, 3, 16), (8, 1, 1, 16), zero_point=5, activation="NONE")
    data, bias = graph.tensors[1].data, graph.tensors[2].data
    assert data is not None and bias is not None
    if name == "groups":
        return layers.with_tensor(graph, 1, shape=(8, 1, 1, 8), data=data[..., :8])
    if name == "left shift":
        return layers.with_tensor(graph, 1, quantization=Quantization((2.0,), (0,)))
    if name == "large sum":
        return layers.with_tensor(graph, 2, data=np.where(np.arange(8) == 3, 2**31 - 5, bias).astype(np.int32))
    if name == "much scratch":
        return usual("CONV_2D", (1, 3, 3, 200), (8, 3, 3, 200), **{"activation": "NONE"})
    position = {"computed filter": 1, "computed bias": 2}[name]
    tensors = tuple(replace(t, data=None) if i == position else t for i, t in enumerate(graph.tensors))
    return replace(graph, tensors=tensors, inputs=(0, position), input_names=("input", "computed"))


@pytest.mark.parametrize("cpu_name", sorted(CORES))
@pytest.mark.parametrize(
    "name", ["groups", "left shift", "large sum", "much scratch", "computed filter", "computed bias"]
)
def test_falls_back(cpu_name: str, name: str) -> None:
    graph = refused(name)
    assert problems(next(graph.layers())) == []
    if (cpu_name, name) == ("xtensa-lx6", "much scratch"):
        pytest.skip("Xtensa computes fewer pixels at a time instead")
    assert chosen(graph, cpu_name) == "tinyc_conv_2d_s8"


@pytest.mark.parametrize("cpu_name", sorted(CORES))
@pytest.mark.parametrize(
    ("size", "more"),
    [((3, 3), {"stride": (1, 2)}), ((3, 3), {"dilation": (2, 2)}), ((5, 3), {}), ((9, 1), {"stride": (2, 2)})],
)
def test_depthwise_of_other_shapes(cpu_name: str, size: tuple[int, int], more: dict[str, Any]) -> None:
    graph = usual("DEPTHWISE_CONV_2D", (1, 12, 12, 4), (1, *size, 4), **more)
    assert chosen(graph, cpu_name) == f"tinyc_depthwise_planes_s8_{CORES[cpu_name]}"


@pytest.mark.parametrize("cpu_name", sorted(CORES))
def test_fully_connected_with_filter_zero_point_falls_back(cpu_name: str) -> None:
    graph = usual("FULLY_CONNECTED", (1, 16), (4, 16))
    graph = layers.with_tensor(graph, 1, quantization=Quantization((0.01,), (3,)))
    bias = Tensor("bias", (4,), "int32", Quantization((layers.scale(0.01),), (0,)), np.zeros(4, np.int32))
    tensors = tuple(bias if i == 2 else t for i, t in enumerate(graph.tensors))
    assert chosen(replace(graph, tensors=tensors), cpu_name) == "tinyc_fully_connected_s8"


def test_plans_state_their_limits() -> None:
    found = next(usual("CONV_2D", (1, 8, 8, 64), (16, 3, 3, 64)).layers())
    rv32, xtensa = _triples.plan(found), _mac16.plan(found)
    assert rv32 is not None and xtensa is not None
    assert _triples.scratch(found, rv32) == 16 * 576 + 4 * 192
    assert _mac16.passes(found, xtensa) == (4 - 1, -(-64 // 3))
    assert _mac16.scratch(found, xtensa) <= _mac16.SCRATCH_LIMIT


@pytest.mark.parametrize("function", sorted({function for _, _, function in CASES}))
def test_wrong_compiler_stops_with_a_reason(function: str, tmp_path: Path) -> None:
    root = resource("runtime_c")
    source = root / "kernels" / function.rsplit("_", 1)[1] / f"{function}.c"
    command = ["gcc", "-c", "-I", str(root), "-I", str(root / "internal"), str(source), "-o", str(tmp_path / "out.o")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "needs RV32 with multiplication" in done.stderr or "needs an Xtensa core with MAC16" in done.stderr
