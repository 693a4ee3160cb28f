# SPDX-License-Identifier: Apache-2.0
"""The Helium kernels of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED: exact, inside their buffers, and as fast as they say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import layers
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mve_harness import Case, build, in_place, loose, mve_kernel, run, shared, variants, wrong
from oracle import random_inputs
from tinyc.emit import runtime_files
from tinyc.errors import ToolError
from tinyc.graph import Graph, Quantization, Tensor, single_node_graph
from tinyc.lower import lower
from tinyc.ops import all_ops, problems
from tinyc.resources import resource
from tinyc.targets import Kernel
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image, Toolchain, compile_objects, install_line, try_kind

GEMM, TAPS = "tinyc_conv_2d_s8_mve", "tinyc_conv_3x3_s8_mve"
PATCHES, ROWS = "tinyc_depthwise_conv_3x3_s8_mve", "tinyc_fully_connected_s8_mve"
LANES = "tinyc_depthwise_conv_2d_s8_mve"
FUNCTIONS = (GEMM, TAPS, PATCHES, LANES, ROWS)

#: Every use of a kernel.
USES = (
    ("CONV_2D", GEMM),
    ("CONV_2D", TAPS),
    ("DEPTHWISE_CONV_2D", PATCHES),
    ("DEPTHWISE_CONV_2D", LANES),
    ("DEPTHWISE_CONV_2D", GEMM),
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
    return (
        Tensor("bias", (channels,), "int32", None, random.integers(-limit, limit, channels).astype(np.int32))
        if limit
        else None
    )


@st.composite
def images(draw: st.DrawFn, taps: tuple[int, int], padding: str, largest: int) -> tuple[int, int]:
    least = taps if padding == "VALID" else (1, 1)
    if taps[1] == 1 and draw(st.booleans()):
        return draw(st.integers(least[0], least[0] + 2 * largest)), 1
    return draw(st.integers(least[0], least[0] + largest)), draw(st.integers(least[1], least[1] + largest))


ANY_TAPS = st.sampled_from([(1, 1), (1, 1), (3, 3), (5, 5), (1, 3), (9, 1), (3, 1), (4, 2), (10, 4)])
ANY_STRIDE = st.sampled_from([(1, 1), (1, 1), (2, 2), (2, 2), (1, 2), (3, 1)])
NEVER = st.just(False)
EQUAL_STRIDE = st.sampled_from([(1, 1), (2, 2)])


@st.composite
def conv_2d(
    draw: st.DrawFn,
    windows: st.SearchStrategy[tuple[int, int]] = ANY_TAPS,
    strides: st.SearchStrategy[tuple[int, int]] = ANY_STRIDE,
) -> Graph:
    taps = draw(windows)
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    image = draw(images(taps, padding, 12))
    depth = draw(st.integers(1, 20) | st.sampled_from([1, 3, 8, 16, 31, 32, 33, 48, 64]))
    if taps[0] * taps[1] * depth > 900:
        depth = 900 // (taps[0] * taps[1])
    if taps == (1, 1):
        depth = draw(st.integers(1, 40) | st.sampled_from([64, 127, 128, 144, 145, 160, 250, 300]))
    filters = draw(st.integers(1, 13) | st.sampled_from([16, 20, 32]))
    stride = draw(strides)
    shape = (filters, *taps, depth)
    scales = draw(right_shifts(filters, taps[0] * taps[1] * depth))
    inputs = (
        Tensor(
            "input",
            (draw(st.sampled_from([1, 1, 2])), *image, depth),
            "int8",
            Quantization((1.0,), (draw(layers.ZERO_POINTS),)),
        ),
        Tensor("filter", shape, "int8", Quantization(scales, (0,) * len(scales)), draw(layers.weights(shape))),
        draw(biases(filters)),
    )
    dilation = draw(st.sampled_from([(1, 1), (2, 3)])) if taps == (1, 1) else (1, 1)
    attributes = {"padding": padding, "stride": stride, "dilation": dilation, "activation": draw(layers.ACTIVATIONS)}
    return layers.with_output_shape("CONV_2D", inputs, Quantization((1.0,), (draw(layers.ZERO_POINTS),)), attributes)


@st.composite
def depthwise(draw: st.DrawFn, singles: st.SearchStrategy[bool] = NEVER, one_size: bool = False) -> Graph:
    taps = draw(
        st.sampled_from([(3, 3), (3, 3), (3, 3), (2, 2), (1, 3), (3, 1), (1, 1), (2, 3), (5, 5), (7, 2), (9, 1)])
    )
    padding = "SAME" if one_size else draw(st.sampled_from(["SAME", "VALID"]))
    image = draw(images(taps, padding, 13))
    depth = draw(st.integers(1, 20) | st.sampled_from([8, 16, 24, 31, 32, 33, 64, 100]))
    single = draw(singles)
    shape = (1, *taps, depth)
    scales = draw(right_shifts(depth, taps[0] * taps[1]))
    inputs = (
        Tensor(
            "input",
            (draw(st.sampled_from([1, 1, 2])), *image, 1 if single else depth),
            "int8",
            Quantization((1.0,), (draw(layers.ZERO_POINTS),)),
        ),
        Tensor("filter", shape, "int8", Quantization(scales, (0,) * len(scales), 3), draw(layers.weights(shape))),
        draw(biases(depth)),
    )
    stride = (1, 1) if one_size else draw(st.sampled_from([(1, 1), (2, 2)]))
    attributes = {"padding": padding, "stride": stride, "dilation": (1, 1), "activation": draw(layers.ACTIVATIONS)}
    attributes["depth_multiplier"] = depth if single else 1
    return layers.with_output_shape(
        "DEPTHWISE_CONV_2D", inputs, Quantization((1.0,), (draw(layers.ZERO_POINTS),)), attributes
    )


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
        Tensor(
            "filter",
            (units, depth),
            "int8",
            Quantization(scales, (0,) * len(scales)),
            draw(layers.weights((units, depth))),
        ),
        bias,
    )
    attributes = {"activation": draw(layers.ACTIVATIONS), "weights_format": "DEFAULT", "keep_num_dims": len(rows) > 1}
    output = Tensor("output", (*rows, units), "int8", Quantization((1.0,), (draw(layers.ZERO_POINTS),)))
    return single_node_graph("FULLY_CONNECTED", inputs, (output,), attributes)


STRATEGIES = {
    ("CONV_2D", GEMM): conv_2d() | layers.conv_2d(),
    ("CONV_2D", TAPS): conv_2d(st.just((3, 3)), EQUAL_STRIDE),
    ("DEPTHWISE_CONV_2D", PATCHES): depthwise(),
    ("DEPTHWISE_CONV_2D", LANES): depthwise() | depthwise(st.booleans()) | layers.depthwise_conv_2d(),
    ("DEPTHWISE_CONV_2D", GEMM): depthwise(st.just(True)),
    ("FULLY_CONNECTED", ROWS): fully_connected() | layers.fully_connected(),
    ("FULLY_CONNECTED", GEMM): fully_connected() | layers.fully_connected(),
}


#: Of the second and third ways of calling a function that take but few of those layers.
RARE = {
    ("CONV_2D", GEMM, 1): conv_2d(st.just((1, 1)), st.just((1, 1))),
    ("DEPTHWISE_CONV_2D", PATCHES, 2): depthwise(one_size=True),
}


class Enough(Exception):
    """Ends a collection of layers."""


def collected(op: str, kernel: Kernel, count: int) -> list[Case]:
    """`count` layers that the kernel takes. Every input is random or at an end of the range; outputs have any alignment."""
    cases: list[Case] = []
    usual, number = STRATEGIES[op, kernel.function], variants(op, kernel.function).index(kernel)

    @settings(max_examples=8 * count, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(graph=RARE.get((op, kernel.function, number), usual), kind=st.integers(0, 9))
    def collect(graph: Graph, kind: int) -> None:
        layer = next(graph.layers())
        if len(cases) == count:
            raise Enough
        if not kernel.applies(layer) or not layer.input(1).constant:
            return
        assert problems(layer) == []
        inputs = random_inputs(graph, len(cases))
        if kind < 2:
            inputs = [np.full(array.shape, (-128, 127)[kind], np.int8) for array in inputs]
        misaligned, filters = len(cases) % 4, layer.output.shape[-1]
        by_words = kernel.function in (GEMM, TAPS) and filters % 4 == 0
        cases.append(Case(kernel, graph, inputs, misaligned, 4 * filters if misaligned and by_words else 0))

    with contextlib.suppress(Enough):
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
    cases = [case for kernel in variants(op, function) for case in collected(op, kernel, 60)]
    for kind, optimize in (("gcc", "-O2"), ("zig", "-Os")):
        run(images_of(kind, optimize), FUNCTIONS, cases)


@pytest.mark.slow
@pytest.mark.parametrize(("op", "function"), USES)
def test_exact_and_inside_buffers_many(op: str, function: str, images_of: Callable[[str, str], Image]) -> None:
    cases = [case for kernel in variants(op, function) for case in collected(op, kernel, 1000)]
    assert len(cases) == 1000 * len(variants(op, function))
    for number, (kind, optimize) in enumerate(BUILDS):
        run(images_of(kind, optimize), FUNCTIONS, cases + shared(cases, 5 * number) + in_place(cases))


@pytest.mark.parametrize(("op", "function"), USES)
def test_over_the_input(op: str, function: str, images_of: Callable[[str, str], Image]) -> None:
    """In one buffer at the lead, and some way before it."""
    cases = [case for kernel in variants(op, function) for case in collected(op, kernel, 90)]
    assert len(shared(cases)) > len(cases) // 3
    for kind, optimize, more in (("gcc", "-O2", 0), ("zig", "-Os", 0), ("gcc", "-O2", 1), ("gcc", "-O2", 37)):
        run(images_of(kind, optimize), FUNCTIONS, shared(cases, more))


def test_in_place(images_of: Callable[[str, str], Image]) -> None:
    """Depthwise layers of one size, at the same address."""
    kernels = variants("DEPTHWISE_CONV_2D", PATCHES)
    cases = [case for kernel in kernels for case in in_place(collected("DEPTHWISE_CONV_2D", kernel, 120))]
    passes = {case.graph.tensors[0].shape[3] > 16 for case in cases}
    odd = {case.graph.tensors[0].shape[1] % 2 for case in cases}
    assert (len(cases) > 60, passes, odd) == (True, {False, True}, {0, 1})
    for kind, optimize in (("gcc", "-O2"), ("zig", "-Os")):
        run(images_of(kind, optimize), FUNCTIONS, cases)


def test_in_place_is_for_kept_lines_and_the_same_address_only(images_of: Callable[[str, str], Image]) -> None:
    """Without `kept`, lines are read that are replaced already; parts of a pixel away, channels that are not read yet are replaced."""
    graph = depthwise_conv((25, 5), 64)
    ends = np.random.default_rng(0).choice(np.array([-128, 127], np.int8), (1, 25, 5, 64))
    kept, rows, least = (Case(k, graph, [ends], ahead=0) for k in variants("DEPTHWISE_CONV_2D", PATCHES))
    assert [len(in_place([case])) for case in (kept, rows, least)] == [1, 0, 1]
    run(images_of("gcc", "-O2"), FUNCTIONS, [kept, least])
    elsewhere = [replace(case, ahead=ahead) for case in (kept, least) for ahead in (16, 32, 336)]
    assert wrong(images_of("gcc", "-O2"), FUNCTIONS, [rows, *elsewhere]) == [rows, *elsewhere]


# Speed


def conv(
    image: tuple[int, int],
    depth: int,
    taps: tuple[int, int],
    filters: int,
    stride: int = 1,
    padding: str = "SAME",
    act: str = "RELU",
) -> Graph:
    """A layer as in real models: per-channel scales, a zero point of -128 behind a RELU."""
    random = np.random.default_rng(1)
    shape = (filters, *taps, depth)
    terms = taps[0] * taps[1] * depth
    scales = tuple(layers.scale(float(f) / np.sqrt(terms) / 100) for f in random.uniform(0.5, 1.0, filters))
    inputs = (
        Tensor("input", (1, *image, depth), "int8", Quantization((1.0,), (-128,))),
        Tensor(
            "filter",
            shape,
            "int8",
            Quantization(scales, (0,) * filters),
            random.integers(-127, 128, shape).astype(np.int8),
        ),
        Tensor("bias", (filters,), "int32", None, random.integers(-5000, 5000, filters).astype(np.int32)),
    )
    output = Quantization((1.0,), (-128 if act == "RELU" else 4,))
    attributes = {"padding": padding, "stride": (stride, stride), "dilation": (1, 1), "activation": act}
    return layers.with_output_shape("CONV_2D", inputs, output, attributes)


def depthwise_conv(
    image: tuple[int, int], depth: int, stride: int = 1, padding: str = "SAME", act: str = "RELU", taps: int = 3
) -> Graph:
    graph = conv(image, 1, (taps, taps), depth, stride, padding, act)
    data = graph.tensors[1].data
    assert data is not None
    weights = replace(
        graph.tensors[1],
        shape=(1, taps, taps, depth),
        data=np.ascontiguousarray(data.transpose(3, 1, 2, 0)),
        quantization=replace(graph.tensors[1].quantization, axis=3),  # type: ignore[type-var]
    )
    source = replace(graph.tensors[0], shape=(1, *image, depth))
    attributes = {**graph.nodes[0].attributes, "depth_multiplier": 1}
    output = graph.output_tensors[0].quantization
    assert output is not None
    return layers.with_output_shape("DEPTHWISE_CONV_2D", (source, weights, graph.tensors[2]), output, attributes)


def dense(rows: int, depth: int, units: int, act: str = "RELU") -> Graph:
    graph = conv((1, 1), depth, (1, 1), units, act=act)
    data = graph.tensors[1].data
    assert data is not None
    source = replace(graph.tensors[0], shape=(rows, depth))
    weights = replace(graph.tensors[1], shape=(units, depth), data=data.reshape(units, depth))
    output = replace(graph.output_tensors[0], shape=(rows, units))
    attributes = {"activation": act, "weights_format": "DEFAULT", "keep_num_dims": False}
    return single_node_graph("FULLY_CONNECTED", (source, weights, graph.tensors[2]), (output,), attributes)


#: Layers of real models and odd ones, with the most instructions per multiply-accumulate that are acceptable.
SPEED: list[tuple[str, Graph, float]] = [
    (GEMM, conv((25, 5), 64, (1, 1), 64), 0.16),
    (GEMM, conv((6, 6), 128, (1, 1), 128), 0.135),
    (GEMM, conv((48, 48), 8, (1, 1), 16), 0.56),
    (GEMM, conv((24, 24), 16, (1, 1), 32), 0.28),
    (GEMM, conv((12, 12), 32, (1, 1), 64, act="NONE"), 0.2),
    (GEMM, conv((3, 3), 256, (1, 1), 256), 0.17),
    (GEMM, conv((7, 7), 200, (1, 1), 40), 0.145),
    (GEMM, conv((5, 5), 20, (1, 1), 7), 0.95),
    (GEMM, conv((16, 16), 32, (1, 1), 64, 2), 0.25),
    (GEMM, conv((49, 10), 1, (10, 4), 64, 2), 0.27),
    (GEMM, conv((96, 96), 3, (3, 3), 8, 2), 0.42),
    (GEMM, conv((32, 32), 3, (3, 3), 16), 0.34),
    (GEMM, conv((28, 28), 1, (5, 5), 6, 1, "VALID"), 1.2),
    (GEMM, conv((10, 10), 24, (5, 5), 32), 0.145),
    (GEMM, conv((9, 9), 12, (3, 3), 10, act="RELU6"), 0.37),
    (TAPS, conv((32, 32), 16, (3, 3), 16), 0.12),
    (TAPS, conv((16, 16), 32, (3, 3), 32, act="NONE"), 0.115),
    (TAPS, conv((8, 8), 64, (3, 3), 64), 0.11),
    (TAPS, conv((32, 32), 16, (3, 3), 32, 2), 0.135),
    (TAPS, conv((16, 16), 32, (3, 3), 64, 2), 0.125),
    (TAPS, conv((10, 10), 40, (3, 3), 24), 0.2),
    (TAPS, conv((9, 7), 20, (3, 3), 10), 0.35),
    (TAPS, conv((20, 20), 12, (3, 3), 8), 0.2),
    (TAPS, conv((14, 14), 16, (3, 3), 16, 1, "VALID"), 0.13),
    (TAPS, conv((5, 5), 96, (3, 3), 32), 0.19),
    (TAPS, conv((40, 12), 16, (3, 3), 8, 2), 0.23),
    (TAPS, conv((11, 13), 33, (3, 3), 12, act="RELU6"), 0.3),
    (PATCHES, depthwise_conv((25, 5), 64), 0.63),
    (PATCHES, depthwise_conv((48, 48), 8), 0.53),
    (PATCHES, depthwise_conv((24, 24), 32), 0.5),
    (PATCHES, depthwise_conv((12, 12), 64, act="NONE"), 0.58),
    (PATCHES, depthwise_conv((6, 6), 128), 0.72),
    (PATCHES, depthwise_conv((3, 3), 256), 1.6),
    (PATCHES, depthwise_conv((48, 48), 16, 2), 0.87),
    (PATCHES, depthwise_conv((24, 24), 32, 2), 0.96),
    (PATCHES, depthwise_conv((12, 12), 64, 2), 1.35),
    (PATCHES, depthwise_conv((6, 6), 128, 2), 1.7),
    (PATCHES, depthwise_conv((10, 9), 20, 1, "VALID"), 0.9),
    (PATCHES, depthwise_conv((15, 11), 40, 2, "VALID", "RELU6"), 1.4),
    (PATCHES, depthwise_conv((2, 30), 16), 0.65),
    (LANES, depthwise_conv((25, 5), 64), 1.85),
    (LANES, depthwise_conv((12, 12), 64, 2, act="NONE"), 1.9),
    (LANES, depthwise_conv((10, 10), 32, taps=5), 1.3),
    (LANES, depthwise_conv((14, 14), 20, 2, taps=5, act="RELU6"), 1.75),
    (LANES, depthwise_conv((7, 7), 96, taps=7), 0.85),
    (LANES, depthwise_conv((1, 1), 256), 0.9),
    (LANES, depthwise_conv((1, 16), 16), 1.65),
    (LANES, depthwise_conv((30, 30), 3, taps=5), 4.9),
    (LANES, depthwise_conv((20, 20), 8, padding="VALID", taps=4), 2.3),
    (LANES, depthwise_conv((9, 9), 48, taps=2), 3.0),
    (LANES, depthwise_conv((13, 11), 33, 3), 2.35),
    (LANES, depthwise_conv((6, 6), 128, 2), 1.75),
    (ROWS, dense(1, 128, 128), 0.17),
    (ROWS, dense(1, 640, 128), 0.145),
    (ROWS, dense(1, 128, 640), 0.17),
    (ROWS, dense(1, 8, 128), 0.88),
    (ROWS, dense(1, 128, 8, "NONE"), 0.31),
    (ROWS, dense(1, 64, 12, "NONE"), 0.45),
    (ROWS, dense(1, 256, 2, "NONE"), 0.88),
    (ROWS, dense(2, 100, 30), 0.26),
    (ROWS, dense(3, 64, 64), 0.21),
    (ROWS, dense(1, 1024, 10), 0.25),
    (ROWS, dense(1, 37, 37, "NONE"), 0.45),
    (ROWS, dense(1, 400, 120, "RELU6"), 0.16),
    (GEMM, dense(4, 64, 64), 0.17),
    (GEMM, dense(16, 100, 50), 0.19),
]


def test_leads_are_exact(images_of: Callable[[str, str], Image]) -> None:
    """One byte later is wrong."""
    cases = [
        Case(kernel, graph, random_inputs(graph, 0))
        for function, graph, _ in SPEED
        for kernel in variants(graph.nodes[0].op, function)
        if kernel.applies(next(graph.layers()))
    ]
    assert sum(case.ahead != 0 for case in shared(cases)) > 30
    names = [
        (case.kernel.function, case.graph.tensors[0].shape) for case in loose(images_of("gcc", "-O2"), FUNCTIONS, cases)
    ]
    assert names == []


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
        predicted = case.kernel.cost(layer)
        per_mac = instructions / all_ops()[layer.op].macs(layer)
        if not 0.9 <= predicted / instructions <= 1.1 or per_mac > most:
            shape = f"{function} {layer.input(0).shape} -> {layer.output.shape}"
            wrong.append(
                f"{shape}: {instructions}, predicted {predicted / instructions:.2f} of that, {per_mac:.3f} per MAC"
            )
    assert not wrong, "\n".join(wrong)


# Choice


def chosen(graph: Graph, cpu_name: str = "cortex-m55") -> str:
    return lower(graph, CPUS[cpu_name]).steps[0].kernel.function


CHOICES = [
    (conv((12, 12), 32, (1, 1), 64), GEMM),
    (conv((12, 12), 32, (3, 3), 64), TAPS),
    (conv((12, 12), 3, (3, 3), 16), GEMM),
    (conv((12, 12), 16, (5, 5), 16), GEMM),
    (conv((12, 2), 16, (3, 3), 16), GEMM),
    (depthwise_conv((12, 12), 32), PATCHES),
    (depthwise_conv((12, 12), 32, 2), PATCHES),
    (depthwise_conv((12, 12), 32, taps=5), LANES),
    (depthwise_conv((1, 12), 32), LANES),
    (dense(1, 64, 64), ROWS),
    (dense(4, 64, 64), GEMM),
]


@pytest.mark.parametrize(("graph", "function"), CHOICES)
def test_chosen_on_cores_with_helium_only(graph: Graph, function: str) -> None:
    for name, cpu in CPUS.items():
        assert (chosen(graph, name) == function) == ("mve" in cpu.features)
        assert chosen(graph, name).endswith("_mve") == ("mve" in cpu.features)


def test_left_shifts_and_computed_constants_fall_back() -> None:
    left = layers.with_tensor(conv((4, 4), 8, (1, 1), 8), 1, quantization=Quantization((2.0,), (0,)))
    grouped = conv((4, 4), 8, (1, 1), 8)
    data = grouped.tensors[1].data
    assert data is not None
    grouped = layers.with_tensor(grouped, 1, shape=(8, 1, 1, 4), data=np.ascontiguousarray(data[..., :4]))
    dilated = layers.with_attributes(conv((8, 8), 8, (3, 3), 8), dilation=(2, 2))
    computed = conv((4, 4), 8, (1, 1), 8)
    tensors = tuple(replace(t, data=None) if i == 1 else t for i, t in enumerate(computed.tensors))
    computed = replace(computed, tensors=tensors, inputs=(0, 1), input_names=("input", "filter"))
    for graph in (left, grouped, dilated, computed):
        layer = next(graph.layers())
        assert problems(layer) == []
        assert not mve_kernel("CONV_2D", GEMM).applies(layer)
        assert not mve_kernel("CONV_2D", TAPS).applies(layer)
    shifted = next(graph for name, graph in all_ops()["FULLY_CONNECTED"].cases() if name == "filter zero point")
    assert not mve_kernel("FULLY_CONNECTED", ROWS).applies(next(shifted.layers()))


@pytest.mark.parametrize(
    ("function", "graph", "most"),
    [
        (GEMM, conv((4, 4), 64, (1, 1), 64), 64 * 64 + 12 * 64),
        (TAPS, conv((8, 8), 64, (3, 3), 64), 9 * 64 * 64 + 16 * 64),
        (PATCHES, depthwise_conv((8, 8), 64), 28 * 64),
        (LANES, depthwise_conv((8, 8), 64, taps=5), (25 + 12) * 64),
        (ROWS, dense(1, 64, 64), 64 * 64 + 12 * 64),
    ],
)
def test_weights_take_about_one_byte_each(function: str, graph: Graph, most: int) -> None:
    (stream,) = mve_kernel(graph.nodes[0].op, function).bind(next(graph.layers())).constants
    assert stream.values.nbytes == most


def test_needs_the_right_flags(tmp_path: Path) -> None:
    """Compiled for a core without Helium, each file stops with an #error that names the flag."""
    if not isinstance(try_kind("gcc", CPUS["cortex-m33"]), Toolchain):
        pytest.skip(f"no gcc: {install_line('gcc', CPUS['cortex-m33'])}")
    functions = sorted(path.stem for path in (resource("runtime_c") / "kernels" / "cortex_m_mve").iterdir())
    assert set(FUNCTIONS) < set(functions)
    for function in functions:
        with pytest.raises(ToolError, match="compile with -mcpu=cortex-m55"):
            compile_objects(runtime_files({function: "cortex_m_mve"}), CPUS["cortex-m33"], toolchain="gcc")
