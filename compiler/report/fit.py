# SPDX-License-Identifier: Apache-2.0
"""Whether a model fits its board: flash for code and tables, RAM for arena and stack; and what would make it fit if it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..boards import Board, all_boards
from ..choose import Chosen, Limits, choose
from ..errors import DoesNotFitError
from ..graph import short_name
from ..lower import OPTIMIZE, computed
from ..memory import MemoryMap
from ..placement import table_bytes as table_bytes
from ..program import Program
from ..select import GOALS, candidates
from ..targets.cpus import find_cpu

#: Boards that an error names.
NAMED_BOARDS = 3


@dataclass(frozen=True)
class Fit:
    """What the model library takes of the board, in bytes and percent: flash for code and tables, RAM for arena and stack."""

    flash_percent: float
    ram_percent: float
    flash_used: int
    flash_available: int
    ram_used: int
    ram_available: int


@dataclass(frozen=True)
class Budget:
    """Bytes that the model may take: flash for code and tables, RAM for arena and stack. The board's, or less."""

    flash: int
    ram: int


@dataclass(frozen=True)
class Needs:
    """Bytes that a model takes. `code` and `stack` are 0 until a compiler has measured them.

    `tables` are all constants in flash and `code` is what else is there; `arena`, `stack` and `copied`, the tables that are copied to
    the same RAM at start, are the RAM.
    """

    tables: int
    arena: int
    code: int = 0
    stack: int = 0
    copied: int = 0

    @property
    def flash(self) -> int:
        return self.tables + self.code

    @property
    def ram(self) -> int:
        return self.arena + self.stack + self.copied

    def within(self, budget: Budget) -> bool:
        return self.flash <= budget.flash and self.ram <= budget.ram


def fit(board: Board, needs: Needs, ram_bytes: int | None = None) -> Fit:
    """What `needs` is of the board's flash and RAM; `ram_bytes` stands for the latter where the arena is outside of the chip."""
    available = ram_bytes or board.ram_bytes
    return Fit(
        flash_percent=round(100.0 * needs.flash / board.flash_bytes, 1),
        ram_percent=round(100.0 * needs.ram / available, 1),
        flash_used=needs.flash,
        flash_available=board.flash_bytes,
        ram_used=needs.ram,
        ram_available=available,
    )


def bar(used: int, available: int, width: int = 20) -> str:
    """`[#####...............]`: the share as text; what is used but not available comes after a `|`."""
    if used > available:
        over = min(width, max(1, round(width * (used - available) / max(available, 1))))
        return f"[{'#' * width}|{'#' * over}]"
    filled = round(width * used / max(available, 1))
    return f"[{'#' * filled}{'.' * (width - filled)}]"


def check_fit(board: Board, program: Program, memory: MemoryMap, optimize: str, needs: Needs, budget: Budget) -> None:
    """Raises DoesNotFitError with the numbers, the largest contributors and what would make it fit, if the budget is too small."""
    if needs.within(budget):
        return
    problems = []
    if needs.flash > budget.flash:
        problems.append(
            f"flash: {needs.flash:,} B needed, {budget.flash:,} B available {bar(needs.flash, budget.flash)}; "
            f"largest: {_largest_tables(program, needs)}"
        )
    if needs.ram > budget.ram:
        stack = f" and {needs.stack:,} B stack" if needs.stack else ""
        proved = "; no plan for these kernels is smaller" if memory.arena.optimal else ""
        problems.append(
            f"RAM: {needs.ram:,} B needed ({needs.arena:,} B arena{stack}), {budget.ram:,} B available "
            f"{bar(needs.ram, budget.ram)}; largest at layer {memory.arena.peak_step}: {_largest_buffers(memory)}{proved}"
        )
    raise DoesNotFitError(
        f"board {board.name}",
        "the model does not fit\n    " + "\n    ".join(problems),
        hint=remedy(board, program, optimize, needs, budget),
    )


def _largest_tables(program: Program, needs: Needs) -> str:
    """The three largest contributors to flash, code as one of them."""
    parts = [(needs.code, "code")] if needs.code else []
    for step, size in zip(program.steps, table_bytes(program), strict=True):
        parts.append((size, f"layer {step.index} {step.layer.op} '{short_name(step.layer.output.name)}'"))
    parts.sort(key=lambda part: -part[0])
    return ", ".join(f"{text} {size:,} B" for size, text in parts[:3])


