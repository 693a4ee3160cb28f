# SPDX-License-Identifier: Apache-2.0
"""The kernels for cores without SIMD, which compute two pixels with one multiplication (armv7m, armv6m): exact, inside their
buffers, in the time that their cost says, and chosen where they are faster."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import layers
import numpy as np
import pytest
from direct_call import Buffer, call
from dsp_harness import chosen, emulator, main_program, merged, need_compiler, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import assert_same_bytes, random_inputs
from tinyc import reference
from tinyc.emit import emit, runtime_files
from tinyc.graph import Array, Graph, Quantization, Tensor, single_node_graph
from tinyc.lower import assemble
from tinyc.memory import plan_memory
from tinyc.ops import problems
from tinyc.ops._fixed_point import multiply_by_quantized_multiplier
from tinyc.program import Params, Table
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
            where = f"{k.function} {kind} {optimize} {layer.input(0).shape} {layer.input(1).shape} {dict(layer.attributes)}"
            assert_same_bytes(want.reshape(-1), got, where)
            position += want.size
    assert position == len(output)


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
def test_exact_in_emulation(cpu_name: str, kind: str, optimize: str, op: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    pairs = applying(cpu_name, sample(graphs(op), 25, 1))
    assert len(pairs) > 12
    check_emulated(pairs, cpu_name, kind, optimize, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("cpu_name", CORES)
def test_exact_in_emulation_many(cpu_name: str, op: str, number: int, tmp_path: Path) -> None:
    need_compiler(cpu_name, "gcc")
    pairs = applying(cpu_name, sample(graphs(op), 120, 100 + number))
    assert len(pairs) > 60
    check_emulated(pairs, cpu_name, "gcc", "-O2", tmp_path)
