# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions for the DSP extension: exact, inside their buffers, in place, as fast as their cost says, and when chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import layers
import numpy as np
import pytest
from direct_call import Buffer, call
from hypothesis import Phase, assume, given, seed, settings
from hypothesis import strategies as st
from oracle import assert_same_bytes, random_inputs
from test_cortex_m_dsp import BUILDS, check_emulated, need_compiler
from tinyc import reference
from tinyc.emit import runtime_files
from tinyc.graph import Graph, Quantization, Tensor
from tinyc.lower import lower
from tinyc.ops import all_ops, problems
from tinyc.ops._fixed_point import multiply_by_quantized_multiplier
from tinyc.program import Params
from tinyc.targets import Kernel, kernels_for
from tinyc.targets.cortex_m_dsp import _planes
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image, build_image

RELU_3X3 = "tinyc_depthwise_3x3_relu_s8_dsp"
ANY_3X3 = "tinyc_depthwise_3x3_s8_dsp"
ANY = "tinyc_depthwise_s8_dsp"
PAIRS_RELU_3X3 = "tinyc_depthwise_3x3_pairs_relu_s8_dsp"
PAIRS_ANY_3X3 = "tinyc_depthwise_3x3_pairs_s8_dsp"
DIRECT = "tinyc_depthwise_direct_s8_dsp"
DIRECT_PAIRS = "tinyc_depthwise_direct_pairs_relu_s8_dsp"
FUNCTIONS = (RELU_3X3, ANY_3X3, PAIRS_RELU_3X3, PAIRS_ANY_3X3, ANY)
RELU = (RELU_3X3, PAIRS_RELU_3X3)


def kernels(function: str) -> list[Kernel]:
    """The function with all its layouts, from the cheapest to the one with the least scratch."""
    return [k for k in kernels_for(CPUS["cortex-m4"])["DEPTHWISE_CONV_2D"] if k.function == function]


def kernel(function: str) -> Kernel:
    return kernels(function)[0]


def chosen(graph: Graph, cpu_name: str = "cortex-m4") -> str:
    (step,) = lower(graph, CPUS[cpu_name]).steps
    return step.kernel.function


def depthwise(
    image: tuple[int, int, int],
    window: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    *,
    multiplier: int = 1,
    batches: int = 1,
    padding: str = "SAME",
    dilation: tuple[int, int] = (1, 1),
    activation: str = "RELU",
    zero_points: tuple[int, int] = (-128, -128),
    shifts: tuple[float, float] = (3.0, 10.0),
    number: int = 0,
) -> Graph:
    """A layer with random weights whose channels are shifted right by `shifts`."""
    random = np.random.default_rng(number)
    filters = image[2] * multiplier
    shape = (1, *window, filters)
    scales = tuple(
        layers.scale(0.999 * 2.0 ** -np.floor(e) * f)
        for e, f in random.uniform((shifts[0], 0.5), (shifts[1], 1.0), (filters, 2))
    )
    inputs = (
        Tensor("input", (batches, *image), "int8", Quantization((1.0,), (zero_points[0],))),
        Tensor(
            "filter",
            shape,
            "int8",
            Quantization(scales, (0,) * filters, 3),
            random.integers(-127, 128, shape).astype(np.int8),
        ),
        Tensor("bias", (filters,), "int32", None, random.integers(-4000, 4000, filters).astype(np.int32)),
    )
    attributes = {
        "padding": padding,
        "stride": stride,
        "dilation": dilation,
        "activation": activation,
        "depth_multiplier": multiplier,
    }
    return layers.with_output_shape("DEPTHWISE_CONV_2D", inputs, Quantization((1.0,), (zero_points[1],)), attributes)


