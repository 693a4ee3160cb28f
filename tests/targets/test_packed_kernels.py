# SPDX-License-Identifier: Apache-2.0
"""The kernels for cores without SIMD, which compute two pixels with one multiplication (armv7m, armv6m): exact, inside their
buffers, in the time that their cost says, and chosen where they are faster."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import guarded
import layers
import numpy as np
import pytest
from direct_call import Buffer, call
from dsp_harness import chosen, emulator, main_program, merged, need_compiler, sample
from hypothesis import strategies as st
from oracle import assert_same_bytes, random_inputs
from tinyc import reference
from tinyc.emit import emit, runtime_files
from tinyc.graph import Array, Graph, Quantization, Tensor, single_node_graph
from tinyc.lower import assemble
from tinyc.memory import plan_memory
from tinyc.ops import all_ops, problems
from tinyc.ops._fixed_point import multiply_by_quantized_multiplier
from tinyc.program import Params
from tinyc.select import Candidate
from tinyc.targets import Kernel, _packed_pixels, _packed_planes, kernels_for
from tinyc.targets._packed_pixels import Channel
from tinyc.targets.armv6m import _requantize as armv6m_requantize
from tinyc.targets.armv7m import _requantize as armv7m_requantize
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image, build_image
from unicorn import arm_const as arm

#: Core → its kernels' folder and unicorn's model of it.
CORES = {"cortex-m3": ("armv7m", arm.UC_CPU_ARM_CORTEX_M3), "cortex-m0plus": ("armv6m", arm.UC_CPU_ARM_CORTEX_M0)}
BUILDS = [(cpu, kind, optimize) for cpu in CORES for kind in ("gcc", "zig") for optimize in ("-O2", "-Os")]
OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def kernels(cpu_name: str, op: str) -> list[Kernel]:
    return [kernel for kernel in kernels_for(CPUS[cpu_name])[op] if kernel.isa == CORES[cpu_name][0]]


def kernel(cpu_name: str, op: str, function: str | None = None) -> Kernel:
    """The kernel of `op`; FULLY_CONNECTED has two."""
    name = function or f"tinyc_{op.lower()}_s8"
    return next(k for k in kernels(cpu_name, op) if k.function == f"{name}_{k.isa}")


# Layers


@st.composite
def scales(draw: st.DrawFn, channels: int, terms: int) -> tuple[float, tuple[float, ...]]:
    """(input, filter scales) for an output scale of 1: results from far too small to far too large, ties, and dead channels."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([1, channels]))
    usual = 1.5 + np.log2(terms) / 2 + 5.0
    exponents = usual + random.uniform(-3.0, 3.0, count)
    kind = draw(st.sampled_from(["usual", "usual", "power of two", "small", "wide"]))
    if kind == "power of two":
        exponents = np.ceil(exponents)
    if kind == "small":
        exponents = random.uniform(1.0, 4.0, count)
    if kind == "wide":
        exponents = random.uniform(1.0, 24.0, count)
    if draw(st.integers(0, 3)) == 0:
        exponents[random.integers(0, count)] = random.choice([30.0, 34.0, 45.0])
    exponents = np.maximum(exponents, 1.0)
    return 1.0, tuple(layers.scale(2.0**-e if e == int(e) else 0.999 * 2.0**-e) for e in exponents)


