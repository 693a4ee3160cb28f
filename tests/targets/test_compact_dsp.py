# SPDX-License-Identifier: Apache-2.0
"""The kernels for the smallest flash on the DSP extension: exact, inside their buffers, over their input, small, as fast as predicted."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import layers
import numpy as np
import pytest
import scalar_layers
from direct_call import BUFFERS, PAGE, Buffer, call
from dsp_harness import BUILDS, emulator, main_program, merged, need_compiler, sample
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import assert_same_bytes, random_inputs
from scalar_layers import usual
from tinyc import reference
from tinyc.emit import emit, runtime_files
from tinyc.graph import Array, Graph, Quantization
from tinyc.lower import assemble
from tinyc.memory import plan_memory
from tinyc.ops import problems
from tinyc.ops._fixed_point import multiply_by_quantized_multiplier
from tinyc.program import Binding, Input, Output, Params, ParamsPointer
from tinyc.select import Candidate
from tinyc.targets import Kernel, kernels_for
from tinyc.targets._filters import Filters, filters
from tinyc.targets.cortex_m_dsp import _compact
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image, build_image, compile_objects

CONV = "tinyc_conv_2d_compact_s8_dsp"
DEPTHWISE = "tinyc_depthwise_compact_s8_dsp"
OPERATORS = [
    ("CONV_2D", CONV),
    ("FULLY_CONNECTED", CONV),
    ("DEPTHWISE_CONV_2D", CONV),
    ("DEPTHWISE_CONV_2D", DEPTHWISE),
]
#: The parameter structs in memory.
STRUCTS = {"tinyc_conv_2d_compact_dsp_params": "<Ii10h10B2b", "tinyc_depthwise_compact_dsp_params": "<I8h10B2b"}


def kernel(op: str, function: str) -> Kernel:
    return next(k for k in kernels_for(CPUS["cortex-m4"])[op] if k.function == function)


def takers(graph: Graph) -> list[Kernel]:
    """The kernels that take a graph of one layer."""
    (layer,) = graph.layers()
    found = [kernel(op, function) for op, function in OPERATORS if op == layer.op]
    return [candidate for candidate in found if candidate.applies(layer)]


@st.composite
def taken(draw: st.DrawFn, op: str) -> Graph:
    """A layer that one of the kernels takes."""
    graph = draw(scalar_layers.layer(op))
    assume(problems(next(graph.layers())) == [] and takers(graph))
    return graph


def mixed() -> st.SearchStrategy[Graph]:
    return st.one_of(*(taken(op) for op in dict(OPERATORS)))


# All in emulation


def program_of(graphs: Sequence[Graph], kernels: Sequence[Kernel], optimize: str) -> tuple[Graph, dict[str, bytes]]:
    """Independent layers as one program, each computed by its kernel. -Os is a build for size."""
    graph = merged(list(graphs))
    candidates = [Candidate(k, k.bind(layer), 0.0, 0) for k, layer in zip(kernels, graph.layers(), strict=True)]
    program = assemble(graph, CPUS["cortex-m4"], candidates)
    sources = emit(program, plan_memory(program), "m", "size" if optimize == "-Os" else "speed")
    return graph, {**sources, "main.c": main_program(graph)}


def inputs_of(graph: Graph) -> list[list[Array]]:
    """Random inputs, and those at the ends of the range."""
    ends = [[np.full(t.shape, value, np.int8) for t in graph.input_tensors] for value in (-128, 127)]
    return [random_inputs(graph, 0), *ends]


def check(graphs: list[Graph], cpu_name: str, kind: str, optimize: str, folder: Path) -> None:
    need_compiler(cpu_name, kind)
    pairs = [(graph, taker) for graph in graphs for taker in takers(graph)]
    graph, sources = program_of([g for g, _ in pairs], [k for _, k in pairs], optimize)
    image = build_image(sources, CPUS[cpu_name], folder, toolchain=kind, optimize=optimize)
    runs = inputs_of(graph)
    stdin = b"".join(array.tobytes() for inputs in runs for array in inputs)
    output = emulator(cpu_name).run(image, stdin, entry="m_run", timeout=200).output
    position = 0
    for inputs in runs:
        for node, want in zip(graph.nodes, reference.outputs(graph, inputs), strict=True):
            got = np.frombuffer(output[position : position + want.size], np.int8)
            shapes = [graph.tensors[i].shape for i in node.inputs[:2]]
            what = f"{pairs[node.index][1].function} {cpu_name} {kind} {optimize} {shapes} {node.attributes}"
            assert_same_bytes(want.reshape(-1), got, what)
            position += want.size
    assert position == len(output)


@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
def test_exact_in_emulation(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    number = BUILDS.index((cpu_name, kind, optimize))
    graphs = [graph for op in dict(OPERATORS) for graph in sample(taken(op), 6, number)]
    assert {taker.function for graph in graphs for taker in takers(graph)} == {CONV, DEPTHWISE}
    check(graphs, cpu_name, kind, optimize, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
def test_exact_in_emulation_many(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    for number in range(5):
        first = 100 + 10 * BUILDS.index((cpu_name, kind, optimize))
        graphs = [graph for op in dict(OPERATORS) for graph in sample(taken(op), 32, first + number)]
        check(graphs, cpu_name, kind, optimize, tmp_path / str(number))


# One kernel in memory that faults outside its buffers


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    need_compiler("cortex-m4", "gcc")
    keep = f"void *volatile keep[2];\nint main(void) {{ keep[0] = (void *){CONV}; keep[1] = (void *){DEPTHWISE}; return 0; }}\n"
    sources = {
        **runtime_files({CONV: "cortex_m_dsp", DEPTHWISE: "cortex_m_dsp"}),
        "main.c": f'#include "tinyc_kernels.h"\n{keep}'.encode(),
    }
    return build_image(sources, CPUS["cortex-m4"], tmp_path_factory.mktemp("compact"), toolchain="gcc", optimize="-Os")


def struct_of(binding: Binding, stream: int) -> bytes:
    """The parameter struct, whose table is at address `stream`."""
    assert isinstance(binding.params, Params)
    values = list(binding.params.fields.values())[1:]
    return struct.pack(STRUCTS[binding.params.ctype], stream, *(int(v) for v in values))  # type: ignore[call-overload]


def run(image: Image, taker: Kernel, graph: Graph, data: Array, start: bool, ahead: int | None = None) -> bytes:
    """The output. With `ahead`, it is in the input's buffer, so many bytes before the input (or after, if negative)."""
    binding = taker.bind(next(graph.layers()))
    table, size = binding.constants[0].values.tobytes(), graph.output_tensors[0].elements
    buffers = [Buffer(table, start)]
    address = BUFFERS if start else BUFFERS + -(-len(table) // PAGE) * PAGE - len(table)
    source, output = Buffer(data.tobytes(), start), Buffer(b"\x5a" * size, start)
    if ahead is not None:
        begin, first = max(ahead, 0), max(-ahead, 0)
        whole = bytearray(b"\x5a" * max(begin + data.size, first + size))
        whole[begin : begin + data.size] = data.tobytes()
        buffers.append(Buffer(bytes(whole), start))
        source = replace(source, inside=buffers[1], offset=begin)
        output = replace(output, inside=buffers[1], offset=first)
    leading = len(buffers)
    for argument in binding.args:
        if isinstance(argument, ParamsPointer):
            buffers.append(Buffer(struct_of(binding, address), start))
        elif isinstance(argument, Input):
            buffers.append(source)
        elif isinstance(argument, Output):
            buffers.append(output)
        else:
            buffers.append(Buffer(b"\xa5" * binding.scratch, start))
    after, _ = call(image, taker.function, buffers, first_argument=leading)
    kept = [0, leading] if ahead is not None else [0, leading, leading + 1]
    assert [after[i] for i in kept] == [buffers[i].data for i in kept]
    return after[leading + 2]


@settings(max_examples=25, deadline=None)
@given(mixed(), st.integers(0, 1000), st.booleans())
def test_touches_nothing_else(image: Image, graph: Graph, seed: int, start: bool) -> None:
    (data,) = random_inputs(graph, seed)
    for taker in takers(graph):
        want = reference.outputs(graph, [data])[0].reshape(-1)
        assert_same_bytes(want, np.frombuffer(run(image, taker, graph, data, start), np.int8), taker.function)


# The output over the input


def lead(taker: Kernel, graph: Graph) -> int:
    return taker.bind(next(graph.layers())).overlap[0]


@settings(max_examples=25, deadline=None)
@given(mixed(), st.integers(0, 1000), st.sampled_from([0, 0, 0, 1, 2, 3, 16, 50]))
def test_right_at_the_lead(image: Image, graph: Graph, seed: int, more: int) -> None:
    (data,) = random_inputs(graph, seed)
    for taker in takers(graph):
        got = run(image, taker, graph, data, False, lead(taker, graph) + more)
        assert got == reference.outputs(graph, [data])[0].tobytes(), f"{taker.function} {more}"


#: Without clamps, every input counts.
EVERYTHING: dict[str, Any] = {"zero_point": 0, "activation": "NONE"}
EXACT = [
    usual("CONV_2D", (1, 6, 7, 16), (16, 1, 1, 16), **EVERYTHING),
    usual("CONV_2D", (1, 6, 7, 5), (12, 1, 1, 5), **EVERYTHING),
    usual("CONV_2D", (1, 6, 7, 4), (8, 3, 3, 4), **EVERYTHING),
    usual("CONV_2D", (2, 9, 9, 3), (20, 3, 3, 3), stride=(2, 2), **EVERYTHING),
    usual("CONV_2D", (1, 9, 8, 4), (4, 3, 2, 4), padding="VALID", dilation=(2, 3), **EVERYTHING),
    usual("FULLY_CONNECTED", (4, 10), (16, 10), **EVERYTHING),
    usual("DEPTHWISE_CONV_2D", (1, 9, 9, 1), (1, 3, 3, 8), **EVERYTHING),
    usual("DEPTHWISE_CONV_2D", (1, 6, 7, 4), (1, 3, 3, 4), **EVERYTHING),
    usual("DEPTHWISE_CONV_2D", (1, 6, 7, 8), (1, 3, 3, 8), **EVERYTHING),
    usual("DEPTHWISE_CONV_2D", (1, 6, 7, 9), (1, 3, 3, 9), **EVERYTHING),
    usual("DEPTHWISE_CONV_2D", (2, 6, 7, 7), (1, 2, 4, 7), **EVERYTHING),
    usual("DEPTHWISE_CONV_2D", (1, 9, 8, 6), (1, 3, 3, 6), padding="VALID", **EVERYTHING),
]


@pytest.mark.parametrize("graph", EXACT)
def test_wrong_after_the_lead(image: Image, graph: Graph) -> None:
    (taker,) = takers(graph)
    wrong = 0
    for seed in range(5):
        (data,) = random_inputs(graph, seed)
        want = reference.outputs(graph, [data])[0].tobytes()
        assert run(image, taker, graph, data, False, lead(taker, graph)) == want
        wrong += run(image, taker, graph, data, False, lead(taker, graph) - 1) != want
    assert wrong


# One word of scale


def requantized(sums: Array, word: int, s: _compact.Scales, f: Filters) -> Array:
    """What the kernels compute: SMMLAR, the shifts and SSAT, then the clamp."""
    value = (sums * word + (1 << 31)) >> 32
    shifted = (value + (value >> 31)) >> (s.shift + (word & s.mask))
    saturated = np.clip((shifted + 2 * f.zero_point + 1) >> 1, -128, 127)
    found: Array = np.clip(saturated, f.low, f.high)
    return found


@settings(max_examples=40, deadline=None)
@given(mixed(), st.integers(0, 2**32 - 1))
def test_scales_are_exact(graph: Graph, seed: int) -> None:
    f = filters(next(graph.layers()))
    assert f is not None
    s = _compact.scales(f)
    assert s is not None
    random = np.random.default_rng(seed)
    for i in range(f.live):
        right = -int(f.shift[i])
        ends = np.array([int(f.least[i]), int(f.most[i])])
        # Anywhere, and beside the steps of the output.
        steps = ((np.arange(-256, 257) * 2 + 1) << 31 + right - 1) // int(f.multiplier[i])
        sums = np.concatenate([ends, random.integers(ends[0], ends[1] + 1, 500), *(steps + d for d in range(-2, 3))])
        sums = sums[(sums >= ends[0]) & (sums <= ends[1])]
        exact = multiply_by_quantized_multiplier(sums, int(f.multiplier[i]), -right) + f.zero_point
        np.testing.assert_array_equal(
            requantized(sums, int(s.words[i]), s, f), np.clip(exact, f.low, f.high), f"channel {i} of {f.live}"
        )


def test_a_shortened_scale_can_fail() -> None:
    """Five bits of shift and sums of 2^28: no word is right for every sum, and the layer is left to others."""
    graph = usual("CONV_2D", (1, 2, 2, 1024), (24, 3, 3, 1024))
    scales = tuple(layers.scale(0.9137 * 2.0**-e) for e in np.linspace(2.0, 21.0, 24))
    graph = layers.with_tensor(graph, 1, quantization=Quantization(scales, (0,) * 24))
    bias = np.random.default_rng(0).integers(-(1 << 28), 1 << 28, 24).astype(np.int32)
    f = filters(next(layers.with_tensor(graph, 2, data=bias).layers()))
    assert f is not None
    assert _compact.scales(f) is None


# Which layers are taken


def test_layers_for_other_kernels() -> None:
    conv = usual("CONV_2D", (1, 5, 5, 8), (6, 3, 3, 8))
    assert [k.function for k in takers(conv)] == [CONV]
    left = layers.with_tensor(conv, 1, quantization=Quantization((3.0,) * 6, (0,) * 6))
    assert takers(left) == []
    assert takers(usual("CONV_2D", (1, 5, 5, 8), (6, 3, 3, 4))) == []
    unstackable = np.full((6, 3, 3, 8), -128, np.int8)
    assert takers(layers.with_tensor(conv, 1, data=unstackable)) == []
    assert takers(layers.with_tensor(conv, 1, data=None)) == []
    large = layers.with_tensor(conv, 2, data=np.full(6, 1 << 22, np.int32))
    assert [k.function for k in takers(large)] == [CONV]
    assert takers(usual("CONV_2D", (1, 2, 33000, 1), (1, 1, 1, 1))) == []
    assert takers(usual("CONV_2D", (1, 300, 1, 1), (2, 256, 1, 1))) == []
    assert takers(usual("DEPTHWISE_CONV_2D", (1, 5, 5, 3), (1, 3, 3, 3))) == []
    assert takers(usual("DEPTHWISE_CONV_2D", (1, 5, 5, 4), (1, 3, 3, 8))) == []
    assert [k.function for k in takers(usual("DEPTHWISE_CONV_2D", (1, 5, 5, 1), (1, 3, 3, 8)))] == [CONV]
    assert [k.function for k in takers(usual("DEPTHWISE_CONV_2D", (1, 5, 5, 4), (1, 3, 3, 4)))] == [DEPTHWISE]


# Flash


def table(graph: Graph) -> int:
    (taker,) = takers(graph)
    return taker.bind(next(graph.layers())).constants[0].values.nbytes


def test_six_bytes_per_channel() -> None:
    assert table(usual("CONV_2D", (1, 5, 5, 64), (64, 1, 1, 64))) == 64 * 64 + 64 * 6
    assert table(usual("DEPTHWISE_CONV_2D", (1, 5, 5, 64), (1, 3, 3, 64))) == 64 * 9 + 64 * 7 - 64
    wide = layers.with_tensor(usual("CONV_2D", (1, 5, 5, 64), (64, 1, 1, 64)), 2, data=np.full(64, 1 << 15, np.int32))
    assert table(wide) == 64 * 64 + 64 * 10
    one = layers.with_tensor(wide, 2, data=np.where(np.arange(64) == 5, -(1 << 15), 32767).astype(np.int32))
    assert table(one) == 64 * 64 + 64 * 6 + 8
    same = usual("FULLY_CONNECTED", (1, 64), (64, 64))
    same = layers.with_tensor(same, 1, quantization=Quantization((2.0**-10,), (0,)))
    assert table(same) == 64 * 64 + 64 * 2


def test_constant_channels_have_no_weights() -> None:
    graph = usual("CONV_2D", (1, 5, 5, 64), (64, 1, 1, 64))
    data = graph.tensors[1].data
    assert data is not None
    dead = np.where(np.arange(64)[:, None, None, None] % 4 < 3, 0, data).astype(np.int8)
    assert table(layers.with_tensor(graph, 1, data=dead)) == 16 * 64 + 16 * 2 + 64 * 4


def test_code_is_small() -> None:
    need_compiler("cortex-m4", "gcc")
    files = emit_for_size(
        [usual("CONV_2D", (1, 5, 5, 8), (8, 1, 1, 8)), usual("DEPTHWISE_CONV_2D", (1, 5, 5, 8), (1, 3, 3, 8))]
    )
    objects = compile_objects(files, CPUS["cortex-m4"], toolchain="gcc", optimize="-Os")
    assert objects.sections[f"{CONV}.c"].code <= 660
    assert objects.sections[f"{DEPTHWISE}.c"].code <= 750


def emit_for_size(graphs: list[Graph]) -> dict[str, bytes]:
    _, sources = program_of(graphs, [taker for graph in graphs for taker in takers(graph)], "-Os")
    del sources["main.c"]
    return sources


# Instructions

#: Layers with the most instructions per multiply-accumulate that they may take, in a build for size.
SPEED = [
    (usual("CONV_2D", (1, 8, 5, 64), (64, 1, 1, 64)), 1.40),
    (usual("CONV_2D", (1, 3, 3, 128), (128, 1, 1, 128)), 1.22),
    (usual("CONV_2D", (1, 10, 10, 8), (16, 1, 1, 8)), 4.9),
    (usual("CONV_2D", (1, 19, 10, 1), (64, 10, 4, 1), stride=(2, 2)), 2.06),
    (usual("CONV_2D", (1, 8, 8, 16), (16, 3, 3, 16)), 1.45),
    (usual("CONV_2D", (1, 8, 8, 3), (16, 3, 3, 3), activation="RELU6"), 3.6),
    (usual("CONV_2D", (1, 9, 9, 6), (9, 3, 3, 6), dilation=(2, 2)), 4.0),
    (usual("FULLY_CONNECTED", (1, 640), (64, 640)), 1.10),
    (usual("FULLY_CONNECTED", (1, 64), (10, 64)), 1.8),
    (usual("DEPTHWISE_CONV_2D", (1, 8, 5, 64), (1, 3, 3, 64)), 5.5),
    (usual("DEPTHWISE_CONV_2D", (1, 12, 12, 7), (1, 3, 3, 7)), 7.3),
    (usual("DEPTHWISE_CONV_2D", (1, 12, 12, 16), (1, 5, 5, 16), stride=(2, 2)), 4.3),
    (usual("DEPTHWISE_CONV_2D", (1, 12, 12, 1), (1, 3, 3, 8)), 8.8),
]


def macs(graph: Graph) -> int:
    weights, output = graph.tensors[1], graph.output_tensors[0]
    return weights.elements // output.shape[-1] * output.elements


@pytest.mark.parametrize("optimize", ["-O2", "-Os"])
def test_cost_is_honest(optimize: str, tmp_path: Path) -> None:
    need_compiler("cortex-m4", "gcc")
    kernels = [taker for graph, _ in SPEED for taker in takers(graph)]
    graph, sources = program_of([graph for graph, _ in SPEED], kernels, optimize)
    image = build_image(sources, CPUS["cortex-m4"], tmp_path, toolchain="gcc", optimize=optimize)
    stdin = b"".join(array.tobytes() for array in random_inputs(graph, 1))
    found = emulator("cortex-m4").run(image, stdin, entry="m_run", marks=[k.function for k in kernels], timeout=100)
    if found.layers is None:
        pytest.skip("the emulator cannot count instructions")
    for count, taker, (one, most) in zip(found.layers, kernels, SPEED, strict=True):
        what = f"{taker.function} {[t.shape for t in one.tensors[:2]]}: {count / macs(one):.2f} per product"
        assert taker.cost(next(one.layers())) == pytest.approx(count, rel=0.1), what
        assert optimize == "-O2" or count / macs(one) <= most, what
