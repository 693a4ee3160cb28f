# SPDX-License-Identifier: Apache-2.0
"""What a build came to: layers, RAM, flash, stack, fit and verification. One structure for the text table, --json and report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..boards import Board
from ..errors import DoesNotFitError
from ..graph import short_name
from ..memory import MemoryMap
from ..ops import all_ops
from ..program import Program, Step
from ..verification import EngineResult


@dataclass(frozen=True)
class LayerRow:
    """One step. `constants` are the bytes of flash tables it brings (weights, biases, multipliers)."""

    index: int
    node: int
    op: str
    name: str
    output_shape: tuple[int, ...]
    macs: int
    constants: int
    scratch: int
    kernel: str
    isa: str
    instructions: int | None = None
    cycles_estimate: float | None = None


@dataclass(frozen=True)
class Ram:
    """Bytes of RAM: the arena holds everything. `certificate` fields say how good the plan is."""

    arena: int
    input: int
    output: int
    scratch: int
    activations: int
    lower_bound: int
    optimal: bool
    peak_layer: int
    live_at_peak: tuple[str, ...]


@dataclass(frozen=True)
class Flash:
    """Bytes of flash of the model library. `code` and `total` are None until a compiler has measured them."""

    constants: int
    code: int | None = None
    total: int | None = None
    measured_with: str = ""


@dataclass(frozen=True)
class Stack:
    """Bytes of stack under `<name>_run`: the static bound from the compiler's frame sizes, and the measured high-water mark."""

    bound: int | None = None
    measured: int | None = None


@dataclass(frozen=True)
class Fit:
    """Share of the board that the model library takes, in percent."""

    flash_percent: float
    ram_percent: float


@dataclass(frozen=True)
class Report:
    """Everything `tinyc build` has to say."""

    tinyc: str
    name: str
    model: str
    sha256: str
    board: str
    cpu: str
    optimize: str
    format: str
    seed: int
    macs: int
    layers: tuple[LayerRow, ...]
    ram: Ram
    flash: Flash
    stack: Stack
    fit: Fit
    verification: tuple[EngineResult, ...]
    not_verified: str
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain lists, numbers and strings, as in report.json."""
        return asdict(self)


def layer_rows(
    program: Program, instructions: Sequence[int] | None = None, cycles: Sequence[float] | None = None
) -> tuple[LayerRow, ...]:
    """One row per step, with exact instruction counts and estimated cycles where known."""
    seen: set[int] = set()
    return tuple(
        LayerRow(
            index=step.index,
            node=step.layer.node.index,
            op=step.layer.op,
            name=step.layer.output.name,
            output_shape=step.layer.output.shape,
            macs=all_ops()[step.layer.op].macs(step.layer),
            constants=constant_bytes(step, seen),
            scratch=step.binding.scratch,
            kernel=step.kernel.function,
            isa=step.kernel.isa,
            instructions=instructions[step.index]
            if instructions is not None and step.index < len(instructions)
            else None,
            cycles_estimate=cycles[step.index] if cycles is not None and step.index < len(cycles) else None,
        )
        for step in program.steps
    )


def constant_bytes(step: Step, seen: set[int]) -> int:
    """Bytes of the tables that `step` brings into flash; constant tensors already in `seen` are free."""
    total = sum(constant.values.nbytes for constant in step.binding.constants)
    for index in step.passed_constants():
        if index not in seen:
            seen.add(index)
            total += step.layer.input(step.layer.node.inputs.index(index)).bytes
    return total


def ram(program: Program, memory: MemoryMap) -> Ram:
    """The RAM figures of a plan."""
    return Ram(
        arena=memory.size,
        input=sum(tensor.bytes for tensor in program.graph.input_tensors),
        output=sum(tensor.bytes for tensor in program.graph.output_tensors if not tensor.constant),
        scratch=max((step.binding.scratch for step in program.steps), default=0),
        activations=memory.activations.size,
        lower_bound=memory.arena.lower_bound,
        optimal=memory.arena.optimal,
        peak_layer=memory.arena.peak_step,
        live_at_peak=tuple(
            f"{short_name(memory.buffers[b].label)} ({memory.buffers[b].size} B)" for b in memory.arena.live_at_peak
        ),
    )


def fit(board: Board, flash_bytes: int, ram_bytes: int) -> Fit:
    """Percent of the board's flash and RAM."""
    return Fit(round(100.0 * flash_bytes / board.flash_bytes, 1), round(100.0 * ram_bytes / board.ram_bytes, 1))


@dataclass(frozen=True)
class Budget:
    """Bytes that the model may take: flash for code and tables, RAM for arena and stack. The board's, or less."""

    flash: int
    ram: int


def check_fit(board: Board, rows: Sequence[LayerRow], ram: Ram, flash: Flash, stack: Stack, budget: Budget) -> None:
    """Raises DoesNotFitError with the numbers and the three largest contributors when the model is too big for the budget."""
    flash_bytes = flash.total if flash.total is not None else flash.constants
    ram_bytes = ram.arena + (stack.bound or 0)
    problems = []
    if flash_bytes > budget.flash:
        largest = sorted(rows, key=lambda row: -row.constants)[:3]
        text = ", ".join(f"layer {row.index} {row.op} '{short_name(row.name)}' {row.constants:,} B" for row in largest)
        problems.append(f"flash: {flash_bytes:,} B needed, {budget.flash:,} B available; largest: {text}")
    if ram_bytes > budget.ram:
        text = ", ".join(ram.live_at_peak[:3])
        problems.append(
            f"RAM: {ram_bytes:,} B needed ({ram.arena:,} B arena), {budget.ram:,} B available; "
            f"largest at layer {ram.peak_layer}: {text}"
        )
    if problems:
        optimal = " No plan without overlap can be smaller." if ram.optimal and ram_bytes > budget.ram else ""
        raise DoesNotFitError(
            f"board {board.name}",
            "the model does not fit\n    " + "\n    ".join(problems),
            hint=f"choose a larger board (`tinyc boards`) or a smaller model.{optimal}",
        )