@st.composite
def graphs(draw: st.DrawFn, op: str, limit: int = 6000) -> Graph:
    """A layer that the kernels take, unless a left shift or a large plane forbids it; about `limit` products at most."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    attributes: dict[str, object] = {"activation": draw(layers.ACTIVATIONS)}
    if op == "FULLY_CONNECTED":
        depth, channels = draw(st.integers(1, 40) | st.sampled_from([63, 64, 65, 100])), draw(st.integers(1, 20))
        shape: tuple[int, ...] = (channels, depth)
        image: tuple[int, ...] = (*draw(st.sampled_from([(1,), (2,), (4,), (2, 3), (9,)])), depth)
        terms, axis = depth, 0
        attributes |= {"weights_format": "DEFAULT", "keep_num_dims": len(image) > 2}
    else:
        window = draw(layers.windows(draw(st.sampled_from([1, 3, 3, 5]))))
        if draw(st.booleans()):
            window["size"], window["image"] = (3, 3), (draw(st.integers(7, 10)), draw(st.integers(7, 10)))
        attributes |= window["attributes"]
        rows, columns = window["size"]
        if op == "CONV_2D":
            depth = draw(st.integers(1, 9) | st.sampled_from([16, 32, 33]))
            channels = max(1, min(draw(st.integers(1, 20)), limit // (depth * rows * columns)))
            shape, terms, axis = (channels, rows, columns, depth), depth * rows * columns, 0
        else:
            depth, multiplier = draw(st.integers(1, 9)), draw(st.sampled_from([1, 1, 1, 2, 3]))
            channels = depth * multiplier
            shape, terms, axis = (1, rows, columns, channels), rows * columns, 3
            attributes["depth_multiplier"] = multiplier
        image = (draw(st.sampled_from([1, 1, 2])), *window["image"], depth)
    source, filter_scales = draw(scales(channels, terms))
    size = draw(st.sampled_from([100, 20000, 1000000, 300000000]))
    bias = None
    if op != "CONV_2D" or draw(st.integers(0, 4)) > 0:
        values = random.integers(-size, size, channels).astype(np.int32)
        bias = Tensor("bias", (channels,), "int32", Quantization((filter_scales[0],), (0,)), values)
    quantization = Quantization(filter_scales, (0,) * len(filter_scales), axis)
    data = draw(layers.weights(shape))
    if draw(st.integers(0, 3)) == 0:
        data = (data // 4).astype(np.int8)
    inputs = (
        Tensor("input", image, "int8", Quantization((source,), (draw(layers.ZERO_POINTS),))),
        Tensor("filter", shape, "int8", quantization, data),
        bias,
    )
    output = Quantization((1.0,), (draw(layers.ZERO_POINTS),))
    if op == "FULLY_CONNECTED":
        result = Tensor("output", (*image[:-1], channels), "int8", output)
        return single_node_graph(op, inputs, (result,), attributes)
    return layers.with_output_shape(op, inputs, output, attributes)


@cache
def samples(op: str, limit: int, count: int, number: int) -> tuple[Graph, ...]:
    """`count` layers, another set for each number."""
    return tuple(sample(graphs(op, limit), count, number))


def applying(cpu_name: str, found: Sequence[Graph]) -> list[tuple[Graph, Kernel]]:
    """Every layer with every kernel of the core's own that takes it."""
    pairs = []
    for graph in found:
        layer = next(graph.layers())
        assert problems(layer) == []
        pairs += [(graph, k) for k in kernels(cpu_name, layer.op) if k.applies(layer)]
    return pairs


# Whole builds in emulation


def check_emulated(
    pairs: Sequence[tuple[Graph, Kernel]], cpu_name: str, kind: str, optimize: str, folder: Path
) -> None:
    """All layers in one image against the numpy reference, for random inputs and for both ends."""
    cpu = CPUS[cpu_name]
    graph = merged([graph for graph, _ in pairs])
    candidates = [Candidate(k, k.bind(g), 0.0, 0) for g, (_, k) in zip(graph.layers(), pairs, strict=True)]
    program = assemble(graph, cpu, candidates)
    sources = {**emit(program, plan_memory(program), "m"), "main.c": main_program(graph)}
    image = build_image(sources, cpu, folder, toolchain=kind, optimize=optimize)
    runs = [random_inputs(graph, seed) for seed in range(2)]
    runs += [[np.full(tensor.shape, end, np.int8) for tensor in graph.input_tensors] for end in (-128, 127)]
    stdin = b"".join(array.tobytes() for inputs in runs for array in inputs)
    output = emulator(cpu_name).run(image, stdin, entry="m_run", timeout=300).output
    position = 0
    for inputs in runs:
        expected = reference.outputs(graph, inputs)
        for (single, k), want in zip(pairs, expected, strict=True):
            got = np.frombuffer(output[position : position + want.size], np.int8)
            layer = next(single.layers())
            where = (
                f"{k.function} {kind} {optimize} {layer.input(0).shape} {layer.input(1).shape} {dict(layer.attributes)}"
            )
            assert_same_bytes(want.reshape(-1), got, where)
            position += want.size
    assert position == len(output)


