# SPDX-License-Identifier: Apache-2.0
"""allocate(): the optima are right, proved where possible, and the same every time."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_instances import GAP_OF_8, GAP_OF_17, GREEDY_FAILS, MLPERF_TINY, SLIDING, brute_force, buffers
from tinyc.plan import Buffer, allocate, check, planner, search
from tinyc.plan.first_fit import Packing, Problem


@st.composite
def small(draw: st.DrawFn, most: int = 6) -> list[tuple[int, int, int]]:
    rows = []
    for _ in range(draw(st.integers(1, most))):
        first = draw(st.integers(0, 6))
        rows.append((draw(st.integers(1, 5)), first, min(6, first + draw(st.integers(0, 3)))))
    return rows


def lively(seed: int, count: int) -> list[tuple[int, int, int]]:
    """Random lifetimes, many of them long: hard for greedy methods."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        first = int(rng.random() * 60)
        rows.append((1 + int(rng.random() * 1000), first, min(59, first + int(rng.expovariate(1 / 8)))))
    return rows


def stacked(problem: Problem) -> Packing:
    """Every buffer on top of the one before, as if all were alive all the time."""
    ends = list(itertools.accumulate(problem.sizes))
    return Packing(tuple(end - size for end, size in zip(ends, problem.sizes, strict=True)), ends[-1], "stacked")


@pytest.mark.parametrize(("model", "optimum"), [("ad", 768), ("ic", 49_152), ("kws", 16_000), ("vww", 55_296)])
def test_mlperf_tiny_is_optimal(model: str, optimum: int) -> None:
    arena = allocate(buffers(MLPERF_TINY[model]), effort=0)
    check(arena, buffers(MLPERF_TINY[model]))
    assert (arena.size, arena.lower_bound, arena.optimal) == (optimum, optimum, True)


def test_peak_of_vww() -> None:
    arena = allocate(buffers(MLPERF_TINY["vww"]))
    assert arena.peak_step == 2
    assert arena.live_at_peak == (3, 2)


@settings(max_examples=150, deadline=None)
@given(small())
def test_equals_brute_force(rows: list[tuple[int, int, int]]) -> None:
    arena = allocate(buffers(rows), alignment=1)
    check(arena, buffers(rows))
    assert arena.optimal
    assert arena.size == brute_force(rows)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 30), st.integers(0, 30)), max_size=40), st.integers(0, 6))
def test_every_plan_passes_the_checker(triples: list[tuple[int, int, int]], shift: int) -> None:
    given_buffers = buffers([(size, min(a, b), max(a, b)) for size, a, b in triples])
    arena = allocate(given_buffers, alignment=1 << shift, effort=300)
    check(arena, given_buffers)
    assert all(offset % (1 << shift) == 0 for offset in arena.offsets.values())


def test_search_finds_what_greedy_misses() -> None:
    assert brute_force(GREEDY_FAILS) == 16
    assert allocate(buffers(GREEDY_FAILS), alignment=1, effort=0).size > 16
    arena = allocate(buffers(GREEDY_FAILS), alignment=1)
    check(arena, buffers(GREEDY_FAILS))
    assert (arena.size, arena.lower_bound, arena.optimal) == (16, 16, True)
    assert arena.method == "branch and bound"


def test_optimum_above_the_bound_is_proved() -> None:
    assert brute_force(GAP_OF_8) == 6
    arena = allocate(buffers(GAP_OF_8), alignment=1)
    check(arena, buffers(GAP_OF_8))
    assert (arena.size, arena.lower_bound, arena.optimal) == (6, 5, True)
    assert arena.method.endswith("proved by branch and bound")


