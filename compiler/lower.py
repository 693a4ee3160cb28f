# SPDX-License-Identifier: Apache-2.0
"""Graph → Program: picks a kernel for every layer and decides which tensors share memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .graph import Graph, Layer
from .ops import op_of
from .program import Program, Step, Stream
from .select import Candidate, candidates
from .streaming.rows import streamed_inputs
from .streaming.schedule import Schedule, calls, lead, schedule
from .streaming.slabs import Slabs
from .targets.cpus import Cpu

#: What a build optimizes for, and the compiler flag that goes with it.
OPTIMIZE: Mapping[str, str] = {"speed": "-O2", "balanced": "-O2", "ram": "-O2", "size": "-Os"}


def lower(graph: Graph, cpu: Cpu) -> Program:
    """The fastest kernel calls for `graph` on `cpu`, whatever they take. Views cost no call."""
    return assemble(graph, cpu, [candidates(layer, cpu)[0] for layer in computed(graph)])


def computed(graph: Graph) -> list[Layer]:
    """The layers that need a kernel: all but views."""
    return [layer for layer in graph.layers() if not op_of(layer).view]


def assemble(graph: Graph, cpu: Cpu, candidates: Sequence[Candidate]) -> Program:
    """The program of `graph` with these kernels, one per computed layer."""
    chosen = iter(candidates)
    steps: list[Step] = []
    storage = {index: index for index in graph.inputs}
    for layer in graph.layers():
        if op_of(layer).view:
            storage[layer.node.outputs[0]] = storage[layer.node.inputs[0]]
            continue
        candidate = next(chosen)
        step = Step(len(steps), layer, candidate.kernel, candidate.binding)
        for output in layer.node.outputs:
            storage[output] = output
        steps.append(step)
    return Program(graph, cpu, tuple(steps), storage)


@dataclass(frozen=True)
class Run:
    """Steps from `first` on, to be computed row by row: each with its kernel's calls, `chunks` rows at a time.

    `fed` is the model's input when its rows come one by one.
    """

    first: int
    slabs: tuple[Slabs, ...]
    chunks: tuple[int, ...]
    fed: int | None = None

    @property
    def last(self) -> int:
        return self.first + len(self.slabs) - 1


def streamed(program: Program, runs: Sequence[Run]) -> Program:
    """`program` with these runs of steps computed row by row. They must not share a step."""
    steps = list(program.steps)
    streams = []
    for run in sorted(runs, key=lambda run: run.first):
        for index, slabs in enumerate(run.slabs, run.first):
            binding = replace(
                slabs.variants[0],
                constants=slabs.constants,
                scratch=slabs.scratch,
                state=slabs.state,
                overlap={},
                in_place=(),
            )
            steps[index] = Step(index, steps[index].layer, slabs.kernel, binding, slabs.variants)
        streams.append(_stream(run))
    return replace(program, steps=tuple(steps), streams=tuple(streams))


def _stream(run: Run) -> Stream:
    layers, in_place = (tuple(slabs.layer for slabs in run.slabs), tuple(slabs.in_place for slabs in run.slabs))
    found = schedule(layers, run.chunks, in_place, run.fed)
    orders = [iter(slabs.order) for slabs in run.slabs]
    kinds = tuple(next(orders[call.layer]) for call in calls(found))
    overlap = {source: lead(found, source, _leads(run, found, kinds, source)) for source in found.sources}
    return Stream(run.first, run.last, found, run.chunks, kinds, overlap)


def _leads(run: Run, found: Schedule, kinds: Sequence[int], source: int) -> Iterator[int | None]:
    """For each call, its kernel's lead over the tensor `source`; None when it reads it and must not overlap it."""
    for call, kind in zip(calls(found), kinds, strict=True):
        slabs = run.slabs[call.layer]
        positions = [i for i, (tensor, _) in enumerate(call.inputs) if tensor == source]
        own = [slabs.variants[kind].overlap.get(streamed_inputs(slabs.layer)[i]) for i in positions]
        known = [lead for lead in own if lead is not None]
        yield max(known, default=0) if len(known) == len(own) else None
