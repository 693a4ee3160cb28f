# SPDX-License-Identifier: Apache-2.0
"""What the tests of DSP kernels share: layers from hypothesis, many of them in one image, and single calls in guarded memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from direct_call import Buffer, call
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from oracle import assert_same_bytes, random_inputs
from tinyc import reference
from tinyc.emit import emit, runtime_files
from tinyc.emulators import EMULATORS, find_emulator
from tinyc.graph import Graph, Layer
from tinyc.lower import assemble, computed, lower
from tinyc.memory import plan_memory
from tinyc.ops import problems
from tinyc.program import Argument, Binding, Input, Output, Params, ParamsPointer, Scalar, Scratch, Table
from tinyc.select import Candidate, candidates
from tinyc.targets import Kernel
from tinyc.targets.cpus import CPUS, Cpu
from tinyc.toolchains import Image, Toolchain, build_image, install_line, try_kind


def chosen(graph: Graph, cpu_name: str) -> str:
    """The C function that a build for speed calls for a graph of one layer."""
    (step,) = lower(graph, CPUS[cpu_name]).steps
    return step.kernel.function


def merged(graphs: list[Graph]) -> Graph:
    """Independent layers as one model, so that one image runs them all."""
    tensors, nodes, inputs, outputs = [], [], [], []
    for number, graph in enumerate(graphs):
        first = len(tensors)
        tensors += [replace(t, name=f"{t.name}_{number}") for t in graph.tensors]
        (node,) = graph.nodes
        positions = tuple(i + first if i >= 0 else -1 for i in node.inputs)
        nodes.append(replace(node, inputs=positions, outputs=(node.outputs[0] + first,), index=number))
        inputs += [i + first for i in graph.inputs]
        outputs += [i + first for i in graph.outputs]
    names = [tuple(tensors[i].name for i in indices) for indices in (inputs, outputs)]
    return Graph(tuple(tensors), tuple(nodes), tuple(inputs), tuple(outputs), *names)


def main_program(graph: Graph) -> bytes:
    """Reads all inputs, runs the model, writes all outputs, until the input ends."""
    reads = "".join(
        f"if (tinyc_host_read(m_input_{i}(&context), {t.bytes}u) != {t.bytes}u) return 0;\n"
        for i, t in enumerate(graph.input_tensors)
    )
    writes = "".join(
        f"tinyc_host_write(m_output_{i}(&context), {t.bytes}u);\n" for i, t in enumerate(graph.output_tensors)
    )
    text = '#include "m.h"\n#include "tinyc_host.h"\nm_context context;\n'
    return f"{text}int main(void) {{ for (;;) {{\n{reads}m_run(&context);\n{writes}}} }}\n".encode()


def check_emulated(
    graphs: list[Graph], cpu_name: str, kind: str, optimize: str, folder: Path, function: str | None = None
) -> None:
    """Every layer in emulation, against the numpy reference: with the fastest kernel, or with `function` where it applies, with the layout
    that takes the least scratch."""
    cpu = CPUS[cpu_name]
    graph = merged(graphs)
    for layer in graph.layers():
        assert problems(layer) == []
    program = assemble(graph, cpu, [preferred(layer, cpu, function) for layer in computed(graph)])
    sources = emit(program, plan_memory(program), "m")
    image = build_image({**sources, "main.c": main_program(graph)}, cpu, folder, toolchain=kind, optimize=optimize)
    runs = [random_inputs(graph, seed) for seed in range(3)]
    stdin = b"".join(array.tobytes() for inputs in runs for array in inputs)
    output = emulator(cpu_name).run(image, stdin, entry="m_run", timeout=120).output
    position = 0
    for inputs in runs:
        for node, want in zip(graph.nodes, reference.outputs(graph, inputs), strict=True):
            got = np.frombuffer(output[position : position + want.size], np.int8)
            assert_same_bytes(want.reshape(-1), got, f"{cpu_name} {kind} {optimize} layer {node.index}")
            position += want.size
    assert position == len(output)


def preferred(layer: Layer, cpu: Cpu, function: str | None) -> Candidate:
    """The candidate with `function` that takes the least scratch, or the fastest of all."""
    offered = candidates(layer, cpu)
    wanted = [candidate for candidate in offered if candidate.kernel.function == function]
    return min(wanted, key=lambda candidate: candidate.binding.scratch) if wanted else offered[0]


def emulator(cpu_name: str):  # type: ignore[no-untyped-def]
    if all(e.unavailable(CPUS[cpu_name]) for e in EMULATORS.values()):
        pytest.skip("; ".join(str(e.unavailable(CPUS[cpu_name])) for e in EMULATORS.values()))
    return find_emulator("auto", CPUS[cpu_name])


def need_compiler(cpu_name: str, kind: str) -> None:
    if not isinstance(try_kind(kind, CPUS[cpu_name]), Toolchain):
        pytest.skip(f"no {kind} for {cpu_name}: {install_line(kind, CPUS[cpu_name])}")


BUILDS = [
    ("cortex-m4", "gcc", "-O2"),
    ("cortex-m4", "gcc", "-Os"),
    ("cortex-m4", "zig", "-O2"),
    ("cortex-m4", "zig", "-Os"),
    ("cortex-m7", "gcc", "-Os"),
    ("cortex-m7", "zig", "-O2"),
    ("cortex-m33", "gcc", "-O2"),
    ("cortex-m33", "zig", "-Os"),
]


def sample(strategy: st.SearchStrategy[Graph], count: int, number: int) -> list[Graph]:
    """`count` layers that hypothesis draws, another set for each number; in one list, so that they share an image."""
    found: list[Graph] = []

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate])
    @given(strategy)
    def collect(graph: Graph) -> None:
        found.append(graph)

    collect()
    return found


def build_kernel(function: str, folder: Path, optimize: str = "-O2") -> Image:
    """An image with one kernel."""
    need_compiler("cortex-m4", "gcc")
    text = (
        f'#include "tinyc_kernels.h"\nvoid *volatile keep;\nint main(void) {{ keep = (void *){function}; return 0; }}\n'
    )
    sources = {**runtime_files({function: "cortex_m_dsp"}), "main.c": text.encode()}
    return build_image(sources, CPUS["cortex-m4"], folder, toolchain="gcc", optimize=optimize)


def call_kernel(
    image: Image, kernel: Kernel, graph: Graph, seed: int, start: bool
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8], int]:
    """(expected, computed, instructions) of one layer."""
    inputs = random_inputs(graph, seed)
    got, instructions = call_with(image, kernel, graph, inputs[0], start)
    return reference.outputs(graph, inputs)[0].reshape(-1), got, instructions


def call_shared(image: Image, kernel: Kernel, graph: Graph, seed: int, ahead: int) -> bool:
    """Whether a layer is right with its output in the input's buffer, starting `ahead` bytes before the input (or after, if negative)."""
    (layer,) = graph.layers()
    inputs = random_inputs(graph, seed)
    want = reference.outputs(graph, inputs)[0].tobytes()
    data = inputs[0].tobytes()
    first, begin = max(-ahead, 0), max(ahead, 0)
    whole = bytearray(b"\x5a" * max(begin + len(data), first + len(want)))
    whole[begin : begin + len(data)] = data
    binding = kernel.bind(layer)
    shared = Buffer(bytes(whole))
    places = {Input: (begin, data), Output: (first, want)}
    buffers = [shared]
    for argument in binding.args:
        if type(argument) in places:
            offset, content = places[type(argument)]
            buffers.append(Buffer(content, inside=shared, offset=offset))
        else:
            buffers.append(Buffer(_content(binding, argument)))
    after, _ = call(image, kernel.function, buffers, first_argument=1)
    return after[1 + list(map(type, binding.args)).index(Output)] == want