@st.composite
def depthwise_layers(draw: st.DrawFn, function: str | None = None) -> Graph:
    """Layers of any shape; for a 3x3 function with its filter and strides, for the ReLU kernel with small outputs clamped."""
    three = function is not None and "3x3" in function
    window = (3, 3) if three else (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    steps = st.integers(1, 2) if three else st.sampled_from([1, 1, 2, 3])
    stride = (draw(steps), draw(steps))
    # Long lines, and planes of several bands, come with few of the other kind.
    height, width = draw(st.sampled_from([(7, 7), (13, 13), (40, 4), (4, 40), (3, 130), (130, 3), (20, 1)]))
    size = (draw(st.integers(1, height)), draw(st.integers(1, width)))
    padding = draw(st.sampled_from(["SAME", "SAME", "VALID"]))
    if padding == "VALID":
        size = (max(size[0], window[0]), max(size[1], window[1]))
    depth = draw(st.integers(1, 13) if size[0] * size[1] < 200 else st.integers(1, 5))
    multiplier = draw(st.sampled_from([1, 1, 1, 2, 5]))
    filters = depth * multiplier
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (1, *window, filters)
    weights = draw(layers.weights(shape))
    # Right shifts of 1 to 12, in powers of two for ties; a few channels shift everything out, or have multiplier 0, or a large bias.
    count = draw(st.sampled_from([1, filters]))
    exponents = random.uniform(draw(st.sampled_from([1.0, 3.0])), 12.0, count)
    if draw(st.integers(0, 3)) == 0:
        exponents = np.ceil(exponents)
    limit = draw(st.sampled_from([100, 20000, 1000000]))
    bias = random.integers(-limit, limit, filters).astype(np.int32)
    if draw(st.integers(0, 3)) == 0:
        odd = random.integers(0, count)
        exponents[odd] = random.choice([16.0, 19.0, 30.0, 34.0, 45.0])
        bias[odd] = random.integers(-(1 << 26), 1 << 26)
    scales = tuple(layers.scale(0.999 * 2.0**-e if e % 1 else 2.0**-e) for e in exponents)
    zero_point = draw(layers.ZERO_POINTS)
    act = draw(layers.ACTIVATIONS)
    if function in RELU and act == "RELU_N1_TO_1":
        act = "RELU6"
    if function in RELU and act == "NONE":
        zero_point = -128
    inputs = (
        Tensor(
            "input", (draw(st.integers(1, 2)), *size, depth), "int8", Quantization((1.0,), (draw(layers.ZERO_POINTS),))
        ),
        Tensor("filter", shape, "int8", Quantization(scales, (0,) * count, 3), weights),
        Tensor("bias", (filters,), "int32", None, bias) if draw(st.integers(0, 4)) else None,
    )
    attributes = {
        "padding": padding,
        "stride": stride,
        "dilation": (1, 1),
        "activation": act,
        "depth_multiplier": multiplier,
    }
    return layers.with_output_shape("DEPTHWISE_CONV_2D", inputs, Quantization((1.0,), (zero_point,)), attributes)


# The kernels alone, in memory that faults outside their buffers


def build(function: str, kind: str, optimize: str, folder: Path) -> Image:
    need_compiler("cortex-m4", kind)
    keep = (
        f'#include "tinyc_kernels.h"\nvoid *volatile keep;\nint main(void) {{ keep = (void *){function}; return 0; }}\n'
    )
    sources = {**runtime_files({function: "cortex_m_dsp"}), "main.c": keep.encode()}
    return build_image(sources, CPUS["cortex-m4"], folder, toolchain=kind, optimize=optimize)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Image]:
    return {function: build(function, "gcc", "-Os", tmp_path_factory.mktemp("dsp")) for function in FUNCTIONS}


def call_kernel(
    image: Image,
    function: str,
    graph: Graph,
    number: int = 0,
    start: bool = False,
    in_place: bool = False,
    layout: int = 0,
) -> tuple[np.ndarray, np.ndarray, int]:  # type: ignore[type-arg]
    """(expected, computed, instructions) of one layer."""
    layer = next(graph.layers())
    assert problems(layer) == []
    binding = kernels(function)[layout].bind(layer)
    assert isinstance(binding.params, Params)
    inputs = random_inputs(graph, number)
    want = reference.outputs(graph, inputs)[0]
    fields = np.array([int(v) for v in binding.params.fields.values()], np.int32)  # type: ignore[call-overload]
    source = Buffer(inputs[0].tobytes(), start)
    output = source if in_place else Buffer(bytes(want.size), start)
    records = Buffer(binding.constants[0].values.tobytes(), start)
    buffers = [Buffer(fields.tobytes(), start), source, records, output, Buffer(bytes(binding.scratch), start)]
    after, instructions = call(image, function, buffers)
    assert [after[0], after[2]] == [buffers[0].data, buffers[2].data]
    assert in_place or after[1] == source.data
    return want.reshape(-1), np.frombuffer(after[3], np.int8), instructions


