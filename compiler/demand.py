# SPDX-License-Identifier: Apache-2.0
"""How many bytes of RAM a step takes at least: what is alive while it runs, less what its output may reach over.

The largest of them is a bound for the whole plan, and each depends on its own step's kernel only. So a program within a number of
bytes is found step by step (tinyc.choose), before anything is placed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from .graph import Tensor
from .memory import ALIGNMENT
from .plan.arena import aligned
from .program import Binding, Program, Stream
from .streaming.rows import row_bytes


class Lives:
    """From when to when each tensor of a program must stay in memory. Streams of the program do not count."""

    def __init__(self, program: Program) -> None:
        self.program = program
        graph, end = program.graph, max(len(program.steps) - 1, 0)
        self.storage = program.storage
        self.kept = {self.storage[index] for index in graph.outputs if index in self.storage}
        self.first: dict[int, int] = {}
        self.last: dict[int, int] = {}
        uses = [(0, index) for index in graph.inputs]
        uses += [(step.index, i) for step in program.steps for i in (*step.layer.node.inputs, *step.layer.node.outputs)]
        uses += [(end, index) for index in graph.outputs]
        for step, index in uses:
            if index in self.storage:
                root = self.storage[index]
                self.first[root] = min(self.first.get(root, step), step)
                self.last[root] = max(self.last.get(root, step), step)

    def of_step(self, step: int, binding: Binding) -> int:
        """Bytes while a step runs, called as `binding` says."""
        node = self.program.steps[step].layer.node
        leads: dict[int, list[int | None]] = {}
        for position, index in enumerate(node.inputs):
            if index in self.storage:
                lead = 0 if position in binding.in_place else binding.overlap.get(position)
                leads.setdefault(self.storage[index], []).append(lead)
        extra = [binding.scratch] if binding.scratch else []
        return self._bytes(step, step, (), node.outputs[0], leads, extra)

    def of_stream(self, stream: Stream, scratch: int, states: Iterable[int]) -> int:
        """Bytes while the steps of a stream run; `scratch` is the most that one of them needs."""
        schedule = stream.schedule
        inner = [layer.node.outputs[0] for layer in schedule.layers[:-1]]
        inner += [] if schedule.fed is None else [schedule.fed]
        windows = [rows * row_bytes(self.program.tensor(tensor)) for tensor, rows in schedule.capacity.items()]
        leads: dict[int, list[int | None]] = {}
        for source, lead in stream.overlap.items():
            leads.setdefault(self.storage[source], []).append(lead)
        extra = [size for size in (*windows, scratch, *states) if size]
        return self._bytes(stream.first, stream.last, inner, schedule.output, leads, extra)

    def around(self, first: int, last: int, inner: Collection[int], output: int) -> int:
        """Bytes that are alive while a run of steps is computed, without its own memory, and if everything overlaps."""
        sources = {
            self.storage[i]
            for s in self.program.steps[first : last + 1]
            for i in s.layer.node.inputs
            if i in self.storage
        }
        return self._bytes(first, last, inner, output, {root: [0] for root in sources - set(inner)}, ())

    def _bytes(
        self,
        first: int,
        last: int,
        inner: Collection[int],
        output: int,
        leads: Mapping[int, list[int | None]],
        extra: Iterable[int],
    ) -> int:
        alive = [
            root for root in self.first if self.first[root] <= last and self.last[root] >= first and root not in inner
        ]
        total = sum(self._size(self.program.tensor(root)) for root in alive) + sum(aligned(s, ALIGNMENT) for s in extra)
        size, shared = self._size(self.program.tensor(output)), 0
        for root, values in leads.items():
            known = [lead for lead in values if lead is not None]
            if len(known) == len(values) and root not in self.kept and self.last[root] == last:
                reach = max(0, size - aligned(max(known), ALIGNMENT))
                shared += min(self._size(self.program.tensor(root)), reach)
        return total - min(shared, size)

    @staticmethod
    def _size(tensor: Tensor) -> int:
        return aligned(max(tensor.bytes, 1), ALIGNMENT)
