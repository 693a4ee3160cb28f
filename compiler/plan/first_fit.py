# SPDX-License-Identifier: Apache-2.0
"""Greedy packing: place the buffers one after the other, each into a gap between those that share a step with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random

#: How much work the methods may do, counted in pairs of neighbours looked at, so that it does not depend on time.
GREEDY_PAIRS = 4_000_000
REPAIR_PAIRS = 600_000
CLIMB_PAIRS = 1_500_000
#: First fits per set of weights, and of hill climbing: more hardly ever help.
REPAIR_ROUNDS = 120
CLIMB_ROUNDS = 2_000
#: What a first fit costs per box, in the same unit, beside looking at its neighbours.
BOX_PAIRS = 3


#: (output box, input box) → lead: the distance at which the output may lie over the input.
Leads = Mapping[tuple[int, int], int]


@dataclass(frozen=True)
class Problem:
    """Boxes of height `sizes[i]` that cover the steps `firsts[i]`..`lasts[i]`; `neighbours[i]` share a step with i.

    Of two neighbours, the lower one is its whole size below the other one; or its lead, when there is one for the two.
    """

    sizes: tuple[int, ...]
    firsts: tuple[int, ...]
    lasts: tuple[int, ...]
    neighbours: tuple[tuple[int, ...], ...]
    leads: Leads = field(default_factory=dict)

    @property
    def work(self) -> int:
        """The work of one first fit."""
        return sum(len(near) + BOX_PAIRS for near in self.neighbours)

    @cached_property
    def distances(self) -> tuple[tuple[tuple[int, int, int], ...], ...]:
        """Per box i, for each neighbour j: (j, how far i is above j at least, how far i is below j at least)."""
        return tuple(
            tuple((j, self.distance(j, i), self.distance(i, j)) for j in near) for i, near in enumerate(self.neighbours)
        )

    def distance(self, low: int, high: int) -> int:
        """How far `low` starts before `high` at least, when it is the lower one of the two."""
        return self.leads.get((low, high), self.sizes[low])


@dataclass(frozen=True)
class Packing:
    """An offset per box, the height that they reach, and how they were found."""

    offsets: tuple[int, ...]
    height: int
    method: str


def problem_of(
    sizes: Sequence[int], firsts: Sequence[int], lasts: Sequence[int], leads: Leads | None = None
) -> Problem:
    """Find the neighbours by a sweep over the steps."""
    neighbours: list[list[int]] = [[] for _ in sizes]
    alive: list[int] = []
    for i in sorted(range(len(sizes)), key=lambda i: firsts[i]):
        alive = [j for j in alive if lasts[j] >= firsts[i]]
        for j in alive:
            neighbours[i].append(j)
            neighbours[j].append(i)
        alive.append(i)
    return Problem(tuple(sizes), tuple(firsts), tuple(lasts), tuple(tuple(near) for near in neighbours), leads or {})


def lowest_gap(forbidden: Iterable[tuple[int, int]]) -> int:
    """The lowest offset that lies strictly inside of no `forbidden` range."""
    offset = 0
    for start, end in sorted(forbidden):
        if start >= offset:
            break
        offset = max(offset, end)
    return offset


def tightest_gap(forbidden: Iterable[tuple[int, int]]) -> int:
    """The first offset of the gap between `forbidden` ranges that leaves least; above all of them if there is no gap."""
    best, least, top = -1, 0, 0
    for start, end in sorted(forbidden):
        left_over = start - top
        if left_over >= 0 and (best < 0 or left_over < least):
            best, least = top, left_over
        top = max(top, end)
    return top if best < 0 else best


def fit(
    problem: Problem, order: Iterable[int], gap: Callable[[Iterable[tuple[int, int]]], int], method: str
) -> Packing:
    """Place the boxes in the given order, each where `gap` says."""
    sizes, distances = problem.sizes, problem.distances
    offsets = [-1] * len(sizes)
    for i in order:
        offsets[i] = gap(
            [(offsets[j] - below, offsets[j] + above) for j, above, below in distances[i] if offsets[j] >= 0]
        )
    return Packing(tuple(offsets), height_of(problem, offsets), method)


def height_of(problem: Problem, offsets: Sequence[int]) -> int:
    return max((offset + size for offset, size in zip(offsets, problem.sizes, strict=True)), default=0)


def orders(problem: Problem) -> list[list[int]]:
    """The orders that are worth trying, most successful first. The first one is TensorFlow Lite Micro's: largest
    first, and among equals the last one first."""
    size, first, last = problem.sizes, problem.firsts, problem.lasts
    keys: list[Callable[[int], tuple[int, ...]]] = [
        lambda i: (-size[i], -i),
        lambda i: (-size[i], first[i]),
        lambda i: (-size[i] * (last[i] - first[i] + 1), -size[i], first[i]),
        lambda i: (first[i] - last[i], -size[i], first[i]),
        lambda i: (first[i], -size[i]),
        lambda i: (-last[i], -size[i]),
        lambda i: (-size[i] - sum(size[j] for j in problem.neighbours[i]), -size[i], first[i]),
    ]
    return [sorted(range(len(size)), key=key) for key in keys]


def greedy(problem: Problem, goal: int) -> Packing:
    """The best of the greedy packings, or the first one that is not higher than `goal`."""
    best: Packing | None = None
    budget = GREEDY_PAIRS
    for order in orders(problem):
        for gap, method in ((lowest_gap, "first fit"), (tightest_gap, "best fit")):
            packing = fit(problem, order, gap, method)
            budget -= problem.work
            if best is None or packing.height < best.height:
                best = packing
            if best.height <= goal or budget < 0:
                return best
    assert best is not None
    return best


def repair(problem: Problem, start: Packing, goal: int) -> Packing:
    """First fit again and again; whoever ended above the goal goes earlier in the next round."""
    best = start
    size = problem.sizes
    area = [size[i] * (problem.lasts[i] - problem.firsts[i] + 1) for i in range(len(size))]
    rounds = min(REPAIR_ROUNDS, REPAIR_PAIRS // (2 * problem.work))
    for weights in ([float(value) for value in size], [float(value) for value in area]):
        for _ in range(rounds):
            if best.height <= goal:
                return best
            order = sorted(range(len(size)), key=lambda i: (-weights[i], i))
            packing = fit(problem, order, lowest_gap, "repeated first fit")
            best = min(best, packing, key=lambda packing: packing.height)
            for i, offset in enumerate(packing.offsets):
                if offset + size[i] > goal:
                    weights[i] *= 1.5
    return best


def climb(problem: Problem, start: Packing, goal: int, rounds: int = CLIMB_ROUNDS) -> Packing:
    """Hill climbing over the order of a first fit: move a box of the pile that reaches the top, keep what is not worse.

    The same on every machine: Python guarantees the sequence of `Random(0).random()`.
    """
    random = Random(0).random
    order = sorted(range(len(problem.sizes)), key=lambda i: (start.offsets[i], i))
    best = current = start
    for _ in range(min(rounds, CLIMB_PAIRS // problem.work)):
        if best.height <= goal:
            break
        pile = top_pile(problem, current)
        box = pile[int(random() * len(pile))]
        near = problem.neighbours[box]
        if not near:
            break
        changed = list(order)
        a, b = changed.index(box), changed.index(near[int(random() * len(near))])
        if random() < 0.5:
            changed[a], changed[b] = changed[b], changed[a]
        else:
            changed.insert(b, changed.pop(a))
        packing = fit(problem, changed, lowest_gap, "hill climbing")
        if packing.height <= current.height or random() < 0.02:
            order, current = changed, packing
        best = min(best, packing, key=lambda packing: packing.height)
    return best


def top_pile(problem: Problem, packing: Packing) -> list[int]:
    """The boxes that reach the top, and those that they lie on without a gap, down to the bottom."""
    offsets = packing.offsets
    todo = [i for i, offset in enumerate(offsets) if offset + problem.sizes[i] == packing.height]
    pile = set(todo)
    while todo:
        i = todo.pop()
        for j, above, _ in problem.distances[i]:
            if offsets[j] + above == offsets[i] and j not in pile:
                pile.add(j)
                todo.append(j)
    return sorted(pile)
