# SPDX-License-Identifier: Apache-2.0
"""Every kernel in one buffer: its output over its input at the lead that its binding states, and tighter, where it must go wrong."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import scalar_layers
from dsp_harness import sample
from tinyc import reference
from tinyc.emit import emit
from tinyc.graph import DTYPES, Array, Graph, Quantization, Tensor, single_node_graph
from tinyc.memory import MemoryMap
from tinyc.ops import all_ops
from tinyc.plan import Arena, Buffer
from tinyc.program import Program, Step
from tinyc.select import Candidate, candidates
from tinyc.targets import instruction_sets
from tinyc.targets.cpus import CPUS, Cpu, find_cpu
from tinyc.verification import choose_engines, run_image

#: A core for each folder of kernels.
CORES = {
    "generic": "host",
    "cortex_m_dsp": "cortex-m4",
    "cortex_m_mve": "cortex-m55",
    "armv7m": "cortex-m3",
    "armv6m": "cortex-m0plus",
    "rv32": "rv32imc",
    "xtensa": "xtensa-lx6",
}
ALIGNMENT = 16


@dataclass(frozen=True, eq=False)
class Place:
    """A layer computed by a candidate, with its output `lead` bytes before the input at `position`, or none moved together."""

    graph: Graph
    candidate: Candidate
    position: int
    lead: int

    @property
    def closest(self) -> bool:
        """Whether the planner can put nothing nearer."""
        return self.lead == _up(self.candidate.binding.overlap.get(self.position, 0))

    @property
    def tighter(self) -> Place:
        """One pixel and 16 bytes closer: a kernel may hold the outputs of a pixel back until it is done with its inputs."""
        output = self.graph.output_tensors[0]
        pixel = output.bytes // max(output.elements // output.shape[-1], 1)
        return replace(self, lead=self.lead - _up(pixel) - ALIGNMENT)


def _up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def places(graph: Graph, cpu: Cpu, isa: str, further: Sequence[int] = (0, 16, 48)) -> Iterator[Place]:
    """Every kernel of `isa` for the layer, over each input that it may overlap and that is no constant: at the lead and `further`
    bytes before, and in place."""
    layer = next(graph.layers())
    for candidate in candidates(layer, cpu):
        leads = {
            position: [_up(lead) + more for more in further] for position, lead in candidate.binding.overlap.items()
        }
        for position in candidate.binding.in_place:
            leads.setdefault(position, [0])
        for position, own in sorted(leads.items()):
            alone = layer.node.inputs.count(layer.node.inputs[position]) == 1
            if candidate.kernel.isa == isa and not layer.input(position).constant and alone:
                yield from (Place(graph, candidate, position, lead) for lead in own)


def together(cases: Sequence[Place], cpu: Cpu) -> tuple[Program, MemoryMap]:
    """One program that computes all layers, each in memory of its own; scratch and other inputs are apart from the shared buffer."""
    tensors: list[Tensor] = []
    steps: list[Step] = []
    nodes, inputs, outputs = [], [], []
    offsets: dict[int, int] = {}
    scratch: dict[int, int] = {}
    top = 0
    for case in cases:
        node, base = case.graph.nodes[0], len(tensors)
        tensors += case.graph.tensors
        moved = replace(
            node, inputs=tuple(i if i < 0 else i + base for i in node.inputs), outputs=(node.outputs[0] + base,)
        )
        nodes.append(moved)
        inputs += [i + base for i in case.graph.inputs]
        outputs.append(moved.outputs[0])
        over, output = moved.inputs[case.position], moved.outputs[0]
        offsets[over] = top + max(case.lead, 0)
        offsets[output] = top + max(-case.lead, 0)
        top = max(offsets[i] + _up(tensors[i].bytes) for i in (over, output))
        for i in case.graph.inputs:
            if i + base not in offsets:
                offsets[i + base], top = top, top + _up(tensors[i + base].bytes)
        if case.candidate.binding.scratch:
            scratch[len(steps)], top = top, top + _up(case.candidate.binding.scratch)
        layer = Graph(tuple(tensors), (moved,), (), ()).layer(moved)
        steps.append(Step(len(steps), layer, case.candidate.kernel, case.candidate.binding))
    graph = Graph(tuple(tensors), tuple(nodes), tuple(inputs), tuple(outputs))
    ids = {tensor: number for number, tensor in enumerate(offsets)}
    buffers = [Buffer(ids[i], max(tensors[i].bytes, 1), 0, len(steps)) for i in offsets]
    found = {ids[i]: offset for i, offset in offsets.items()}
    rooms = {}
    for step, offset in scratch.items():
        rooms[step] = len(buffers)
        found[len(buffers)] = offset
        buffers.append(Buffer(len(buffers), steps[step].binding.scratch, step, step))
    arena = Arena(top, ALIGNMENT, found, top, False, 0, (), "by the test")
    program = Program(graph, cpu, tuple(steps), {i: i for i in offsets})
    return program, MemoryMap(arena, ids, rooms, tuple(buffers))


def run(cases: Sequence[Place], cpu: Cpu, random: np.random.Generator) -> list[bool]:
    """Whether each layer's output is the reference's."""
    program, memory = together(cases, cpu)
    graph = program.graph
    values = [_values(tensor, random) for tensor in graph.input_tensors]
    engines, why_not = choose_engines("auto", cpu)
    if not engines:
        pytest.skip(why_not)
    stream = run_image("m", emit(program, memory, "m"), graph, [values], engines[-1], cpu)
    given = dict(zip(graph.inputs, values, strict=True))
    right = []
    for case, node in zip(cases, graph.nodes, strict=True):
        own = [given[i] for i in dict.fromkeys(node.inputs) if i in given]
        want = reference.outputs(case.graph, own)[0].tobytes()
        right.append(stream[: len(want)] == want)
        stream = stream[len(want) :]
    assert not stream
    return right


def _values(tensor: Tensor, random: np.random.Generator) -> Array:
    dtype = np.dtype(DTYPES[tensor.dtype])
    if dtype.kind == "f":
        return random.normal(0, 3, tensor.shape).astype(dtype)
    return random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, tensor.shape).astype(dtype)


def check(cases: Sequence[Place], cpu: Cpu) -> None:
    right = run(cases, cpu, np.random.default_rng(len(cases)))
    wrong = [
        f"{case.candidate.kernel.function} {[t.shape for t in case.graph.tensors]} {case.graph.nodes[0].attributes}: {case.lead}"
        for case, is_right in zip(cases, right, strict=True)
        if not is_right
    ]
    assert not wrong, "\n".join(wrong)


def core(isa: str) -> Cpu:
    return find_cpu(CORES[isa])


def test_every_instruction_set_is_here() -> None:
    assert sorted(CORES) == sorted(instruction_sets())
    assert set(CORES.values()) <= set(CPUS)


@functools.cache
def all_cases(isa: str) -> tuple[Place, ...]:
    """The operators' own cases."""
    graphs = [graph for op in all_ops().values() if not op.view for _, graph in op.cases()]
    one_output = [graph for graph in graphs if len(graph.outputs) == 1 and graph.output_tensors[0].elements]
    return tuple(place for graph in one_output for place in places(graph, core(isa), isa))


