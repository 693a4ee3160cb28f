# SPDX-License-Identifier: Apache-2.0
"""Cut a packing problem into the hard parts of it, without losing any packing that meets the goal.

Three exact rules, applied until nothing changes:

* A box that fits into some gap whatever the others do, as long as the arena is `goal` high, is put aside and placed
  last (the rule of Chaitin's register colouring).
* Boxes that no chain of common steps connects are packed on their own.
* A box that meets all others of its part and overlaps none lies at the bottom of it: whatever was below it can change
  places with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .first_fit import Problem, lowest_gap, problem_of


@dataclass(frozen=True)
class Part:
    """Boxes to be packed on their own, at offset `base` and above."""

    boxes: tuple[int, ...]
    base: int
    problem: Problem


@dataclass
class Reduced:
    """The hard parts, the boxes at the bottom (box → offset), and the boxes put aside, in that order."""

    parts: list[Part] = field(default_factory=list)
    bottom: dict[int, int] = field(default_factory=dict)
    aside: list[int] = field(default_factory=list)


def reduce_problem(problem: Problem, goal: int) -> Reduced:
    """Cut `problem` into parts. `goal` is the lowest height that will be asked for."""
    reduced = Reduced()
    todo: list[tuple[list[int], int]] = [(list(range(len(problem.sizes))), 0)]
    while todo:
        boxes, base = todo.pop()
        boxes = _put_aside(problem, boxes, goal - base, reduced.aside)
        for component in _components(problem, boxes):
            below = _meet_all(problem, component)
            if not below:
                reduced.parts.append(_part(problem, component, base))
                continue
            top = base
            for box in below:
                reduced.bottom[box] = top
                top += problem.sizes[box]
            rest = [box for box in component if box not in reduced.bottom]
            if rest:
                todo.append((rest, top))
    return reduced


def complete(problem: Problem, reduced: Reduced, packed: dict[int, int]) -> tuple[int, ...]:
    """All offsets, once the boxes of the parts are packed: first the bottom, then those put aside, last one first."""
    offsets = {**packed, **reduced.bottom}
    for box in reversed(reduced.aside):
        placed = [(offsets[j], above, below) for j, above, below in problem.distances[box] if j in offsets]
        offsets[box] = lowest_gap((offset - below, offset + above) for offset, above, below in placed)
    return tuple(offsets[box] for box in range(len(problem.sizes)))


def _put_aside(problem: Problem, boxes: list[int], height: int, aside: list[int]) -> list[int]:
    """Move the boxes that fit anyway from `boxes` to the end of `aside`.

    A box can start at `height` - size + 1 offsets, and each neighbour rules out a run of them: those less than the two
    distances away. When all runs together are shorter, one offset is free.
    """
    runs = [{j: above + below - 1 for j, above, below in near} for near in problem.distances]
    inside = set(boxes)
    taken = {box: sum(run for j, run in runs[box].items() if j in inside) for box in boxes}
    todo = list(boxes)
    while todo:
        box = todo.pop()
        if box not in inside or height - problem.sizes[box] + 1 <= taken[box]:
            continue
        inside.remove(box)
        aside.append(box)
        for j, run in runs[box].items():
            if j in inside:
                taken[j] -= run
                todo.append(j)
    return [box for box in boxes if box in inside]


def _components(problem: Problem, boxes: Iterable[int]) -> list[list[int]]:
    """Split where no box of `boxes` reaches over."""
    components: list[list[int]] = []
    reach = 0
    for box in sorted(boxes, key=lambda box: (problem.firsts[box], box)):
        if not components or problem.firsts[box] > reach:
            components.append([])
            reach = problem.lasts[box]
        components[-1].append(box)
        reach = max(reach, problem.lasts[box])
    return components


def _meet_all(problem: Problem, boxes: list[int]) -> list[int]:
    """The boxes that overlap none and share a step with every box: they begin before the first end and end after the
    last beginning."""
    first_end = min(problem.lasts[box] for box in boxes)
    last_begin = max(problem.firsts[box] for box in boxes)
    inside = set(boxes)
    overlapping = {box for pair in problem.leads if inside.issuperset(pair) for box in pair}
    return [
        box
        for box in boxes
        if problem.firsts[box] <= first_end and problem.lasts[box] >= last_begin and box not in overlapping
    ]


def _part(problem: Problem, boxes: list[int], base: int) -> Part:
    sizes, firsts, lasts = ([values[box] for box in boxes] for values in (problem.sizes, problem.firsts, problem.lasts))
    place = {box: i for i, box in enumerate(boxes)}
    leads = {(place[a], place[b]): lead for (a, b), lead in problem.leads.items() if a in place and b in place}
    return Part(tuple(boxes), base, problem_of(sizes, firsts, lasts, leads))
