# SPDX-License-Identifier: Apache-2.0
"""Program → memory map: lifetimes of tensors and scratch, placed in one arena by the planner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .graph import short_name
from .plan import EFFORT, Arena, Buffer, Overlap, allocate, check
from .program import Program, Step
from .streaming.rows import height, row_bytes
from .streaming.schedule import moving

#: In `MemoryMap.states`, for what survives between two rows of the input that the user gives one by one.
FED = -1

#: Alignment of every buffer in bytes: vector loads of all cores are aligned.
ALIGNMENT = 16


@dataclass(frozen=True)
class MemoryMap:
    """Where every byte of RAM is.

    Attributes:
        arena: offsets and certificate for all buffers, tensors and scratch.
        tensors: storage tensor index → buffer id, for every non-constant tensor.
        scratch: step index → buffer id.
        states: step index → buffer id, for steps whose calls share memory; FED → where an inference stands that is fed by rows.
        buffers: all buffers, by id.
        overlaps: how far an output may reach over the input it is computed from, by buffer ids.
        outside: inputs of the model that have memory of their own, apart from the arena.
    """

    arena: Arena
    tensors: Mapping[int, int]
    scratch: Mapping[int, int]
    buffers: tuple[Buffer, ...]
    overlaps: tuple[Overlap, ...] = ()
    states: Mapping[int, int] = field(default_factory=dict)
    outside: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the arena; at least one alignment unit, since C has no empty arrays."""
        return max(self.arena.size, ALIGNMENT)

    @cached_property
    def activations(self) -> Arena:
        """The plan of the tensors alone, without scratch."""
        apart = {*self.scratch.values(), *self.states.values()}
        return allocate(
            [buffer for buffer in self.buffers if buffer.id not in apart], ALIGNMENT, overlaps=self.overlaps
        )

    @property
    def topmost(self) -> list[Buffer]:
        """The buffers that reach to the end of the arena."""
        last = self.arena.size - ALIGNMENT
        return [buffer for buffer in self.buffers if self.arena.offsets[buffer.id] + buffer.size > last]

    def offset(self, tensor: int) -> int:
        return self.arena.offsets[self.tensors[tensor]]

    def scratch_offset(self, step: int) -> int:
        return self.arena.offsets[self.scratch[step]]

    def state_offset(self, step: int) -> int:
        return self.arena.offsets[self.states[step]]

    @property
    def rows(self) -> list[tuple[int, Buffer]]:
        """(offset, buffer) in order of offset, for the memory-map comment."""
        return sorted(
            ((self.arena.offsets[b.id], b) for b in self.buffers), key=lambda row: (row[0], row[1].first, row[1].id)
        )


def separable_inputs(program: Program) -> tuple[int, ...]:
    """The inputs of the model that can have memory of their own: no output lies in them, and no stream reads them."""
    found = []
    for index in program.graph.inputs:
        members = {tensor for tensor, root in program.storage.items() if root == index}
        readers = [step.index for step in program.steps if members & set(step.layer.node.inputs)]
        streamed = any(program.stream_of(step) is not None for step in readers)
        if members and not streamed and not members & set(program.graph.outputs):
            found.append(index)
    return tuple(found)


def plan_memory(program: Program, outside: tuple[int, ...] = (), effort: int = EFFORT) -> MemoryMap:
    """Places all tensors and scratch of `program`. Inputs live from the start, outputs to the end.

    Inputs that are `outside` (of `separable_inputs`) are not in the arena. The steps of a stream are one step for the plan, the
    last one: everything that they use lives through all of it. `effort` is the planner's.
    """
    found = _planned(program, frozenset(), outside, effort)
    apart: frozenset[int] = frozenset()
    for step in program.steps:
        # Working in place fixes the distance of two tensors, which may be in the way of those that end the arena.
        if found.size <= found.arena.lower_bound or not step.binding.in_place:
            continue
        own = found.buffers[found.tensors[step.layer.node.outputs[0]]]
        if not any(buffer.first <= own.last and own.first <= buffer.last for buffer in found.topmost):
            continue
        other = _planned(program, apart | {step.index}, outside, effort)
        if other.size < found.size:
            found, apart = other, apart | {step.index}
    return found


def _planned(program: Program, apart: frozenset[int], outside: tuple[int, ...], effort: int) -> MemoryMap:
    """The plan in which the steps of `apart` do not work in place."""
    plan = _Plan(program, apart, outside)
    overlaps = tuple(plan.overlaps())
    scratch, states = plan.add_scratch()
    arena = allocate(plan.buffers, ALIGNMENT, effort, overlaps)
    check(arena, plan.buffers, overlaps)
    ids = {tensor: plan.ids[root] for tensor, root in plan.homes.items()}
    return MemoryMap(arena, ids, scratch, tuple(plan.buffers), overlaps, states, outside)


