# SPDX-License-Identifier: Apache-2.0
"""Plans in which outputs lie over their inputs: optimal, proved, and caught when they go too far."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plan_instances import (
    MLPERF_TINY,
    MLPERF_TINY_LEADS,
    Leads,
    Rows,
    brute_force,
    buffers,
    chain,
    collide,
    overlaps,
)
from tinyc.plan import Arena, Buffer, Overlap, allocate, check, sweep
from tinyc.plan.first_fit import Problem, problem_of
from tinyc.plan.search import Budget
from tinyc.plan.sweep import Sweep

#: Two outputs share one unit of their input each, but there is only one; the bound of step 1 does not see that.
SHARED_TWICE = (
    [(1, 0, 1), (1, 0, 0), (5, 1, 2), (1, 1, 2), (2, 1, 1), (1, 5, 6), (5, 3, 6)],
    {(0, 1): 1, (2, 0): 2, (2, 4): 5, (3, 0): 0, (3, 4): 1},
)


@st.composite
def small(draw: st.DrawFn) -> tuple[Rows, Leads]:
    rows = []
    for _ in range(draw(st.integers(2, 6))):
        first = draw(st.integers(0, 5))
        rows.append((draw(st.integers(1, 5)), first, min(6, first + draw(st.sampled_from([0, 1, 1, 1, 2, 3])))))
    leads = {}
    for i, (size, first, last) in enumerate(rows):
        for j, row in enumerate(rows):
            if row[2] == first < last and i != j and draw(st.integers(0, 3)):
                leads[i, j] = draw(st.integers(0, size + 1))
    return rows, leads


def planned(rows: Rows, leads: Leads, alignment: int = 1, effort: int = 12_000) -> Arena:
    arena = allocate(buffers(rows), alignment, effort, overlaps(leads))
    check(arena, buffers(rows), overlaps(leads))
    return arena


def problem(rows: Rows, leads: Leads) -> Problem:
    sizes, firsts, lasts = zip(*rows, strict=True)
    return problem_of(sizes, firsts, lasts, {(a, b): lead for (a, b), lead in leads.items() if lead < sizes[a]})


def residual_network(blocks: int) -> tuple[list[tuple[int, int, int]], dict[tuple[int, int], int]]:
    """Per block expand, depthwise, project, and an ADD in place of either input; a scratch buffer beside each kernel."""
    rng = random.Random(blocks)
    rows: list[tuple[int, int, int]] = []
    leads: dict[tuple[int, int], int] = {}
    size = 9216
    for step in range(0, 4 * blocks, 4):
        inside = size * (3 + 3 * int(rng.random() * 2))
        start, n = max(step - 1, 0), len(rows)
        rows += [
            (size, start, step + 3),
            (inside, step, step + 1),
            (inside, step + 1, step + 2),
            (size, step + 2, step + 3),
        ]
        leads |= {(n + 2, n + 1): 640, (n + 3, n + 2): 16}
        rows += [(160 + int(rng.random() * 1700), step + i, step + i) for i in range(3)]
        if step:
            leads |= {(n, n - 7): 0, (n, n - 4): 0}
    return rows, leads


@pytest.mark.parametrize(("model", "optimum"), [("ad", 768), ("ic", 33_312), ("kws", 10_048), ("vww", 36_896)])
def test_mlperf_tiny(model: str, optimum: int) -> None:
    """The optima are those of CP-SAT. The effort is a tenth of the default."""
    arena = planned(MLPERF_TINY[model], MLPERF_TINY_LEADS[model], alignment=16, effort=1_200)
    assert (arena.size, arena.optimal) == (optimum, True)


@pytest.mark.parametrize("count", [2, 3, 9, 16, 17, 18, 60, 400])
@pytest.mark.parametrize("lead", [0, 64, 512])
def test_chains(count: int, lead: int) -> None:
    """A chain climbs down by a lead per layer; when that is more than a tensor, one may as well swap between two places."""
    arena = planned(*chain(count, 8_000, lead), alignment=16)
    assert (arena.size, arena.optimal) == (min(8_000 + (count - 1) * lead, 16_000), True)
    assert arena.lower_bound == 8_000 + lead


def test_150_layers_with_scratch_and_residuals() -> None:
    arena = planned(*residual_network(38), alignment=16, effort=3_000)
    assert arena.optimal
    assert arena.size < allocate(buffers(residual_network(38)[0])).size


@settings(max_examples=200, deadline=None)
@given(small())
def test_equals_brute_force(instance: tuple[Rows, Leads]) -> None:
    arena = planned(*instance)
    assert arena.optimal
    assert arena.size == brute_force(*instance)


@settings(max_examples=150, deadline=None)
@given(small())
def test_sweep_alone(instance: tuple[Rows, Leads]) -> None:
    """A packing at the optimum, a refutation below it, and no claim beyond it."""
    optimum = brute_force(*instance)
    packing = Sweep(problem(*instance), optimum, width=1_000).run(Budget(100_000))
    assert packing is not None
    assert packing.height == optimum
    assert not any(collide(*instance, packing.offsets, i, j) for i in range(len(instance[0])) for j in range(i))
    assume(optimum > max(size for size, _, _ in instance[0]))
    below = Sweep(problem(*instance), optimum - 1, width=1_000)
    assert below.run(Budget(100_000)) is None
    assert below.complete
    assert below.least == optimum


def test_few_zones_prove_nothing() -> None:
    """At the optimum of this chain the first zone alone leads to nothing, and with all of them there is a packing."""
    rows, leads = residual_network(6)
    whole = problem(rows, leads)
    optimum = planned(rows, leads).size
    narrow = Sweep(whole, optimum, width=1)
    assert narrow.run(Budget(100_000)) is None
    assert not narrow.complete
    assert Sweep(whole, optimum, width=1_000).run(Budget(100_000)) is not None


def test_limited_memory_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, leads = chain(12, 10, 1)
    beside = [(1, step, step) for step in range(12)]
    whole = problem([*rows, *beside], leads)
    free = Sweep(whole, 19, width=1_000)
    assert free.run(Budget(100_000)) is None
    assert free.complete
    monkeypatch.setattr(sweep, "ROOM", 20)
    tight = Sweep(whole, 19, width=1_000)
    assert tight.run(Budget(100_000)) is None
    assert not tight.complete


def test_out_of_effort() -> None:
    """The proof for KWS takes some dozens of nodes. With fewer, the plan of the greedy methods remains, and says so."""
    arena = planned(MLPERF_TINY["kws"], MLPERF_TINY_LEADS["kws"], alignment=16, effort=5)
    assert not arena.optimal
    assert arena.method.endswith("not proved within the effort")
    assert planned(MLPERF_TINY["kws"], MLPERF_TINY_LEADS["kws"], alignment=16, effort=100).optimal


def test_many_boxes_at_once_use_up_the_effort_and_no_more() -> None:
    rng = random.Random(1)
    rows = [(1 + int(rng.random() * 99), 0, 9) for _ in range(60)]
    rows += [(50 + i, i, i + 1) for i in range(9)]
    leads = {(61 + i, 60 + i): 3 for i in range(8)}
    budget = Budget(50)
    tree = Sweep(problem(rows, leads), sum(size for size, _, _ in rows), width=60)
    tree.run(budget)
    assert -70 < budget.nodes <= 0, "the last table costs ROOM / CELLS at most"
    assert not tree.complete


def test_no_lead_may_use_the_same_place() -> None:
    arena = planned([(32, 0, 1), (32, 1, 2), (16, 2, 3)], {(1, 0): 0, (2, 1): 0}, alignment=16)
    assert (arena.size, arena.lower_bound, arena.optimal) == (32, 32, True)
    assert arena.offsets[0] == arena.offsets[1] == 0


def test_over_either_of_two_inputs() -> None:
    rows = [(64, 0, 2), (64, 1, 2), (64, 2, 3)]
    assert planned(rows, {}, alignment=16).size == 192
    assert planned(rows, {(2, 0): 0, (2, 1): 0}, alignment=16).size == 128


def test_over_two_inputs_at_once() -> None:
    """The output covers both inputs: the bound counts what it shares with each."""
    rows = [(32, 0, 2), (32, 1, 2), (96, 2, 3)]
    arena = planned(rows, {(2, 0): 16, (2, 1): 48}, alignment=16)
    assert (arena.size, arena.lower_bound) == (96, 96)


def test_an_input_shared_with_two_outputs() -> None:
    arena = planned(*SHARED_TWICE)
    assert (arena.size, arena.lower_bound, arena.optimal) == (8, 7, True)
    assert arena.method == "first fit, proved by boxes that cannot overlap"
    assert brute_force(*SHARED_TWICE) == 8


def test_leads_are_rounded_up() -> None:
    arena = planned([(64, 0, 1), (64, 1, 2)], {(1, 0): 17}, alignment=16)
    assert (arena.size, arena.lower_bound) == (96, 96)
    assert arena.offsets == {0: 32, 1: 0}


@settings(max_examples=60, deadline=None)
@given(small())
def test_leads_of_a_whole_output_change_nothing(instance: tuple[Rows, Leads]) -> None:
    rows, leads = instance
    far = {pair: rows[pair[0]][0] for pair in leads}
    assert planned(rows, far) == planned(rows, {})


@pytest.mark.parametrize("model", ["kws", "vww"])
def test_the_same_plan_for_any_order(model: str) -> None:
    rows, leads = MLPERF_TINY[model], MLPERF_TINY_LEADS[model]
    given_buffers, given_overlaps = buffers(rows), overlaps(leads)
    random.Random(5).shuffle(given_buffers)
    random.Random(6).shuffle(given_overlaps)
    assert allocate(given_buffers, overlaps=given_overlaps) == planned(rows, leads, alignment=16)


def test_sizes_too_large_for_the_sweep() -> None:
    rows, leads = chain(20, (1 << 70) + 1, 1 << 68)
    arena = planned(rows, leads)
    assert arena.size <= 2 * ((1 << 70) + 1)
    assert not arena.optimal


@pytest.mark.parametrize(
    ("overlap", "message"),
    [
        (Overlap(1, 0, -1), "lead of -1 bytes, expected 0 or more"),
        (Overlap(1, 9, 0), "names buffer 9, which is not among the buffers"),
        (Overlap(0, 1, 0), "must end at the step where the output begins, step 0"),
        (Overlap(2, 0, 0), "must end at the step where the output begins, step 2"),
        (Overlap(3, 3, 0), "must end at the step where the output begins"),
        (Overlap(2, 1, 8), "the overlap of buffer 2 'pool' over buffer 1 is given twice"),
        (Overlap(4, 3, 8), "buffer 3 is output and input of overlaps in its only step 3"),
    ],
)
def test_what_cannot_be_planned(overlap: Overlap, message: str) -> None:
    rows = [Buffer(0, 4, 0, 1), Buffer(1, 4, 1, 2), Buffer(2, 4, 2, 3, "pool"), Buffer(3, 4, 3, 3), Buffer(4, 4, 3, 4)]
    fine = [Overlap(2, 1, 0), Overlap(3, 2, 0)]
    with pytest.raises(ValueError, match=message):
        allocate(rows, overlaps=[*fine, overlap])


KWS, KWS_OVERLAPS = buffers(MLPERF_TINY["kws"]), overlaps(MLPERF_TINY_LEADS["kws"])
PLAN = allocate(KWS, overlaps=KWS_OVERLAPS)


def moved(arena: Arena, buffer_id: int, by: int) -> Arena:
    return replace(arena, offsets={**arena.offsets, buffer_id: arena.offsets[buffer_id] + by})


def swapped(arena: Arena, one: int, other: int) -> Arena:
    return replace(arena, offsets={**arena.offsets, one: arena.offsets[other], other: arena.offsets[one]})


def test_plans_of_a_chain_that_go_too_far_are_caught() -> None:
    """Every output that lies over its input: one unit nearer than its lead, and the two in each other's place."""
    found = 0
    for overlap in KWS_OVERLAPS:
        distance = PLAN.offsets[overlap.input] - PLAN.offsets[overlap.output]
        if overlap.lead == 0 or not 0 <= distance < KWS[overlap.output].size:
            continue
        found += 1
        nearer = moved(PLAN, overlap.output, distance - -(-overlap.lead // 16) * 16 + 16)
        with pytest.raises(ValueError, match=r"overlap while both live at step|outside"):
            check(nearer, KWS, KWS_OVERLAPS)
        with pytest.raises(ValueError, match=r"overlap while both live at step|outside"):
            check(swapped(PLAN, overlap.output, overlap.input), KWS, KWS_OVERLAPS)
    assert found >= 7


@pytest.mark.parametrize(
    ("arena", "message"),
    [
        (replace(PLAN, lower_bound=16_000), "the lower bound is 8448, the plan says 16000"),
        (replace(PLAN, lower_bound=8_432), "the lower bound is 8448, the plan says 8432"),
        (replace(PLAN, peak_step=0), "step 0 is not where 8448 bytes are alive"),
    ],
)
def test_wrong_bounds_are_caught(arena: Arena, message: str) -> None:
    check(PLAN, KWS, KWS_OVERLAPS)
    with pytest.raises(ValueError, match=message):
        check(arena, KWS, KWS_OVERLAPS)


def test_overlaps_that_are_not_allowed_are_caught() -> None:
    with pytest.raises(ValueError, match="overlap while both live"):
        check(PLAN, KWS)
    longer = [replace(overlap, lead=overlap.lead + 16) for overlap in KWS_OVERLAPS]
    with pytest.raises(ValueError, match="overlap while both live"):
        check(PLAN, KWS, longer)


def test_scratch_under_the_output_is_caught() -> None:
    """The output begins below all others at its step, and covers the input and then the scratch."""
    rows, leads = [(32, 0, 1), (96, 1, 2), (16, 1, 1)], {(1, 0): 32}
    arena = planned(rows, leads, alignment=16)
    inside = replace(arena, offsets={0: 32, 1: 0, 2: 80}, size=96)
    with pytest.raises(ValueError, match="buffer 1 and buffer 2 overlap while both live at step 1"):
        check(inside, buffers(rows), overlaps(leads))


@settings(max_examples=200, deadline=None)
@given(small(), st.data())
def test_moved_buffers_are_caught_exactly_when_they_collide(instance: tuple[Rows, Leads], data: st.DataObject) -> None:
    rows, leads = instance
    plan = planned(rows, leads, effort=0)
    box = data.draw(st.integers(0, len(rows) - 1))
    offset = data.draw(st.integers(0, plan.size - rows[box][0]))
    offsets = {**plan.offsets, box: offset}
    top = max(offsets[i] + size for i, (size, _, _) in enumerate(rows))
    changed = replace(plan, offsets=offsets, size=top, optimal=True)
    if any(collide(rows, leads, offsets, i, j) for i in range(len(rows)) for j in range(i)):
        with pytest.raises(ValueError, match="overlap while both live"):
            check(changed, buffers(rows), overlaps(leads))
    else:
        check(changed, buffers(rows), overlaps(leads))
