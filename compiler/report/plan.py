# SPDX-License-Identifier: Apache-2.0
"""The memory plan as the report has it: every buffer with its place and lifetime, complete enough to be checked from outside."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import short_name
from ..memory import FED, MemoryMap
from ..program import Program, Step


@dataclass(frozen=True)
class PlanBuffer:
    """`size` bytes at `offset` of the arena that are in use from layer `first` to layer `last`.

    `kind` is `tensor` (whole), `window` (the rows of a tensor that a stream keeps), `scratch` (of a kernel), `sums` (what a layer
    keeps from call to call while its input comes row by row) or `position` (how far the model's input has come, with --stream-input).
    """

    id: int
    label: str
    kind: str
    size: int
    first: int
    last: int
    offset: int


@dataclass(frozen=True)
class PlanOverlap:
    """The kernels allow that buffer `output` lies over buffer `input`, if it starts `lead` bytes or more before it."""

    output: int
    input: int
    lead: int


@dataclass(frozen=True)
class Plan:
    """Where every byte of RAM is, and how good that is; `tinyc check-plan` checks it.

    Attributes:
        alignment: bytes; offsets are multiples of it, and sizes are rounded up to it.
        size: bytes of all buffers together; the arena is at least one alignment unit.
        lower_bound: bytes that are alive at `peak_step` when outputs lie over inputs as far as they may.
        optimal: proved that no plan of these buffers is smaller.
        method: what found the plan, in words.
        peak_step: the first layer with `lower_bound` bytes. A stream counts as its last layer.
        inputs: buffers of the model's inputs, alive from the start. outputs: of its outputs, alive to the end.
    """

    alignment: int
    size: int
    lower_bound: int
    optimal: bool
    method: str
    peak_step: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    buffers: tuple[PlanBuffer, ...]
    overlaps: tuple[PlanOverlap, ...]


def plan(program: Program, memory: MemoryMap) -> Plan:
    """The plan of a program's memory map."""
    arena, graph = memory.arena, program.graph
    windows = {memory.tensors[tensor] for stream in program.streams for tensor in stream.schedule.capacity}
    kinds = {
        **dict.fromkeys(windows, "window"),
        **dict.fromkeys(memory.scratch.values(), "scratch"),
        **{buffer: "position" if step == FED else "sums" for step, buffer in memory.states.items()},
    }
    times = list(range(max(len(program.steps), 1)))
    for stream in program.streams:
        times[stream.first : stream.last + 1] = [stream.last] * (stream.last + 1 - stream.first)
    return Plan(
        alignment=arena.alignment,
        size=arena.size,
        lower_bound=arena.lower_bound,
        optimal=arena.optimal,
        method=arena.method,
        peak_step=arena.peak_step,
        inputs=_ids(memory, graph.inputs),
        outputs=_ids(memory, graph.outputs),
        buffers=tuple(
            PlanBuffer(
                id=b.id,
                label=short_name(b.label),
                kind=kinds.get(b.id, "tensor"),
                size=b.size,
                first=times[b.first],
                last=times[b.last],
                offset=arena.offsets[b.id],
            )
            for b in memory.buffers
        ),
        overlaps=tuple(PlanOverlap(o.output, o.input, o.lead) for o in memory.overlaps),
    )


def reads(step: Step, memory: MemoryMap) -> tuple[int, ...]:
    """Buffers of the tensors that a layer has as inputs."""
    return _ids(memory, step.layer.node.inputs)


def writes(step: Step, memory: MemoryMap) -> tuple[int, ...]:
    """Buffers of a layer's outputs, and its scratch and sums."""
    own = [places[step.index] for places in (memory.scratch, memory.states) if step.index in places]
    return tuple(sorted({*_ids(memory, step.layer.node.outputs), *own}))


def _ids(memory: MemoryMap, tensors: tuple[int, ...]) -> tuple[int, ...]:
    """The buffers that hold these tensors; constants have none."""
    return tuple(sorted({memory.tensors[tensor] for tensor in tensors if tensor in memory.tensors}))
