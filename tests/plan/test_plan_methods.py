# SPDX-License-Identifier: Apache-2.0
"""The methods behind allocate(), each alone, so that none hides a mistake of another."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_instances import GAP_OF_8, GAP_OF_17, GREEDY_FAILS, MLPERF_TINY, SLIDING, brute_force
from tinyc.plan.first_fit import (
    Packing,
    Problem,
    climb,
    fit,
    greedy,
    lowest_gap,
    orders,
    problem_of,
    repair,
    tightest_gap,
)
from tinyc.plan.reduction import complete, reduce_problem
from tinyc.plan.search import Budget, Search, search, step_sets
from tinyc.plan.step_order import count_pairs, in_step_order

Rows = list[tuple[int, int, int]]

small_rows = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=6).map(
    lambda rows: [(size, first, first + length) for size, first, length in rows]
)


def problem(rows: Rows) -> Problem:
    sizes, firsts, lasts = zip(*rows, strict=True)
    return problem_of(sizes, firsts, lasts)


def load(rows: Rows) -> int:
    return max(sum(size for size, first, last in rows if first <= step <= last) for _, step, _ in rows)


def assert_disjoint(rows: Rows, packing: Packing) -> None:
    for i, (size, first, last) in enumerate(rows):
        for j, (other_size, other_first, other_last) in enumerate(rows[:i]):
            apart = last < other_first or other_last < first
            start, other = packing.offsets[i], packing.offsets[j]
            assert apart or start + size <= other or other + other_size <= start
    assert max(offset + row[0] for offset, row in zip(packing.offsets, rows, strict=True)) == packing.height


def test_the_first_order_is_that_of_tensorflow_lite_micro() -> None:
    """Its planner reports 73,728 bytes for the VWW model, a third more than needed."""
    vww = problem([(-(-size // 16) * 16, first, last) for size, first, last in MLPERF_TINY["vww"]])
    assert fit(vww, orders(vww)[0], lowest_gap, "").height == 73_728


def test_gaps() -> None:
    taken = [(20, 30), (0, 10), (13, 15)]
    assert lowest_gap([(start - 3, end) for start, end in taken]) == 10
    assert lowest_gap([(start - 5, end) for start, end in taken]) == 15
    assert lowest_gap([(start - 6, end) for start, end in taken]) == 30
    assert tightest_gap([(start - 2, end) for start, end in taken]) == 10
    assert tightest_gap([(start - 4, end) for start, end in taken]) == 15
    assert tightest_gap([(start - 6, end) for start, end in taken]) == 30
    assert lowest_gap([]) == tightest_gap([]) == 0


@settings(max_examples=150, deadline=None)
@given(small_rows)
def test_search_alone_from_no_limit_to_the_optimum(rows: Rows) -> None:
    """Without a goal the tree must be searched to its end, while the limit comes down with every packing found."""
    tree = Search(problem(rows), limit=sum(size for size, _, _ in rows), goal=0)
    outcome = tree.run(Budget(100_000), taste=0)
    assert outcome.exhausted
    assert outcome.packing is not None
    assert_disjoint(rows, outcome.packing)
    assert outcome.packing.height == brute_force(rows)


def test_failed_states_do_not_outlive_a_lower_limit() -> None:
    """Here a placed box once reached above the new limit, and the state was taken for a failure of the other boxes."""
    rows = [(3, 0, 0), (2, 0, 1), (1, 1, 1), (2, 1, 2), (3, 2, 2), (1, 3, 3), (2, 3, 3), (1, 3, 3)]
    outcome = Search(problem(rows), limit=16, goal=5).run(Budget(10_000), taste=0)
    assert outcome.packing is not None
    assert outcome.packing.height == 5


@pytest.mark.parametrize("taste", [0, 1, 2])
@pytest.mark.parametrize(("rows", "optimum"), [(GAP_OF_8, 6), (GAP_OF_17, 25), (GREEDY_FAILS, 16), (SLIDING, 8)])
def test_search_in_every_taste(rows: Rows, optimum: int, taste: int) -> None:
    tree = Search(problem(rows), limit=optimum + 9, goal=0)
    outcome = tree.run(Budget(100_000), taste)
    assert outcome.exhausted
    assert outcome.packing is not None
    assert outcome.packing.height == optimum
    assert Search(problem(rows), limit=optimum, goal=optimum).run(Budget(100_000), taste).packing is not None
    assert Search(problem(rows), limit=optimum - 1, goal=0).run(Budget(100_000), taste).packing is None


def test_search_gives_up_at_its_budget() -> None:
    budget = Budget(5)
    start = greedy(problem(GAP_OF_17), 24)
    outcome = search(problem(GAP_OF_17), start, goal=24, limit=start.height - 1, budget=budget)
    assert not outcome.exhausted
    assert budget.nodes <= 0


def test_nodes_needed() -> None:
    """The proof for 17 boxes takes a few hundred nodes; many more mean that a pruning rule was lost."""
    budget = Budget(100_000)
    assert Search(problem(GAP_OF_17), limit=24, goal=24).run(budget, taste=0).exhausted
    assert 100_000 - budget.nodes < 500


def test_twins_are_not_permuted() -> None:
    """25 equal boxes and a bound of 25 that is out of reach: without the rule there are 25! orders."""
    rows = [(1, 0, 0)] * 25
    budget = Budget(1_000)
    assert Search(problem(rows), limit=25, goal=0).run(budget, taste=0).exhausted
    assert budget.nodes > 900


@settings(max_examples=150, deadline=None)
@given(small_rows)
def test_reduction_keeps_the_optimum(rows: Rows) -> None:
    goal, whole = load(rows), problem(rows)
    reduced = reduce_problem(whole, goal)
    packed, height = {}, goal
    for part in reduced.parts:
        part_rows = list(zip(part.problem.sizes, part.problem.firsts, part.problem.lasts, strict=True))
        best = Search(part.problem, sum(part.problem.sizes), 0).run(Budget(100_000), 0).packing
        assert best is not None
        assert best.height == brute_force(part_rows)
        height = max(height, part.base + best.height)
        packed.update({box: part.base + offset for box, offset in zip(part.boxes, best.offsets, strict=True)})
    offsets = complete(whole, reduced, packed)
    assert_disjoint(rows, Packing(offsets, height, ""))
    assert height == brute_force(rows)


def test_reduction_cuts() -> None:
    rows = [*GAP_OF_8, (7, 0, 5), *[(size, first + 9, last + 9) for size, first, last in GAP_OF_8]]
    reduced = reduce_problem(problem(rows), goal=12)
    assert reduced.bottom == {8: 0}
    assert [part.base for part in reduced.parts] == [7]
    assert set(reduced.aside) >= set(range(9, 17)), "half empty there: everything fits anyway"


@settings(max_examples=60, deadline=None)
@given(small_rows)
def test_greedy_methods_make_valid_packings(rows: Rows) -> None:
    start = greedy(problem(rows), 0)
    assert_disjoint(rows, start)
    for packing in (repair(problem(rows), start, 0), climb(problem(rows), start, start.height - 1, rounds=30)):
        assert_disjoint(rows, packing)
        assert packing.height <= start.height


@given(small_rows)
def test_step_order(rows: Rows) -> None:
    sizes, firsts, lasts = zip(*rows, strict=True)
    assert_disjoint(rows, in_step_order(sizes, firsts, lasts))
    assert count_pairs(firsts, lasts) * 2 == sum(len(near) for near in problem(rows).neighbours)


@given(small_rows)
def test_step_sets_are_the_maximal_ones(rows: Rows) -> None:
    steps = {frozenset(i for i, (_, a, b) in enumerate(rows) if a <= step <= b) for step in range(10)}
    maximal = {alive for alive in steps if not any(alive < other for other in steps)}
    found = [frozenset(row.nonzero()[0].tolist()) for row in step_sets(problem(rows))]
    assert len(found) == len(set(found))
    assert set(found) == maximal