@pytest.mark.parametrize("isa", CORES)
def test_operators_own_cases_at_the_lead(isa: str) -> None:
    check(all_cases(isa), core(isa))


def convolution(op: str, image: Sequence[int], channels: int, taps: int, **options: object) -> Graph:
    """A layer whose outputs fill the range, with ReLU off."""
    random = np.random.default_rng(7)
    depth = image[-1]
    attributes = {"padding": "SAME", "stride": (1, 1), "dilation": (1, 1), "activation": "NONE", **options}
    shape = (channels, taps, taps, depth) if op == "CONV_2D" else (1, taps, taps, depth)
    terms = taps * taps * (depth if op == "CONV_2D" else 1)
    if op == "DEPTHWISE_CONV_2D":
        attributes["depth_multiplier"] = 1
        channels = depth
    weights = random.integers(-100, 100, shape).astype(np.int8)
    scales = tuple(float(np.float32(0.7 / (70 * np.sqrt(terms)))) for _ in range(channels))
    quantization = Quantization(scales, (0,) * channels, 0 if op == "CONV_2D" else 3)
    bias = Tensor("bias", (channels,), "int32", None, random.integers(-500, 500, channels).astype(np.int32))
    inputs = (
        Tensor("input", tuple(image), "int8", Quantization((1.0,), (3,))),
        Tensor("filter", shape, "int8", quantization, weights),
        bias,
    )
    draft = single_node_graph(
        op, inputs, (Tensor("output", (0,) * 4, "int8", Quantization((1.0,), (-5,))),), attributes
    )
    size = tuple(all_ops()[op].output_shapes(next(draft.layers()))[0])
    return single_node_graph(op, inputs, (Tensor("output", size, "int8", Quantization((1.0,), (-5,))),), attributes)


