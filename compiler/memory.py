# SPDX-License-Identifier: Apache-2.0
"""Program → memory map: lifetimes of tensors and scratch, placed in one arena by the planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .plan import Arena, Buffer, allocate, check
from .program import Program

#: Alignment of every buffer in bytes: vector loads of all cores are aligned.
ALIGNMENT = 16


@dataclass(frozen=True)
class MemoryMap:
    """Where every byte of RAM is.

    Attributes:
        arena: offsets and certificate for all buffers, tensors and scratch.
        activations: arena size of the tensors alone, without scratch, in bytes.
        tensors: storage tensor index → buffer id, for every non-constant tensor.
        scratch: step index → buffer id.
        buffers: all buffers, by id.
    """

    arena: Arena
    activations: Arena
    tensors: Mapping[int, int]
    scratch: Mapping[int, int]
    buffers: tuple[Buffer, ...]

    @property
    def size(self) -> int:
        """Bytes of the arena; at least one alignment unit, since C has no empty arrays."""
        return max(self.arena.size, ALIGNMENT)

    def offset(self, tensor: int) -> int:
        return self.arena.offsets[self.tensors[tensor]]

    def scratch_offset(self, step: int) -> int:
        return self.arena.offsets[self.scratch[step]]

    @property
    def rows(self) -> list[tuple[int, Buffer]]:
        """(offset, buffer) in order of offset, for the memory-map comment."""
        return sorted(
            ((self.arena.offsets[b.id], b) for b in self.buffers), key=lambda row: (row[0], row[1].first, row[1].id)
        )


def plan_memory(program: Program) -> MemoryMap:
    """Places all tensors and scratch of `program`. Inputs live from the start, outputs to the end."""
    roots = sorted(set(program.storage.values()))
    end = max(len(program.steps) - 1, 0)
    buffers: list[Buffer] = []
    ids: dict[int, int] = {}
    for root in roots:
        uses = list(program.tensor_steps(root))
        members = {tensor for tensor, its_root in program.storage.items() if its_root == root}
        if members & set(program.graph.inputs):
            uses.append(0)
        if members & set(program.graph.outputs):
            uses.append(end)
        ids[root] = len(buffers)
        size = max(program.tensor(tensor).bytes for tensor in members)
        buffers.append(Buffer(len(buffers), size, min(uses), max(uses), program.tensor(root).name))
    activations = allocate(buffers, ALIGNMENT)
    scratch: dict[int, int] = {}
    for step in program.steps:
        if step.binding.scratch:
            scratch[step.index] = len(buffers)
            label = f"scratch of {step.kernel.function}"
            buffers.append(Buffer(len(buffers), step.binding.scratch, step.index, step.index, label))
    arena = allocate(buffers, ALIGNMENT) if scratch else activations
    check(arena, buffers)
    tensors = {tensor: ids[root] for tensor, root in program.storage.items()}
    return MemoryMap(arena, activations, tensors, scratch, tuple(buffers))