@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
def test_exact_in_emulation(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    pairs = applying(cpu_name, [graph for op in OPERATORS for graph in samples(op, 2000, 10, 1)])
    assert len(pairs) > 20
    check_emulated(pairs, cpu_name, kind, optimize, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("cpu_name", CORES)
def test_exact_in_emulation_many(cpu_name: str, op: str, number: int, tmp_path: Path) -> None:
    need_compiler(cpu_name, "gcc")
    pairs = applying(cpu_name, samples(op, 6000, 120, 100 + number))
    assert len(pairs) > 60
    check_emulated(pairs, cpu_name, "gcc", "-O2", tmp_path)


# The kernels alone, in memory that faults outside their buffers


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """For each core an image with all its kernels."""
    found = {}
    for cpu_name, (isa, _) in CORES.items():
        need_compiler(cpu_name, "gcc")
        functions = sorted({k.function for op in OPERATORS for k in kernels(cpu_name, op)})
        keep = "".join(f"keep = (void *){function};" for function in functions)
        text = f'#include "tinyc_kernels.h"\nvoid *volatile keep;\nint main(void) {{ {keep} return 0; }}\n'
        sources = {**runtime_files(dict.fromkeys(functions, isa)), "main.c": text.encode()}
        folder = tmp_path_factory.mktemp(isa)
        found[cpu_name] = build_image(sources, CPUS[cpu_name], folder, toolchain="gcc", optimize="-O2")
    return found


def call_kernel(image: Image, cpu_name: str, graph: Graph, k: Kernel, start: bool) -> None:
    """Checks one layer; each buffer ends (or begins) where memory does."""
    layer = next(graph.layers())
    binding = k.bind(layer)
    assert isinstance(binding.params, Params)
    inputs = random_inputs(graph, 0)
    want = reference.outputs(graph, inputs)[0].reshape(-1)
    fields = np.array([int(v) for v in binding.params.fields.values()], np.int32)  # type: ignore[call-overload]
    parts = [fields.tobytes(), inputs[0].tobytes(), binding.constants[0].values.tobytes(), bytes(want.size)]
    # Words must be aligned at the end of a page, too.
    parts += [bytes(-(-binding.scratch // 4) * 4)] if binding.scratch else []
    buffers = [Buffer(part, start) for part in parts]
    after, _ = call(image, k.function, buffers, CORES[cpu_name][1])
    assert [after[i] for i in range(3)] == [buffers[i].data for i in range(3)]
    assert_same_bytes(want, np.frombuffer(after[3], np.int8), k.function)


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("cpu_name", CORES)
def test_stays_inside_its_buffers(images: dict[str, Image], cpu_name: str, op: str) -> None:
    for number, (graph, k) in enumerate(applying(cpu_name, samples(op, 1500, 12, 2))):
        call_kernel(images[cpu_name], cpu_name, graph, k, number % 2 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("cpu_name", CORES)
def test_stays_inside_its_buffers_many(images: dict[str, Image], cpu_name: str, op: str) -> None:
    for number, (graph, k) in enumerate(applying(cpu_name, samples(op, 6000, 200, 3))):
        call_kernel(images[cpu_name], cpu_name, graph, k, number % 2 == 0)
        assert over_the_input(images[cpu_name], cpu_name, graph, k, number % 3) in (True, None)
        assert not k.bind(next(graph.layers())).in_place or over_at(images[cpu_name], cpu_name, graph, k, 0)


def over_the_input(
    image: Image, cpu_name: str, graph: Graph, k: Kernel, more: int, data: Array | None = None
) -> bool | None:
    """Whether a layer is right with the output over the input, `more` bytes before its lead; None where they must stay apart."""
    lead = k.bind(next(graph.layers())).overlap.get(0)
    return None if lead is None else over_at(image, cpu_name, graph, k, lead + more, data)


def over_at(image: Image, cpu_name: str, graph: Graph, k: Kernel, ahead: int, data: Array | None = None) -> bool:
    """Whether a layer is right with the output `ahead` bytes before the input."""
    binding = k.bind(next(graph.layers()))
    values = random_inputs(graph, 0)[0] if data is None else data
    want = reference.outputs(graph, [values])[0].tobytes()
    buffers, output = guarded.arguments(binding, values, len(want))
    if binding.scratch:
        buffers[-1] += bytes(-len(buffers[-1]) % 4)
    memory = guarded.over(buffers, 1, output, ahead)
    after, _ = call(image, k.function, memory, CORES[cpu_name][1], first_argument=1)
    first = memory[1 + output].offset
    kept = bytearray(memory[0].data)
    kept[first : first + len(want)] = after[0][first : first + len(want)]
    assert after[0] == bytes(kept)
    return after[1 + output] == want


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("cpu_name", CORES)
def test_over_the_input(images: dict[str, Image], cpu_name: str, op: str) -> None:
    """In one buffer at the lead, and some way before it."""
    found = [
        (graph, k, more, over_the_input(images[cpu_name], cpu_name, graph, k, more))
        for number, (graph, k) in enumerate(applying(cpu_name, samples(op, 1500, 20, 5)))
        for more in (0, (1, 16, 33)[number % 3])
    ]
    wrong = [(k.function, more, graph.tensors[0].shape) for graph, k, more, right in found if right is False]
    assert wrong == []
    assert sum(right is True for *_, right in found) > 15


@pytest.mark.parametrize("cpu_name", CORES)
def test_in_place(images: dict[str, Image], cpu_name: str) -> None:
    """Depthwise layers of one size, at the same address."""
    graphs = [*samples("DEPTHWISE_CONV_2D", 1500, 150, 6), layer("DEPTHWISE_CONV_2D", (25, 5, 8), (3, 3))]
    found = [
        over_at(images[cpu_name], cpu_name, graph, k, 0)
        for graph, k in applying(cpu_name, graphs)
        if k.bind(next(graph.layers())).in_place == (0,)
    ]
    assert (all(found), len(found) > 15) == (True, True)


@pytest.mark.parametrize("cpu_name", CORES)
def test_in_place_is_for_whole_channels_and_the_same_address_only(images: dict[str, Image], cpu_name: str) -> None:
    """A next band of rows would read what is replaced already; parts of a pixel away, channels that are not read yet are replaced."""
    graph = layer("DEPTHWISE_CONV_2D", (41, 20, 6), (3, 3), **SIGNED)
    data = np.random.default_rng(0).choice(np.array([-128, 127], np.int8), graph.tensors[0].shape)
    fast, small = kernels(cpu_name, "DEPTHWISE_CONV_2D")
    assert [k.bind(next(graph.layers())).in_place for k in (fast, small)] == [(0,), ()]
    right = [over_at(images[cpu_name], cpu_name, graph, fast, ahead, data) for ahead in (0, 1, 2, 4, 16)]
    assert right == [True, False, False, False, False]
    assert not over_at(images[cpu_name], cpu_name, graph, small, 0, data)


@pytest.mark.parametrize("cpu_name", CORES)
def test_leads_are_exact(images: dict[str, Image], cpu_name: str) -> None:
    """One byte later is wrong for some input."""
    ends = np.array([-128, 127], np.int8)
    leads, loose = 0, []
    small = [graph for graph in SHAPES if all(np.prod(graph.tensors[i].shape) < 3000 for i in (0, 1, -1))]
    for graph, k in applying(cpu_name, small):
        shape = graph.tensors[0].shape
        if k.bind(next(graph.layers())).overlap.get(0, 0) > 0:
            leads += 1
            inputs = (np.random.default_rng(seed).choice(ends, shape) for seed in range(4))
            if all(over_the_input(images[cpu_name], cpu_name, graph, k, -1, data) for data in inputs):
                loose.append((k.function, shape, graph.tensors[1].shape))
    assert loose == []
    assert leads > 4


# Arithmetic of the records, which the kernels' code follows


def channels(count: int) -> list[Channel]:
    """Channels with every kind of multiplier, shift, zero point and range."""
    random = np.random.default_rng(7)
    found = []
    for number in range(count):
        right = int(random.choice([1, 2, *range(3, 13), 16, 20, 22]))
        multiplier = [1 << 30, (1 << 31) - 1, int(random.integers(1 << 30, 1 << 31))][min(number % 5, 2)]
        zero_point = int(random.choice([-128, -128, 127, 0, int(random.integers(-128, 128))]))
        low = int(random.choice([-128, min(zero_point, 126)]))
        reach = min(int(2.0 ** (right + random.uniform(8, 13))), (1 << 30) - 1)
        least, most = -int(random.integers(1, reach + 1)), int(random.integers(1, reach + 1))
        weights = np.zeros(4, np.int8)
        found.append(Channel(number, weights, 0, least, most, multiplier, right, zero_point, low))
    return found


def accumulators(channel: Channel) -> Array:
    """Both ends, everything around the thresholds, and some between."""
    near = _packed_pixels.thresholds(channel, np.arange(-129, 130))[:, None] + np.arange(-2, 3)
    spread = np.random.default_rng(0).integers(channel.least, channel.most + 1, 200)
    all_of_them = np.concatenate([near.reshape(-1), spread, [channel.least, channel.most, 0, -1, 1]])
    return all_of_them[(all_of_them >= channel.least) & (all_of_them <= channel.most)]


def expected(channel: Channel, acc: Array) -> Array:
    scaled = multiply_by_quantized_multiplier(acc, channel.multiplier, -channel.right)
    return np.clip(scaled + channel.zero_point, channel.low, 127)


def test_thresholds_are_where_results_change() -> None:
    for channel in channels(200):
        results = np.arange(-127, 128)
        at = _packed_pixels.thresholds(channel, results)
        for step, change in ((0, 0), (-1, 1)):
            scaled = multiply_by_quantized_multiplier(at + step, channel.multiplier, -channel.right)
            below = scaled + channel.zero_point < results
            assert (below == bool(change)).all()


def test_armv7m_records() -> None:
    """((acc + offset) * multiplier >> 32) + rounding >> shift, or with the high product's rounding bit and the sign."""
    short = 0
    for channel in channels(300):
        acc = accumulators(channel)
        for offset, flags, (multiplier, rounding) in (
            armv7m_requantize.record(channel),
            armv7m_requantize.signed_record(channel),
        ):
            short += not flags & armv7m_requantize.SIGNED
            shift = flags & 0xFF
            if flags & armv7m_requantize.SIGNED:
                high = ((acc * multiplier + (1 << 30)) >> 31) + (acc >> 31)
            else:
                high = ((acc + offset) * multiplier) >> 32
            assert (np.abs(high + rounding) < 1 << 31).all()
            got = np.clip(np.clip((high + rounding) >> shift, -128, 127), channel.low, 127)
            assert (got == expected(channel, acc)).all()
    assert short > 100


def test_armv6m_records() -> None:
    """As compiler/targets/armv6m/_requantize.py explains, in 32 bits; most channels have such a record."""
    short = 0
    for channel in channels(300):
        offset, flags, words = armv6m_requantize.record(armv6m_requantize.LONG_RECORD)(channel)
        if flags & 0xFF == 0:
            assert words[:3] == [channel.multiplier, channel.right, channel.zero_point]
            continue
        short += 1
        addend, multiplier, slope, intercept, jump, zero = words
        acc = accumulators(channel)
        product = (acc + offset) * multiplier + addend
        assert (np.abs(product) < 1 << 31).all()
        v = product >> (flags & 0xFF)
        line = (v * slope + intercept + np.where(v <= zero, jump, 0)) & 0xFFFFFFFF
        below = ((acc + offset) & 0xFFFFFFFF) < line >> (flags >> 8 & 0xFF)
        got = np.where(v < 0, -128, np.where(v > 254, 127, v - 127 - below))
        assert (np.clip(got, channel.low, 127) == expected(channel, acc)).all()
    assert short > 200


def test_weights_are_split_exactly() -> None:
    random = np.random.default_rng(0)
    for size in (1, 2, 3, 4, 9, 64, 577):
        for ends in (False, True):
            weights = (
                random.choice([-128, 127], size) if ends else np.clip(random.normal(0, 60, size), -128, 127)
            ).astype(np.int8)
            cut, corrections = _packed_pixels.split(weights)
            assert len(cut) % 4 == 0
            assert np.abs(cut.astype(np.int64)).reshape(-1, 4).sum(axis=1).max() <= 255
            total = cut.astype(np.int64)
            for position, piece in corrections:
                assert -127 <= piece <= 127
                total[position] += piece
            assert (total[:size] == weights).all()
            assert not total[size:].any()


# Cost and choice


def layer(
    op: str,
    image: tuple[int, ...],
    window: tuple[int, int] = (1, 1),
    filters: int = 0,
    *,
    zero_points: tuple[int, int] = (-5, -128),
    activation: str = "RELU",
    multiplier: int = 1,
    **attributes: object,
) -> Graph:
    """A layer with weights and scales like those of trained networks."""
    random = np.random.default_rng(0)
    channels_out = image[-1] * multiplier if op == "DEPTHWISE_CONV_2D" else filters
    terms = window[0] * window[1] * (1 if op == "DEPTHWISE_CONV_2D" else image[-1])
    shape: tuple[int, ...] = {
        "CONV_2D": (channels_out, *window, image[-1]),
        "DEPTHWISE_CONV_2D": (1, *window, channels_out),
        "FULLY_CONNECTED": (channels_out, image[-1]),
    }[op]
    exponents = np.log2(terms) / 2 + 6.5 + random.uniform(-1, 1, channels_out)
    scales = tuple(layers.scale(2.0**-e) for e in exponents)
    weights = np.clip(np.round(random.normal(0, 45, shape)), -127, 127).astype(np.int8)
    axis = 3 if op == "DEPTHWISE_CONV_2D" else 0
    inputs = (
        Tensor(
            "input",
            image if op == "FULLY_CONNECTED" else (1, *image),
            "int8",
            Quantization((1.0,), (zero_points[0],)),
        ),
        Tensor("filter", shape, "int8", Quantization(scales, (0,) * channels_out, axis), weights),
        Tensor("bias", (channels_out,), "int32", None, random.integers(-4000, 4000, channels_out).astype(np.int32)),
    )
    output = Quantization((1.0,), (zero_points[1],))
    if op == "FULLY_CONNECTED":
        options = {"activation": activation, "weights_format": "DEFAULT", "keep_num_dims": False}
        result = Tensor("output", (*image[:-1], channels_out), "int8", output)
        return single_node_graph(op, inputs, (result,), options)
    options = {"stride": (1, 1), "dilation": (1, 1), "padding": "SAME", "activation": activation, **attributes}
    if op == "DEPTHWISE_CONV_2D":
        options["depth_multiplier"] = multiplier
    return layers.with_output_shape(op, inputs, output, options)


SIGNED = {"zero_points": (3, 4), "activation": "NONE"}
SHAPES = [
    layer("CONV_2D", (25, 5, 64), filters=64),
    layer("CONV_2D", (24, 24, 8), filters=16),
    layer("CONV_2D", (12, 12, 32), filters=64, **SIGNED),
    layer("CONV_2D", (8, 8, 32), (3, 3), 32, **SIGNED),
    layer("CONV_2D", (24, 24, 3), (3, 3), 8, stride=(2, 2)),
    layer("CONV_2D", (16, 16, 16), (3, 3), 16),
    layer("CONV_2D", (49, 10, 1), (10, 4), 32, stride=(2, 2)),
    layer("CONV_2D", (16, 16, 16), (1, 1), 32, stride=(2, 2)),
    layer("CONV_2D", (9, 9, 12), (5, 5), 7, padding="VALID"),
    layer("CONV_2D", (20, 1, 40), (5, 1), 30),
    layer("CONV_2D", (7, 7, 4), (3, 3), 3, dilation=(2, 2)),
    layer("CONV_2D", (1, 1, 40), filters=30),
    layer("DEPTHWISE_CONV_2D", (25, 5, 32), (3, 3)),
    layer("DEPTHWISE_CONV_2D", (48, 48, 4), (3, 3)),
    layer("DEPTHWISE_CONV_2D", (24, 24, 16), (3, 3), stride=(2, 2)),
    layer("DEPTHWISE_CONV_2D", (6, 6, 64), (3, 3)),
    layer("DEPTHWISE_CONV_2D", (3, 3, 64), (3, 3)),
    layer("DEPTHWISE_CONV_2D", (12, 12, 16), (5, 5), **SIGNED),
    layer("DEPTHWISE_CONV_2D", (20, 1, 32), (5, 1)),
    layer("DEPTHWISE_CONV_2D", (13, 11, 6), (3, 3), padding="VALID", multiplier=2),
    layer("DEPTHWISE_CONV_2D", (9, 9, 8), (3, 3), dilation=(2, 2)),
    layer("DEPTHWISE_CONV_2D", (20, 20, 4), (3, 3), **SIGNED),
    layer("DEPTHWISE_CONV_2D", (25, 20, 1), (10, 8), multiplier=8, stride=(2, 2)),
    layer("FULLY_CONNECTED", (1, 128), filters=128),
    layer("FULLY_CONNECTED", (1, 640), filters=32),
    layer("FULLY_CONNECTED", (1, 64), filters=12),
    layer("FULLY_CONNECTED", (1, 8), filters=128),
    layer("FULLY_CONNECTED", (1, 128), filters=64, **SIGNED),
    layer("FULLY_CONNECTED", (6, 40), filters=30),
]


def counted(pairs: Sequence[tuple[Graph, Kernel]], cpu_name: str, folder: Path, **build: str) -> tuple[int, ...]:
    """Instructions of each layer."""
    graph = merged([graph for graph, _ in pairs])
    candidates = [Candidate(k, k.bind(g), 0.0, 0) for g, (_, k) in zip(graph.layers(), pairs, strict=True)]
    program = assemble(graph, CPUS[cpu_name], candidates)
    sources = {**emit(program, plan_memory(program), "m"), "main.c": main_program(graph)}
    image = build_image(sources, CPUS[cpu_name], folder, **build)  # type: ignore[arg-type]
    stdin = b"".join(array.tobytes() for array in random_inputs(graph, 0))
    marks = sorted({k.function for _, k in pairs})
    result = emulator(cpu_name).run(image, stdin, entry="m_run", marks=marks, timeout=300).layers
    assert result is not None
    return result


@pytest.mark.parametrize("cpu_name", CORES)
def test_costs_predict_instructions(cpu_name: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, "gcc")
    pairs = applying(cpu_name, SHAPES)
    assert len(pairs) > 30
    counts = counted(pairs, cpu_name, tmp_path, toolchain="gcc", optimize="-O2")
    ratios = {
        f"{k.function} {graph.tensors[0].shape} {graph.tensors[1].shape} {i}": k.cost(next(graph.layers())) / count
        for i, ((graph, k), count) in enumerate(zip(pairs, counts, strict=True))
    }
    assert {name: ratio for name, ratio in ratios.items() if not 0.92 < ratio < 1.08} == {}


@pytest.mark.slow
@pytest.mark.parametrize("cpu_name", CORES)
def test_compiler_and_its_options_hardly_matter(cpu_name: str, tmp_path: Path) -> None:
    pairs = applying(cpu_name, SHAPES)
    totals = {}
    for kind in ("gcc", "zig"):
        need_compiler(cpu_name, kind)
        for optimize in ("-O2", "-Os"):
            totals[kind, optimize] = sum(counted(pairs, cpu_name, tmp_path, toolchain=kind, optimize=optimize))
    assert max(totals.values()) < 1.05 * min(totals.values()), totals


#: Instructions per multiply-accumulate, at most, on the Cortex-M3 and the Cortex-M0+.
SPEED = [
    (SHAPES[0], 1.45, 2.7),
    (SHAPES[5], 1.55, 2.8),
    (SHAPES[13], 3.6, 6.5),
    (SHAPES[23], 2.3, 4.8),
]


@pytest.mark.parametrize("cpu_name", CORES)
def test_instructions_per_mac(cpu_name: str, tmp_path: Path) -> None:
    """The speed that the kernels exist for."""
    need_compiler(cpu_name, "gcc")
    pairs = [(graph, kernel(cpu_name, graph.nodes[0].op)) for graph, *_ in SPEED]
    counts = counted(pairs, cpu_name, tmp_path, toolchain="gcc", optimize="-O2")
    for (graph, *limits), count in zip(SPEED, counts, strict=True):
        single = next(graph.layers())
        macs = all_ops()[single.op].macs
        assert macs is not None
        assert count / macs(single) < limits[list(CORES).index(cpu_name)]


@pytest.mark.parametrize("cpu_name", CORES)
@pytest.mark.parametrize("index", [0, 5, 12, 23])
def test_chosen_for_usual_layers(cpu_name: str, index: int) -> None:
    graph = SHAPES[index]
    assert chosen(graph, cpu_name) == kernel(cpu_name, graph.nodes[0].op).function


@pytest.mark.parametrize("cpu_name", sorted(CPUS))
def test_only_on_their_cores(cpu_name: str) -> None:
    isas = {k.isa for group in kernels_for(CPUS[cpu_name]).values() for k in group}
    wanted = {CORES[cpu_name][0]} if cpu_name in CORES else set()
    assert isas & {"armv7m", "armv6m"} == wanted


def refused(name: str) -> Graph:
    graph = layer("CONV_2D", (6, 6, 8), (3, 3), 4)
    if name == "left shift":
        return layers.with_tensor(graph, 1, quantization=Quantization((2.0,), (0,)))
    if name == "no shift":
        return layers.with_tensor(graph, 1, quantization=Quantization((layers.scale(0.7),), (0,)))
    if name == "large sum":
        scales = (layers.scale(2.0**-9), layers.scale(2.0**-23), layers.scale(2.0**-9), layers.scale(2.0**-9))
        graph = layers.with_tensor(graph, 1, quantization=Quantization(scales, (0,) * 4))
        return layers.with_tensor(graph, 2, data=np.array([0, 257 << 22, 0, 0], np.int32))
    if name == "groups":
        data = graph.tensors[1].data
        assert data is not None
        return layers.with_tensor(graph, 1, shape=(4, 3, 3, 4), data=data[..., :4])
    assert name == "large scratch"
    return layer("CONV_2D", (3, 3, 300), (3, 3), 4)


@pytest.mark.parametrize("name", ["left shift", "no shift", "large sum", "groups", "large scratch"])
@pytest.mark.parametrize("cpu_name", CORES)
def test_falls_back(cpu_name: str, name: str) -> None:
    single = next(refused(name).layers())
    assert problems(single) == []
    assert [k for k in kernels(cpu_name, "CONV_2D") if k.applies(single)] == []


@pytest.mark.parametrize("cpu_name", CORES)
def test_constant_channels_take_no_weights(cpu_name: str) -> None:
    """A channel that is shifted out completely, and one whose bias saturates it."""
    graph = layer("CONV_2D", (6, 6, 64), filters=8)
    scales = (layers.scale(2.0**-40), *(layers.scale(2.0**-9) for _ in range(7)))
    graph = layers.with_tensor(graph, 1, quantization=Quantization(scales, (0,) * 8))
    bias = np.array([5, 1 << 28, 0, 0, 0, 0, 0, 0], np.int32)
    single = next(layers.with_tensor(graph, 2, data=bias).layers())
    k = kernel(cpu_name, "CONV_2D")
    params, (stream,) = k.bind(single).params, k.bind(single).constants
    assert params is not None
    assert params.fields["constants"] == 2
    assert params.fields["first_channel"] == 2
    assert stream.values[:2].tolist() == [0 << 8 | 0x80, 1 << 8 | 0x7F]
    assert stream.values.nbytes < 6 * (64 + 60) + 8


def test_scratch_is_bounded() -> None:
    tall = next(layer("DEPTHWISE_CONV_2D", (300, 60, 1), (3, 3)).layers())
    cut = _packed_planes.planes(tall)
    assert cut is not None
    assert cut.bytes <= _packed_planes.PLANE_LIMIT + 4
    assert cut.pairs > 1
    wide = next(layer("DEPTHWISE_CONV_2D", (4, 3000, 1), (3, 3)).layers())
    assert _packed_planes.planes(wide) is None
