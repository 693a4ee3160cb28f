# SPDX-License-Identifier: Apache-2.0
"""Which kernel computes which layer: the smallest flash within a bound on instructions, or within a flash budget.

Layers that use the same kernel share its code, so the choice is not one per layer: giving a kernel up everywhere saves its code.
Starting from the fastest kernels, kernels are given up, or single layers changed, best saving first, as long as the bound holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .errors import ModelError
from .graph import Layer
from .program import Binding
from .targets import Kernel, kernels_for
from .targets.cpus import Cpu

#: How many times the fastest build's instructions each goal may take.
SLACK: Mapping[str, float] = {"speed": 1.0, "balanced": 1.08, "size": 1.7}


@dataclass(frozen=True, eq=False)
class Candidate:
    """A kernel that applies to a layer. Instructions are estimated by the kernel; `tables` are flash bytes of weights and tables."""

    kernel: Kernel
    binding: Binding
    instructions: float
    tables: int


def candidates(layer: Layer, cpu: Cpu, scratch_limit: int | None = None) -> tuple[Candidate, ...]:
    """Every kernel of `cpu` that applies to `layer`, fastest first; with a limit, those that need no more scratch than that.

    The kernel with the least scratch is always among them.
    """
    found = []
    for kernel in kernels_for(cpu).get(layer.op, ()):
        if kernel.applies(layer):
            binding = kernel.bind(layer)
            found.append(Candidate(kernel, binding, kernel.cost(layer), table_bytes(layer, binding)))
    if not found:
        raise ModelError(
            layer.where, f"no kernel for {cpu.title}", hint="please report it: every operator has a kernel"
        )
    least = min(candidate.binding.scratch for candidate in found)
    limit = max(scratch_limit, least) if scratch_limit is not None else None
    fitting = [candidate for candidate in found if limit is None or candidate.binding.scratch <= limit]
    return tuple(sorted(fitting, key=lambda c: (c.instructions, c.kernel.function)))


def table_bytes(layer: Layer, binding: Binding) -> int:
    """Flash bytes of the tables a call brings: packed ones, and constant tensors passed as they are."""
    packed = sum(constant.values.nbytes for constant in binding.constants)
    return packed + sum(
        layer.input(position).bytes for position in binding.passed(layer) if layer.input(position).constant
    )


@dataclass(frozen=True)
class Limits:
    """Bytes of flash for code and tables together, and of scratch per layer; None for no limit."""

    flash: int | None = None
    scratch: int | None = None


def select(layers: Sequence[Layer], cpu: Cpu, optimize: str, limits: Limits = Limits()) -> list[Candidate]:
    """One candidate per layer for the goal `optimize`; when not even the smallest choice is within the flash limit, that one."""
    choices = [candidates(layer, cpu, limits.scratch) for layer in layers]
    fastest = sum(options[0].instructions for options in choices)
    chosen = _shrink(choices, SLACK[optimize] * fastest)
    if limits.flash is not None and flash(chosen) > limits.flash:
        chosen = _shrink(choices, float("inf"), limits.flash)
    return chosen


def flash(chosen: Sequence[Candidate]) -> int:
    """Bytes of tables and of the kernels' code, each kernel counted once."""
    code = {candidate.kernel.function: candidate.kernel.code for candidate in chosen}
    return sum(code.values()) + sum(candidate.tables for candidate in chosen)


def _shrink(choices: Sequence[Sequence[Candidate]], limit: float, enough: int = 0) -> list[Candidate]:
    """Takes the move with the largest saving per added instruction, within `limit` instructions and until flash is at most `enough`."""
    chosen = [options[0] for options in choices]
    while flash(chosen) > enough:
        best: tuple[float, list[Candidate]] | None = None
        for trial in _moves(choices, chosen):
            saved = flash(chosen) - flash(trial)
            total = sum(candidate.instructions for candidate in trial)
            if saved > 0 and total <= limit:
                worth = saved / max(total - sum(candidate.instructions for candidate in chosen), 1.0)
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
    functions = [{candidate.kernel.function: candidate for candidate in options} for options in choices]
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