#: Layers checked so far, by function: the tests below must not run empty.
checked: dict[str, int] = {}


def check_drawn(images: Mapping[str, Image], function: str, graph: Graph, number: int, start: bool) -> None:
    layer = next(graph.layers())
    assume(kernel(function).applies(layer))
    checked[function] = checked.get(function, 0) + 1
    for layout, offered in enumerate(kernels(function)):
        if offered.applies(layer):
            for in_place in (False, True)[: 1 + len(offered.bind(layer).in_place)]:
                want, got, _ = call_kernel(images[function], function, graph, number, start, in_place, layout)
                assert_same_bytes(want, got, f"{function} layout {layout} in place: {in_place}")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_exact_and_inside_its_buffers(images: Mapping[str, Image], function: str) -> None:
    before = checked.get(function, 0)

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(graph=depthwise_layers(function), start=st.booleans())
    def check(graph: Graph, start: bool) -> None:
        check_drawn(images, function, graph, 0, start)

    check()
    assert checked[function] - before >= 30


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
def test_exact_and_inside_its_buffers_many(images: Mapping[str, Image], function: str) -> None:
    @settings(max_examples=1500, deadline=None, derandomize=True)
    @given(graph=depthwise_layers(function), start=st.booleans())
    def check(graph: Graph, start: bool) -> None:
        check_drawn(images, function, graph, 1, start)

    check()


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("kind", "optimize"), [("gcc", "-O2"), ("zig", "-O2"), ("zig", "-Os")])
def test_every_compiler(function: str, kind: str, optimize: str, tmp_path: Path) -> None:
    """Both strides, lines of one and several turns, an incomplete group of channels, and one left over."""
    image = build(function, kind, optimize, tmp_path)
    for stride in ((1, 1), (2, 2)):
        for size in ((5, 29, 7), (29, 6, 4), (4, 5, 3)):
            graph = depthwise(size, stride=stride, zero_points=(3, -128))
            want, got, _ = call_kernel(image, function, graph)
            assert_same_bytes(want, got, f"{function} {stride} {size}")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("value", [-128, 127])
def test_largest_sums(images: Mapping[str, Image], function: str, value: int) -> None:
    """Weights and inputs at their ends, so that sums and halfwords are as large as they get."""
    for weight in (-128, 127):
        graph = depthwise((4, 5, 6), zero_points=(127 if value < 0 else -128, -128), shifts=(3.0, 4.0))
        graph = layers.with_tensor(graph, 1, data=np.full(graph.tensors[1].shape, weight, np.int8))
        layer = next(graph.layers())
        binding = kernel(function).bind(layer)
        assert binding.params is not None
        inputs = [np.full(graph.input_tensors[0].shape, value, np.int8)]
        want = reference.outputs(graph, inputs)[0]
        fields = np.array([int(v) for v in binding.params.fields.values()], np.int32)  # type: ignore[call-overload]
        parts = [fields.tobytes(), inputs[0].tobytes(), binding.constants[0].values.tobytes(), bytes(want.size)]
        after, _ = call(images[function], function, [Buffer(part) for part in [*parts, bytes(binding.scratch)]])
        assert_same_bytes(want.reshape(-1), np.frombuffer(after[3], np.int8), function)


# In whole models


def sample(count: int, number: int) -> list[Graph]:
    found: list[Graph] = []

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate])
    @given(st.sampled_from([*FUNCTIONS, None]).flatmap(depthwise_layers))
    def collect(graph: Graph) -> None:
        found.append(graph)

    collect()
    return found