class _Plan:
    """The buffers of a program."""

    def __init__(self, program: Program, apart: frozenset[int], outside: tuple[int, ...]) -> None:
        self.program = program
        self.buffers: list[Buffer] = []
        self.ids: dict[int, int] = {}
        self.windows = {tensor: stream for stream in program.streams for tensor in stream.schedule.capacity}
        self.homes = {tensor: self._home(root) for tensor, root in program.storage.items() if root not in outside}
        self.kept = {self.homes[index] for index in program.graph.outputs if index in self.homes}
        for step in program.steps:
            if step.index not in apart:
                self._join_in_place(step)
        for root in sorted(set(self.homes.values())):
            self._add_tensor(root)

    def _home(self, root: int) -> int:
        for stream in self.program.streams:
            root = stream.schedule.home(root)
        return root

    def _join_in_place(self, step: Step) -> None:
        """Puts the output of `step` where an input is that nothing reads afterwards, if the kernel works at the same address."""
        inputs, output = step.layer.node.inputs, step.layer.node.outputs[0]
        if self.program.stream_of(step.index) is not None:
            return
        for position in step.binding.in_place:
            root = self.homes.get(inputs[position])
            members = {tensor for tensor, its_root in self.homes.items() if its_root == root}
            later = [s for s in self.program.steps if s.index > step.index and members & set(s.layer.node.inputs)]
            others = [i for k, i in enumerate(inputs) if k != position and i in members]
            fits = root is not None and self.program.tensor(root).bytes >= step.layer.output.bytes
            if root is not None and fits and root not in self.kept and not later and not others:
                moved = self.homes[output]
                self.homes.update({tensor: root for tensor, home in self.homes.items() if home == moved})
                self.kept = {root if home == moved else home for home in self.kept}
                return

    def _time(self, step: int) -> int:
        stream = self.program.stream_of(step)
        return step if stream is None else stream.last

    def _add_tensor(self, root: int) -> None:
        graph = self.program.graph
        members = {tensor for tensor, its_root in self.homes.items() if its_root == root}
        uses = [
            self._time(step.index)
            for step in self.program.steps
            if members & {*step.layer.node.inputs, *step.layer.node.outputs}
        ]
        if members & set(graph.inputs):
            uses.append(self._time(0))
        if members & set(graph.outputs):
            uses.append(max(len(self.program.steps) - 1, 0))
        tensor = graph.tensors[root]
        size, label = max(graph.tensors[member].bytes for member in members), tensor.name
        if root in self.windows:
            rows = self.windows[root].schedule.capacity[root]
            size, label = rows * row_bytes(tensor), f"{rows} of {height(tensor)} rows of {short_name(tensor.name)}"
        self.ids[root] = self._add(size, min(uses), max(uses), label)

    def _add(self, size: int, first: int, last: int, label: str) -> int:
        self.buffers.append(Buffer(len(self.buffers), size, first, last, label))
        return len(self.buffers) - 1

    def add_scratch(self) -> tuple[dict[int, int], dict[int, int]]:
        """Buffers for the scratch and the state of every step, by step. The steps of a stream take turns with the scratch."""
        scratch: dict[int, int] = {}
        states: dict[int, int] = {}
        for step in self.program.steps:
            stream = self.program.stream_of(step.index)
            needed, time = step.binding.scratch, self._time(step.index)
            if stream is not None:
                needed = max(s.binding.scratch for s in self.program.steps[stream.first : stream.last + 1])
            if needed and stream is not None and step.index > stream.first:
                scratch[step.index] = scratch[stream.first]
            elif needed:
                name = f"scratch of {step.kernel.function}" if stream is None else "scratch"
                scratch[step.index] = self._add(needed, time, time, name)
            if step.binding.state:
                label = f"sums of {short_name(step.layer.output.name)}"
                states[step.index] = self._add(step.binding.state, time, time, label)
        for stream in self.program.streams:
            if stream.schedule.fed is not None:
                size = 4 * (1 + len(moving(stream.schedule)))
                states[FED] = self._add(size, 0, max(len(self.program.steps) - 1, 0), "position in the input")
        return scratch, states

    def overlaps(self) -> Iterator[Overlap]:
        """The inputs that an output may reach over: those that nothing reads afterwards."""
        for step in self.program.steps:
            stream = self.program.stream_of(step.index)
            if stream is not None:
                if stream.last == step.index:
                    leads = {tensor: [lead] for tensor, lead in stream.overlap.items()}
                    yield from self._over(step.index, stream.schedule.output, leads)
                continue
            found: dict[int, list[int | None]] = {}
            for position, index in enumerate(step.layer.node.inputs):
                if index in self.homes:
                    found.setdefault(index, []).append(step.binding.overlap.get(position))
            yield from self._over(step.index, step.layer.node.outputs[0], found)

    def _over(self, time: int, output: int, leads: Mapping[int, Sequence[int | None]]) -> Iterator[Overlap]:
        found: dict[int, list[int | None]] = {}
        for tensor, values in leads.items():
            found.setdefault(self.homes[tensor], []).extend(values)
        for root, values in found.items():
            known = [lead for lead in values if lead is not None]
            buffer = self.buffers[self.ids[root]]
            if root not in self.kept and len(known) == len(values) and buffer.last == time:
                yield Overlap(self.ids[self.homes[output]], buffer.id, max(known))