@functools.cache
def large_layers(isa: str) -> tuple[Place, ...]:
    """Layers of many pixels, in which nothing is constant or clamped."""
    graphs = [
        convolution("CONV_2D", (1, 12, 11, 8), 16, 1),
        convolution("CONV_2D", (1, 12, 11, 16), 16, 1),
        convolution("CONV_2D", (1, 12, 11, 32), 8, 1),
        convolution("CONV_2D", (1, 12, 12, 8), 8, 3),
        convolution("CONV_2D", (2, 12, 13, 8), 12, 3),
        convolution("CONV_2D", (1, 16, 15, 3), 8, 3, stride=(2, 2)),
        convolution("CONV_2D", (1, 12, 12, 8), 8, 3, padding="VALID"),
        convolution("DEPTHWISE_CONV_2D", (1, 12, 11, 8), 8, 3),
        convolution("DEPTHWISE_CONV_2D", (1, 12, 12, 16), 8, 3, stride=(2, 2)),
        convolution("DEPTHWISE_CONV_2D", (1, 12, 12, 8), 8, 5),
    ]
    return tuple(place for graph in graphs for place in places(graph, core(isa), isa))


@pytest.mark.parametrize("isa", CORES)
def test_large_layers_at_the_lead(isa: str) -> None:
    check(large_layers(isa), core(isa))


@pytest.mark.parametrize("isa", CORES)
def test_tighter_goes_wrong(isa: str) -> None:
    """Else the bound would be too cautious, and the planner would waste memory. Kernels that go channel by channel through a band of
    rows are wrong one byte tighter in their own tests: here they may hold back more than a pixel."""
    convolutions = [p for p in large_layers(isa) if p.candidate.kernel.op == "CONV_2D" and p.closest]
    # Leads of 0 may be cut off there.
    cases = [p.tighter for p in convolutions if p.candidate.binding.overlap.get(p.position, 0) > 0]
    right = run(cases, core(isa), np.random.default_rng(3))
    cautious = [
        f"{case.candidate.kernel.function} {[t.shape for t in case.graph.tensors]}: {case.lead}"
        for case, is_right in zip(cases, right, strict=True)
        if is_right
    ]
    assert not cautious, "\n".join(cautious)


OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@pytest.mark.slow
@pytest.mark.parametrize("isa", CORES)
@pytest.mark.parametrize("op", OPS)
def test_many_layers_at_the_lead(isa: str, op: str) -> None:
    drawn = sample(scalar_layers.layer(op), 400, 1)
    found = [place for graph in drawn for place in places(graph, core(isa), isa, (0, 16))]
    for first in range(0, len(found), 50):
        check(found[first : first + 50], core(isa))