@pytest.mark.parametrize(
    ("cpu_name", "kind", "optimize"),
    [pytest.param(*build, marks=[] if n in (1, 2, 6, 8) else [pytest.mark.slow]) for n, build in enumerate(BUILDS)],
)
def test_exact_in_models(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    graphs = sample(24, BUILDS.index((cpu_name, kind, optimize)))
    assert len({chosen(graph, cpu_name) for graph in graphs}) > 1
    check_emulated(graphs, cpu_name, kind, optimize, tmp_path)


# Speed


SHAPES_3X3 = [
    # image, stride, at most so many instructions per multiply-accumulate
    ((25, 5, 64), 1, 1.7),
    ((24, 24, 32), 1, 1.7),
    ((6, 6, 128), 1, 2.1),
    ((48, 48, 8), 1, 1.65),
    ((12, 12, 64), 1, 1.85),
    ((3, 3, 256), 1, 3.2),
    ((48, 48, 16), 2, 2.45),
    ((24, 24, 32), 2, 2.65),
    ((12, 12, 64), 2, 3.1),
    ((6, 6, 128), 2, 4.2),
    ((9, 100, 6), 1, 2.1),
    ((31, 17, 9), 2, 4.0),
    ((11, 13, 3), 1, 2.9),
]


@pytest.mark.parametrize(("size", "stride", "most"), SHAPES_3X3)
@pytest.mark.parametrize("function", FUNCTIONS[:4])
def test_speed_3x3(
    images: Mapping[str, Image], function: str, size: tuple[int, int, int], stride: int, most: float
) -> None:
    graph = depthwise(size, stride=(stride, stride))
    extra = (0.0 if function in RELU else 0.4) + (most - 1.4) * 0.4 * (function in (PAIRS_RELU_3X3, PAIRS_ANY_3X3))
    check_speed(images[function], function, graph, most + extra)


@pytest.mark.parametrize(
    ("size", "window", "stride", "multiplier", "most"),
    [
        ((6, 6, 96), (5, 5), 1, 1, 2.6),
        ((12, 12, 40), (5, 5), 1, 1, 1.8),
        ((24, 24, 8), (7, 7), 1, 1, 1.45),
        ((24, 24, 8), (5, 5), 2, 1, 2.7),
        ((49, 1, 60), (9, 1), 1, 1, 2.8),
        ((98, 1, 60), (9, 1), 2, 1, 3.4),
        ((49, 40, 1), (10, 8), 2, 8, 1.7),
        ((30, 30, 1), (7, 7), 1, 8, 1.35),
        ((24, 1, 64), (10, 1), 1, 1, 2.9),
        ((13, 17, 7), (4, 3), 3, 1, 7.0),
        ((20, 20, 8), (2, 2), 1, 1, 5.3),
        ((15, 15, 12), (1, 3), 1, 1, 7.0),
        ((15, 15, 3), (5, 5), 1, 3, 1.9),
    ],
)
def test_speed_any(
    images: Mapping[str, Image],
    size: tuple[int, int, int],
    window: tuple[int, int],
    stride: int,
    multiplier: int,
    most: float,
) -> None:
    graph = depthwise(size, window, (stride, stride), multiplier=multiplier)
    check_speed(images[ANY], ANY, graph, most)


def check_speed(image: Image, function: str, graph: Graph, most: float) -> None:
    """Instructions per multiply-accumulate of the cheapest layout, and for all of them a cost model within 10 % of them."""
    layer = next(graph.layers())
    for layout, offered in enumerate(kernels(function)):
        if offered.applies(layer):
            want, got, instructions = call_kernel(image, function, graph, layout=layout)
            assert_same_bytes(want, got, function)
            assert layout > 0 or instructions / all_ops()[layer.op].macs(layer) < most
            assert 0.9 < offered.cost(layer) / instructions < 1.1


def test_compilers_are_equally_fast(tmp_path: Path) -> None:
    """The loops are in assembly, so what the user's compiler does matters little."""
    graph = depthwise((24, 24, 16))
    counts = []
    for kind, optimize in (("gcc", "-O2"), ("gcc", "-Os"), ("zig", "-O2"), ("zig", "-Os")):
        folder = tmp_path / f"{kind}{optimize}"
        folder.mkdir()
        counts.append(call_kernel(build(RELU_3X3, kind, optimize, folder), RELU_3X3, graph)[2])
    assert max(counts) < 1.02 * min(counts)


# Memory


def test_scratch_is_bounded() -> None:
    """Bands of lines keep it near 2 kB, at most four output lines where the planes are wide."""
    for size, stride, most in (
        ((25, 5, 64), 1, 2048),
        ((48, 48, 8), 1, 3072),
        ((48, 48, 16), 2, 4608),
        ((120, 120, 4), 1, 6144),
    ):
        layer = next(depthwise(size, stride=(stride, stride)).layers())
        assert kernel(RELU_3X3).bind(layer).scratch <= most


@pytest.mark.parametrize("function", FUNCTIONS)
def test_layouts_trade_instructions_for_scratch(function: str) -> None:
    for size, stride in (((25, 5, 64), 1), ((24, 24, 32), 1), ((48, 48, 16), 2)):
        layer = next(depthwise(size, stride=(stride, stride)).layers())
        offered = [k for k in kernels(function) if k.applies(layer)]
        costs, scratch = [k.cost(layer) for k in offered], [k.bind(layer).scratch for k in offered]
        assert len(offered) > 1
        assert costs == sorted(costs)
        assert scratch == sorted(scratch, reverse=True)


def test_keyword_spotting_takes_less_than_800_bytes() -> None:
    """A layer of 8,000 bytes in place, at seven percent more instructions than with twice the scratch."""
    layer = next(depthwise((25, 5, 64)).layers())
    assert kernel(PAIRS_RELU_3X3).bind(layer).scratch == 784
    assert kernel(PAIRS_RELU_3X3).cost(layer) < 1.07 * kernel(RELU_3X3).cost(layer)


def test_records_take_20_bytes_per_channel() -> None:
    layer = next(depthwise((8, 8, 16)).layers())
    for function in (RELU_3X3, ANY_3X3):
        assert kernel(function).bind(layer).constants[0].values.nbytes == 20 * 16


def test_works_in_place_where_shapes_are_equal() -> None:
    assert kernel(RELU_3X3).bind(next(depthwise((8, 8, 16)).layers())).in_place == (0,)
    for graph in (
        depthwise((8, 8, 16), padding="VALID"),
        depthwise((8, 8, 16), stride=(2, 2)),
        depthwise((8, 8, 4), multiplier=2),
    ):
        assert kernel(RELU_3X3).bind(next(graph.layers())).in_place == ()


# Requantization


@pytest.mark.parametrize("number", range(6))
def test_relu_requantization(number: int) -> None:
    """relu()'s packing against TFLite Micro's arithmetic for all accumulators, with shifts that it takes as they are and others."""
    layer = next(
        depthwise(
            (4, 4, 12),
            shifts=((3.0, 10.0), (9.0, 16.0))[number % 2],
            number=number,
            zero_points=(0, (-128, 5)[number % 3 == 2]),
        ).layers()
    )
    c = _planes.channels(layer, False)
    scaled = _planes.relu(c)
    if scaled is None:
        pytest.skip("no short multiplier is exact for these channels")
    least, most = c.range
    for i in range(len(c.bias)):
        x = np.arange(least[i], most[i] + 1)
        want = np.clip(
            multiply_by_quantized_multiplier(x, int(c.multiplier[i]), -int(c.right[i])) + c.zero_point, c.low, 127
        )
        sums = ((x - c.bias[i]) << scaled.power[i]) + scaled.bias[i]
        assert (np.abs(sums) < 1 << 31).all()
        high = sums * scaled.multiplier[i] >> 32
        got = np.clip((high + 512 + c.zero_point * 1024 + scaled.tail[i]) >> _planes.RELU_SHIFT, c.low, 127)
        assert (want == got).all()


def test_long_shifts_are_searched_and_proved() -> None:
    """Channels whose shift is longer than the kernel's, a large bias, and a dead one stay with the ReLU kernel."""
    graph = depthwise((4, 4, 4))
    scales = tuple(layers.scale(s) for s in (0.7 * 2.0**-5, 0.8 * 2.0**-14, 0.6 * 2.0**-20, 0.9 * 2.0**-34))
    bias = np.array([100, 569253, 26558476, 5], np.int32)
    graph = layers.with_tensor(
        layers.with_tensor(graph, 1, quantization=Quantization(scales, (0,) * 4, 3)), 2, data=bias
    )
    assert chosen(graph) == RELU_3X3


# Choice


@pytest.mark.parametrize(
    ("graph", "function"),
    [
        (depthwise((12, 12, 16)), RELU_3X3),
        (depthwise((12, 12, 16), activation="NONE", zero_points=(0, -128)), RELU_3X3),
        (depthwise((12, 12, 16), activation="NONE", zero_points=(0, -127)), ANY_3X3),
        (depthwise((12, 12, 16), shifts=(1.0, 3.0)), ANY_3X3),
        (depthwise((12, 12, 16), stride=(3, 3)), DIRECT),
        (depthwise((12, 12, 64), stride=(2, 2)), DIRECT),
        (depthwise((6, 6, 128)), DIRECT_PAIRS),
        (depthwise((3, 5, 64)), DIRECT_PAIRS),
        (depthwise((12, 12, 16), (5, 5)), ANY),
        (depthwise((8, 130, 16)), PAIRS_RELU_3X3),
        (depthwise((3, 200, 16)), DIRECT_PAIRS),
        (depthwise((200, 200, 4), activation="NONE", zero_points=(0, -127)), ANY),
    ],
)
def test_cheapest(graph: Graph, function: str) -> None:
    (layer,) = graph.layers()
    offered = [k for k in kernels_for(CPUS["cortex-m4"])["DEPTHWISE_CONV_2D"] if not k.partial and k.applies(layer)]
    assert min(offered, key=lambda k: k.cost(layer)).function == function


def refused(name: str) -> Graph:
    graph = depthwise((12, 12, 16), (5, 5))
    if name == "dilation":
        return depthwise((12, 12, 16), (5, 5), dilation=(1, 2))
    if name == "left shift":
        return depthwise((12, 12, 16), (5, 5), shifts=(-2.0, -1.0))
    if name == "no shift":
        return depthwise((12, 12, 16), (5, 5), shifts=(0.0, 0.5))
    if name == "large sum":
        return layers.with_tensor(graph, 2, data=np.full(16, 1 << 30, np.int32))
    if name == "wide filter":
        return depthwise((40, 40, 4), (17, 17))
    position = {"computed filter": 1, "computed bias": 2}[name]
    tensors = tuple(replace(t, data=None) if i == position else t for i, t in enumerate(graph.tensors))
    return replace(graph, tensors=tensors, inputs=(0, position), input_names=("input", "other"))


@pytest.mark.parametrize(
    "name", ["dilation", "left shift", "no shift", "large sum", "wide filter", "computed filter", "computed bias"]
)
def test_falls_back(name: str) -> None:
    layer = next(refused(name).layers())
    assert problems(layer) == []
    assert not any(kernel(function).applies(layer) for function in FUNCTIONS)


@pytest.mark.parametrize("cpu_name", sorted(CPUS))
def test_chosen_on_cores_with_the_extension_only(cpu_name: str) -> None:
    offered = {k.function for k in kernels_for(CPUS[cpu_name])["DEPTHWISE_CONV_2D"]}
    assert (set(FUNCTIONS) <= offered) == ("dsp" in CPUS[cpu_name].features)


def test_one_output_is_left_to_the_generic_kernel() -> None:
    assert chosen(depthwise((9, 1, 64), (9, 1), padding="VALID")) not in FUNCTIONS
