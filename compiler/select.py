# SPDX-License-Identifier: Apache-2.0
"""Which kernel computes which layer: the smallest flash within a bound on instructions, or within a flash budget.

Layers that use the same kernel share its code, so the choice is not one per layer: giving a kernel up everywhere saves its code.
Starting from the fastest kernels, kernels are given up, or single layers changed, best saving first, as long as the bound holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .errors import DoesNotFitError, ModelError
from .graph import Layer
from .program import Binding
from .targets import Kernel, kernels_for
from .targets.cpus import Cpu

#: How many times the fastest build's instructions each goal may take.
SLACK: Mapping[str, float] = {"speed": 1.0, "balanced": 1.08, "size": 1.9}


@dataclass(frozen=True, eq=False)
class Candidate:
    """A kernel that applies to a layer. Instructions are estimated by the kernel; `tables` are flash bytes of weights and tables."""

    kernel: Kernel
    binding: Binding
    instructions: float
    tables: int


def candidates(layer: Layer, cpu: Cpu) -> tuple[Candidate, ...]:
    """Every kernel of `cpu` that applies to `layer`, fastest first."""
    found = []
    for kernel in kernels_for(cpu).get(layer.op, ()):
        if kernel.applies(layer):
            binding = kernel.bind(layer)
            found.append(Candidate(kernel, binding, kernel.cost(layer), table_bytes(layer, binding)))
    if not found:
        raise ModelError(layer.where, f"no kernel for {cpu.title}", hint="please report it: every operator has a kernel")
    return tuple(sorted(found, key=lambda c: (c.instructions, c.kernel.function)))


def table_bytes(layer: Layer, binding: Binding) -> int:
    """Flash bytes of the tables a call brings: packed ones, and constant tensors passed as they are."""
    packed = sum(constant.values.nbytes for constant in binding.constants)
    return packed + sum(layer.input(position).bytes for position in binding.passed(layer) if layer.input(position).constant)


def select(layers: Sequence[Layer], cpu: Cpu, optimize: str, flash_budget: int | None = None) -> list[Candidate]:
    """One candidate per layer for the goal `optimize`, within `flash_budget` bytes for code and tables if given.

    Raises DoesNotFitError when no choice is within the budget.
    """
    choices = [candidates(layer, cpu) for layer in layers]
    fastest = sum(options[0].instructions for options in choices)
    chosen = _shrink(choices, SLACK[optimize] * fastest)
    if flash_budget is not None and flash(chosen) > flash_budget:
        chosen = _shrink(choices, float("inf"), flash_budget)
        if flash(chosen) > flash_budget:
            raise DoesNotFitError(
                "--flash-budget",
                f"{flash(chosen):,} B needed for weights, tables and kernels at least",
                expected=f"at most {flash_budget:,} B",
            )
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


def _moves(choices: Sequence[Sequence[Candidate]], chosen: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """Every choice that is one step away: a kernel given up everywhere, or one layer with another kernel."""
    for function in sorted({candidate.kernel.function for candidate in chosen}):
        trial = []
        for options, now in zip(choices, chosen, strict=True):
            others = [candidate for candidate in options if candidate.kernel.function != function]
            trial.append(now if now.kernel.function != function else next(iter(others), None))
        if None not in trial:
            yield [candidate for candidate in trial if candidate is not None]
    for position, options in enumerate(choices):
        for candidate in options:
            if candidate is not chosen[position]:
                yield [*chosen[:position], candidate, *chosen[position + 1 :]]
