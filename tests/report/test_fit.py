# SPDX-License-Identifier: Apache-2.0
"""What a build that does not fit says: how much is missing, what is largest, and the cheapest thing that makes it fit."""

import re
from functools import cache

import numpy as np
import pytest
from plans import EXAMPLES
from tinyc.boards import Board, all_boards, load_board
from tinyc.choose import Chosen, Limits, choose
from tinyc.errors import DoesNotFitError
from tinyc.importers.tflite import load
from tinyc.passes import run_passes
from tinyc.report.fit import Budget, Needs, bar, check_fit, fit, remedy, table_bytes
from tinyc.targets.cpus import find_cpu

ROOM = 10**9


@cache
def chosen(optimize: str, cpu: str = "cortex-m4", model: str = "kws") -> Chosen:
    return choose(run_passes(load(EXAMPLES[model])), find_cpu(cpu), optimize)


def estimate(of: Chosen, code: int = 0, stack: int = 0) -> Needs:
    return Needs(of.flash, of.memory.size, code, stack)


def board() -> Board:
    return load_board("nucleo_f446re")


@pytest.mark.parametrize(
    ("used", "available", "text"),
    [
        (0, 100, "[..........]"),
        (50, 100, "[#####.....]"),
        (100, 100, "[##########]"),
        (101, 100, "[##########|#]"),
        (150, 100, "[##########|#####]"),
        (10_000, 100, "[##########|##########]"),
        (1, 0, "[##########|##########]"),
    ],
)
def test_bars(used: int, available: int, text: str) -> None:
    assert bar(used, available, 10) == text


def test_numbers_of_the_board() -> None:
    figures = fit(board(), Needs(tables=1000, arena=2000, code=300, stack=48))
    assert (figures.flash_used, figures.ram_used) == (1300, 2048)
    assert (figures.flash_available, figures.ram_available) == (board().flash_bytes, board().ram_bytes)
    assert figures.ram_percent == round(100 * 2048 / board().ram_bytes, 1)


def test_what_is_missing_and_what_is_largest() -> None:
    it = chosen("balanced")
    needs = Needs(sum(table_bytes(it.program)), it.memory.size, code=9_000, stack=512)
    check_fit(board(), it.program, it.memory, "balanced", needs, Budget(needs.flash, needs.ram))
    with pytest.raises(DoesNotFitError) as caught:
        check_fit(board(), it.program, it.memory, "balanced", needs, Budget(needs.flash - 1, needs.ram - 1))
    text = str(caught.value)
    assert f"flash: {needs.flash:,} B needed, {needs.flash - 1:,} B available [####################|#]" in text
    assert f"RAM: {needs.ram:,} B needed ({it.memory.size:,} B arena and 512 B stack), {needs.ram - 1:,} B" in text
    tables = table_bytes(it.program)
    step = it.program.steps[int(np.argmax(tables))]
    assert (
        f"largest: code 9,000 B, layer {step.index} {step.layer.op} '{step.layer.output.name}' {max(tables):,} B"
        in text
    )
    largest = max((it.memory.buffers[b] for b in it.memory.arena.live_at_peak), key=lambda buffer: buffer.size)
    assert f"largest at layer {it.memory.arena.peak_step}: {largest.label} ({largest.size} B)" in text
    assert caught.value.exit_code == 3


def test_another_goal_that_fits() -> None:
    """The one with the fewest instructions of those within the budget, with what the compiler measured on top."""
    fast, small = chosen("speed"), chosen("ram")
    assert small.memory.size < fast.memory.size
    stack = 400
    budget = Budget(ROOM, small.memory.size + stack)
    text = remedy(board(), fast.program, "speed", estimate(fast, stack=stack), budget)
    found = re.fullmatch(r"`--optimize (\w+)` would fit, by estimate: ([\d,]+) B flash, ([\d,]+) B RAM", text)
    assert found is not None, text
    assert int(found[3].replace(",", "")) <= budget.ram
    graph, limits = fast.program.graph, Limits(ROOM, small.memory.size)
    others = {goal: choose(graph, fast.program.cpu, goal, limits) for goal in ("balanced", "ram", "size")}
    within = {goal: of.instructions for goal, of in others.items() if of.memory.size + stack <= budget.ram}
    assert within[found[1]] == min(within.values())


def test_a_goal_for_less_flash() -> None:
    fast, small = chosen("speed"), chosen("size")
    budget = Budget(small.flash, ROOM)
    assert "` would fit, by estimate: " in remedy(board(), fast.program, "speed", estimate(fast), budget)
    over = Budget(small.flash // 4, ROOM)
    assert "no --optimize makes it fit" in remedy(board(), fast.program, "speed", estimate(fast), over)


def test_a_budget_below_the_board() -> None:
    it = chosen("size")
    text = remedy(board(), it.program, "size", estimate(it), Budget(100, ROOM))
    assert "--flash-budget or --ram-budget asks for less than the board has (524,288 B flash, 131,072 B RAM)" in text


def test_other_boards_smallest_first() -> None:
    it = chosen("size")
    needs = Needs(tables=it.flash, arena=200_000)
    text = remedy(load_board("bluepill"), it.program, "size", needs, Budget(100, 100))
    names = re.findall(r"(\w+) \([\d,]+ B flash, [\d,]+ B RAM\)", text)
    real = [b for b in all_boards().values() if not b.is_emulated and b.name != "bluepill"]
    real.sort(key=lambda b: (b.ram_bytes, b.flash_bytes, b.name))
    fitting = [
        b.name
        for b in real
        if chosen("size", b.cpu).memory.size <= b.ram_bytes and chosen("size", b.cpu).flash <= b.flash_bytes
    ]
    assert names == fitting[:3]


def test_no_board_has_the_room() -> None:
    it = chosen("size")
    needs = Needs(tables=it.flash, arena=it.memory.size, code=1 << 30)
    text = remedy(load_board("bluepill"), it.program, "size", needs, Budget(100, 100))
    assert "no board of `tinyc boards` has the room" in text and "smaller model" in text


def test_streams_are_not_searched_for_each_board() -> None:
    """The goal `ram` takes long; other boards are found by the goal `balanced`, which never needs less RAM."""
    it = chosen("ram")
    needs = Needs(tables=it.flash, arena=200_000)
    text = remedy(load_board("bluepill"), it.program, "ram", needs, Budget(100, 100))
    assert f"{chosen('balanced', 'cortex-m4').memory.size:,} B RAM" in text
