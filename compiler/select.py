# SPDX-License-Identifier: Apache-2.0
"""The kernels of each layer, and their choice by flash: the least within a bound on instructions, or within a flash budget.

Layers that use the same kernel share its code, so the choice is not one per layer: giving a kernel up everywhere saves its code.
Starting from the fastest kernels, kernels are given up, or single layers changed, best saving first, as long as the bound holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from .accelerators import used_by
from .errors import ModelError
from .graph import Layer
from .program import Binding
from .targets import Kernel, kernels_for
from .targets.cpus import Cpu


@dataclass(frozen=True, eq=False)
class Candidate:
    """A kernel that applies to a layer. Instructions are estimated by the kernel; `tables` are flash bytes of weights and tables."""

    kernel: Kernel
    binding: Binding
    instructions: float
    tables: int


Rank = tuple[float, ...]


class HasTables(Protocol):
    """A choice with `tables` bytes of tables in flash."""

    @property
    def tables(self) -> int: ...


Sized = TypeVar("Sized", bound=HasTables)

#: Bytes of tables that are never too large.
SMALL_TABLES = 1024


@dataclass(frozen=True)
class Goal:
    """What a build is optimized for.

    Attributes:
        slack: how many times the fastest build's instructions it may take.
        trades_flash: whether that may be spent on less flash, too: never, before memory is looked at, or after it.
        rate: how many percent of flash must be saved for a percent more instructions.
        tables: how many times the bytes of a layer's weights and biases a kernel's tables may take, where that is more than SMALL_TABLES.
        streams: whether layers are computed row by row where that takes less RAM, or only where nothing else fits.
        rank: of estimated instructions, flash bytes and arena bytes; the build with the lowest is taken.
    """

    slack: float
    trades_flash: Literal["never", "first", "last"]
    rate: float
    tables: float
    streams: bool
    rank: Callable[[float, int, int], Rank]

    def allowed(self, layer: Layer, found: Sequence[Sized]) -> tuple[Sized, ...]:
        """The candidates for `layer` whose tables are not too large."""
        own = sum(tensor.bytes for tensor in layer.inputs if tensor is not None and tensor.constant)
        most = self.tables * max(own, SMALL_TABLES)
        return tuple(candidate for candidate in found if candidate.tables <= most or len(found) == 1)


def _speed(instructions: float, flash: int, arena: int) -> Rank:
    """Ten percent of RAM are worth one percent of instructions."""
    return (instructions * max(arena, 1) ** 0.1,)


def _ram(instructions: float, flash: int, arena: int) -> Rank:
    return arena, instructions


def _size(instructions: float, flash: int, arena: int) -> Rank:
    """One percent of flash is worth half the RAM, or half the instructions."""
    return (flash * max(arena, 1) ** 0.01 * max(instructions, 1.0) ** 0.02,)


GOALS: Mapping[str, Goal] = {
    "speed": Goal(1.03, trades_flash="never", rate=0.0, tables=float("inf"), streams=False, rank=_speed),
    "balanced": Goal(1.04, trades_flash="last", rate=0.5, tables=3.0, streams=False, rank=_ram),
    "ram": Goal(1.08, trades_flash="never", rate=0.0, tables=3.0, streams=True, rank=_ram),
    "size": Goal(2.1, trades_flash="first", rate=0.05, tables=3.0, streams=False, rank=_size),
}


def candidates(layer: Layer, cpu: Cpu) -> tuple[Candidate, ...]:
    """Every kernel of `cpu` that applies to `layer`, fastest first."""
    found = []
    accelerator = used_by([layer.node])
    for kernel in (accelerator.kernel,) if accelerator else kernels_for(cpu).get(layer.op, ()):
        if not kernel.partial and kernel.takes(layer):
            binding = kernel.bind(layer)
            found.append(Candidate(kernel, binding, kernel.cost(layer), table_bytes(layer, binding)))
    if not found:
        raise ModelError(
            layer.where, f"no kernel for {cpu.title}", hint="please report it: every operator has a kernel"
        )
    return tuple(sorted(found, key=lambda c: (c.instructions, c.kernel.function)))


def table_bytes(layer: Layer, binding: Binding) -> int:
    """Flash bytes of the tables a call brings: packed ones, and constant tensors passed as they are."""
    packed = sum(constant.values.nbytes for constant in binding.constants)
    return packed + sum(
        layer.input(position).bytes for position in binding.passed(layer) if layer.input(position).constant
    )


def smaller(
    options: Sequence[Sequence[Candidate]], bound: float, flash_limit: int | None = None, rate: float = 0.0
) -> list[Candidate]:
    """One candidate per layer: the least flash within `bound` instructions; more of them only where `flash_limit` bytes ask for it.

    A step that saves less than `rate` percent of flash for a percent of instructions is not taken.
    """
    chosen = _shrink(options, bound, rate=rate)
    if flash_limit is not None and flash(chosen) > flash_limit:
        chosen = _shrink(options, float("inf"), flash_limit)
    return chosen


def flash(chosen: Sequence[Candidate]) -> int:
    """Bytes of tables and of the kernels' code, each kernel counted once."""
    code = {candidate.kernel.function: candidate.kernel.code for candidate in chosen}
    return sum(code.values()) + sum(candidate.tables for candidate in chosen)


def _shrink(
    choices: Sequence[Sequence[Candidate]], limit: float, enough: int = 0, rate: float = 0.0
) -> list[Candidate]:
    """Takes the move with the largest saving per added instruction, within `limit` instructions and until flash is at most `enough`."""
    chosen = [options[0] for options in choices]
    while flash(chosen) > enough:
        best: tuple[float, list[Candidate]] | None = None
        size, now = flash(chosen), sum(candidate.instructions for candidate in chosen)
        for trial in _moves(choices, chosen):
            saved = size - flash(trial)
            total = sum(candidate.instructions for candidate in trial)
            if saved > 0 and total <= limit and saved / size >= rate * (total - now) / max(now, 1.0):
                worth = saved / max(total - now, 1.0)
                if best is None or worth > best[0]:
                    best = (worth, trial)
        if best is None:
            break
        chosen = best[1]
    return chosen


def _without(function: str, options: Sequence[Candidate], now: Candidate) -> Candidate:
    """`now`, or the fastest other candidate when it is the kernel given up and there is another."""
    if now.kernel.function != function:
        return now
    return next((candidate for candidate in options if candidate.kernel.function != function), now)


def _moves(choices: Sequence[Sequence[Candidate]], chosen: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """Every choice that is one step away: a kernel replaced by another wherever that applies (and given up), or one layer changed."""
    functions = [{c.kernel.function: c for c in reversed(options)} for options in choices]
    for old in sorted({candidate.kernel.function for candidate in chosen}):
        for new in sorted({function for options in functions for function in options} - {old}):
            trial = [
                options.get(new, now) if now.kernel.function == old else now
                for options, now in zip(functions, chosen, strict=True)
            ]
            if any(candidate is not now for candidate, now in zip(trial, chosen, strict=True)):
                yield trial
                yield [_without(old, options, now) for options, now in zip(choices, trial, strict=True)]
    for position, options in enumerate(choices):
        for candidate in options:
            if candidate is not chosen[position]:
                yield [*chosen[:position], candidate, *chosen[position + 1 :]]