def _content(binding: Binding, argument: Argument) -> bytes:
    """What a parameter struct, a table or scratch begin as; no scratch is an address of nothing."""
    if isinstance(argument, Scratch | Scalar):
        return b"\xa5" * binding.scratch
    if isinstance(argument, Table):
        return next(c.values.tobytes() for c in binding.constants if c.name == argument.name)
    assert isinstance(argument, ParamsPointer)
    assert isinstance(binding.params, Params)
    return np.array([int(v) for v in binding.params.fields.values()], np.int32).tobytes()  # type: ignore[call-overload]


def check_lead(image: Image, kernel: Kernel, graph: Graph, seed: int = 0, exact: bool = True) -> None:
    """A layer in one buffer: right at the lead and before it, wrong one byte after it where `exact`."""
    (layer,) = graph.layers()
    lead = kernel.bind(layer).overlap[0]
    for more in (0, 1, 7, 16):
        assert call_shared(image, kernel, graph, seed, lead + more), f"{kernel.function}: lead {lead} + {more}"
    if exact:
        assert not call_shared(image, kernel, graph, seed, lead - 1), f"{kernel.function}: lead {lead} is too large"


def call_with(
    image: Image, kernel: Kernel, graph: Graph, data: npt.NDArray[np.int8], start: bool = False
) -> tuple[npt.NDArray[np.int8], int]:
    """(output, instructions) of one layer for an input."""
    binding = kernel.bind(next(graph.layers()))
    assert isinstance(binding.params, Params)
    buffers = [
        Buffer(np.array([int(v) for v in binding.params.fields.values()], np.int32).tobytes(), start),  # type: ignore[call-overload]
        Buffer(data.tobytes(), start),
        Buffer(binding.constants[0].values.tobytes(), start),
        Buffer(bytes(graph.output_tensors[0].elements), start),
        Buffer(bytes(binding.scratch), start),
    ]
    after, instructions = call(image, kernel.function, buffers)
    assert [after[i] for i in range(3)] == [buffers[i].data for i in range(3)]
    return np.frombuffer(after[3], np.int8), instructions
