# SPDX-License-Identifier: Apache-2.0
"""Cut a packing problem into the hard parts of it, without losing any packing that meets the goal.

Three exact rules, applied until nothing changes:

* A box that fits into some gap whatever the others do, as long as the arena is `goal` high, is put aside and placed
  last (the rule of Chaitin's register colouring).
* Boxes that no chain of common steps connects are packed on their own.
* A box that meets all others of its part lies at the bottom of it: whatever was below it can change places with it.
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
        taken = [(offsets[j], offsets[j] + problem.sizes[j]) for j in problem.neighbours[box] if j in offsets]
        offsets[box] = lowest_gap(problem.sizes[box], taken)
    return tuple(offsets[box] for box in range(len(problem.sizes)))


def _put_aside(problem: Problem, boxes: list[int], height: int, aside: list[int]) -> list[int]:
    """Move the boxes that fit anyway from `boxes` to the end of `aside`.

    d neighbours leave at most d + 1 gaps; when all of them together are larger than d + 1 gaps that are each too small
    by one unit, one gap is large enough.
    """
    inside = set(boxes)
    degree = {box: sum(1 for j in problem.neighbours[box] if j in inside) for box in boxes}
    taken = {box: sum(problem.sizes[j] for j in problem.neighbours[box] if j in inside) for box in boxes}
    todo = list(boxes)
    while todo:
        box = todo.pop()
        if box not in inside or height - taken[box] <= (degree[box] + 1) * (problem.sizes[box] - 1):
            continue
        inside.remove(box)
        aside.append(box)
        for j in problem.neighbours[box]:
            if j in inside:
                degree[j] -= 1
                taken[j] -= problem.sizes[box]
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
    """The boxes that share a step with every box: they begin before the first end and end after the last beginning."""
    first_end = min(problem.lasts[box] for box in boxes)
    last_begin = max(problem.firsts[box] for box in boxes)
    return [box for box in boxes if problem.firsts[box] <= first_end and problem.lasts[box] >= last_begin]


def _part(problem: Problem, boxes: list[int], base: int) -> Part:
    sizes, firsts, lasts = ([values[box] for box in boxes] for values in (problem.sizes, problem.firsts, problem.lasts))
    return Part(tuple(boxes), base, problem_of(sizes, firsts, lasts))