@pytest.mark.parametrize("rows", [GAP_OF_8, GAP_OF_17, SLIDING])
def test_search_alone_improves_and_proves(rows: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the greedy methods: from all buffers on top of each other to the proved optimum."""
    expected = allocate(buffers(rows), alignment=1)
    monkeypatch.setattr(planner, "greedy", lambda problem, goal: stacked(problem))
    monkeypatch.setattr(planner, "repair", lambda problem, start, goal: start)
    monkeypatch.setattr(search, "climb", lambda problem, start, goal: start)
    arena = allocate(buffers(rows), alignment=1)
    check(arena, buffers(rows))
    assert (arena.size, arena.optimal, arena.method) == (expected.size, True, "branch and bound")


def test_without_effort_nothing_is_proved_above_the_bound() -> None:
    arena = allocate(buffers(GAP_OF_8), alignment=1, effort=0)
    check(arena, buffers(GAP_OF_8))
    assert (arena.size, arena.optimal) == (6, False)


def test_proof_on_top_of_a_buffer_that_always_lives() -> None:
    rows = [*GAP_OF_8, (7, 0, 5), (9, 40, 41)]
    arena = allocate(buffers(rows), alignment=1)
    check(arena, buffers(rows))
    assert (arena.size, arena.lower_bound, arena.optimal) == (13, 12, True)


def test_two_hard_parts() -> None:
    later = [(size, first + 10, last + 10) for size, first, last in GAP_OF_17]
    rows = [*GAP_OF_17, *later, *[(size * 4, first + 30, last + 30) for size, first, last in GAP_OF_8]]
    arena = allocate(buffers(rows), alignment=1)
    check(arena, buffers(rows))
    assert (arena.size, arena.lower_bound, arena.optimal) == (25, 24, True)


@pytest.mark.parametrize("seed", range(6))
def test_few_nodes_are_enough_for_80_buffers(seed: int) -> None:
    """Speed as a number of nodes: two thirds of the default."""
    arena = allocate(buffers(lively(seed, 80)), alignment=1, effort=8_000)
    check(arena, buffers(lively(seed, 80)))
    assert arena.size == arena.lower_bound


def test_sizes_are_rounded_up_to_the_alignment() -> None:
    arena = allocate([Buffer(7, 17, 0, 1), Buffer(9, 1, 1, 2)])
    assert arena.size == 48
    assert sorted(arena.offsets) == [7, 9]
    assert allocate([Buffer(7, 17, 0, 1), Buffer(9, 1, 1, 2)], alignment=1).size == 18


def test_nothing_to_place() -> None:
    arena = allocate([])
    check(arena, [])
    assert (arena.size, arena.lower_bound, arena.optimal, dict(arena.offsets)) == (0, 0, True, {})
    assert arena.live_at_peak == ()


def test_a_single_buffer() -> None:
    arena = allocate([Buffer(3, 100, 5, 9, "input")])
    check(arena, [Buffer(3, 100, 5, 9)])
    assert (arena.size, dict(arena.offsets), arena.optimal) == (112, {3: 0}, True)
    assert (arena.peak_step, arena.live_at_peak) == (5, (3,))


@pytest.mark.parametrize("rows", [GAP_OF_17, GREEDY_FAILS, lively(1, 60)])
def test_the_same_plan_for_any_order_of_the_buffers(rows: list[tuple[int, int, int]]) -> None:
    arena = allocate(buffers(rows), alignment=1, effort=1_000)
    shuffled = buffers(rows)
    random.Random(5).shuffle(shuffled)
    assert allocate(shuffled, alignment=1, effort=1_000) == arena
    assert allocate(buffers(rows), alignment=1, effort=1_000) == arena


def test_sizes_beyond_64_bits() -> None:
    rows = [(size << 70, first, last) for size, first, last in GREEDY_FAILS]
    arena = allocate(buffers(rows))
    check(arena, buffers(rows))
    assert arena.size == 16 << 70


def test_sizes_too_large_for_the_search() -> None:
    rows = [((size << 70) + i, first, last) for i, (size, first, last) in enumerate(GREEDY_FAILS)]
    arena = allocate(buffers(rows), alignment=1)
    check(arena, buffers(rows))
    assert not arena.optimal


def test_very_many_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "MOST_PAIRS", 0)
    many = buffers(lively(0, 400))
    arena = allocate(many)
    check(arena, many)
    assert arena.method == "first fit in step order"
    assert arena.size < 1.5 * arena.lower_bound


@pytest.mark.parametrize(
    ("rows", "alignment", "message"),
    [
        ([Buffer(1, 4, 0, 0), Buffer(1, 4, 0, 0)], 16, "two buffers have the id 1"),
        ([Buffer(1, 0, 0, 0, "conv")], 16, "buffer 1 'conv' has 0 bytes"),
        ([Buffer(1, 4, 3, 2)], 16, "buffer 1 lives from step 3 to 2"),
        ([Buffer(1, 4, 0, 0)], 12, "power of two, found 12"),
        ([Buffer(1, 4, 0, 0)], 0, "power of two, found 0"),
    ],
)
def test_what_cannot_be_planned(rows: list[Buffer], alignment: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        allocate(rows, alignment)