def _largest_buffers(memory: MemoryMap) -> str:
    live = [memory.buffers[b] for b in memory.arena.live_at_peak[:3]]
    return ", ".join(f"{short_name(buffer.label)} ({buffer.size} B)" for buffer in live)


def remedy(board: Board, program: Program, optimize: str, needs: Needs, budget: Budget) -> str:
    """The cheapest thing that would make the model fit: a larger budget, another goal, another board; by estimate.

    Estimates are those that kernels are chosen by, with what the compiler measured beyond them in this build.
    """
    other_goal = _goal_that_fits(program, optimize, needs, budget)
    if other_goal is not None:
        return other_goal
    if needs.within(Budget(board.flash_bytes, board.ram_bytes)):
        return (
            "no --optimize makes it fit; --flash-budget or --ram-budget asks for less than the board has "
            f"({board.flash_bytes:,} B flash, {board.ram_bytes:,} B RAM)"
        )
    boards = list(_boards_that_fit(board, program, optimize, needs))
    if boards:
        return f"no --optimize makes it fit; these boards (`tinyc boards`) would, by estimate: {', '.join(boards)}"
    return "no --optimize makes it fit, and no board of `tinyc boards` has the room: a smaller model is needed"


def _goal_that_fits(program: Program, optimize: str, needs: Needs, budget: Budget) -> str | None:
    """The other goal with the fewest instructions within the budget."""
    least = sum(min(c.tables for c in candidates(layer, program.cpu)) for layer in computed(program.graph))
    if least > budget.flash:
        return None
    beyond = _beyond_estimate(program, needs)
    found: list[tuple[float, str]] = []
    for goal in OPTIMIZE:
        if goal != optimize:
            limits = Limits(budget.flash - beyond.flash, budget.ram - beyond.ram)
            chosen = choose(program.graph, program.cpu, goal, limits, _takes_rows(program))
            if _estimate(chosen, beyond).within(budget):
                found.append(
                    (chosen.instructions, f"`--optimize {goal}` would fit, by estimate: {_text(chosen, beyond)}")
                )
    return min(found)[1] if found else None


def _boards_that_fit(board: Board, program: Program, optimize: str, needs: Needs) -> Iterator[str]:
    """The smallest boards with enough room, smallest first."""
    beyond = _beyond_estimate(program, needs)
    goal = "balanced" if GOALS[optimize].streams else optimize
    chosen: dict[str, Chosen] = {}
    others = [other for other in all_boards().values() if not other.is_emulated and other.name != board.name]
    named = 0
    for other in sorted(others, key=lambda other: (other.ram_bytes, other.flash_bytes, other.name)):
        if named < NAMED_BOARDS:
            if other.cpu not in chosen:
                chosen[other.cpu] = choose(program.graph, find_cpu(other.cpu), goal, stream_input=_takes_rows(program))
            if _estimate(chosen[other.cpu], beyond).within(Budget(other.flash_bytes, other.ram_bytes)):
                named += 1
                yield f"{other.name} ({_text(chosen[other.cpu], beyond)})"


def _takes_rows(program: Program) -> bool:
    """Whether the model's input comes row by row (--stream-input)."""
    return any(stream.schedule.fed is not None for stream in program.streams)


def _beyond_estimate(program: Program, needs: Needs) -> Needs:
    """What the compiler measured beyond the estimate: calls, parameters, stack."""
    code = sum({step.kernel.function: step.kernel.code for step in program.steps}.values())
    return Needs(0, 0, code=max(needs.flash - sum(table_bytes(program)) - code, 0), stack=needs.stack)


def _estimate(chosen: Chosen, beyond: Needs) -> Needs:
    return replace(beyond, tables=chosen.flash, arena=chosen.memory.size)


def _text(chosen: Chosen, beyond: Needs) -> str:
    needs = _estimate(chosen, beyond)
    return f"{needs.flash:,} B flash, {needs.ram:,} B RAM"
