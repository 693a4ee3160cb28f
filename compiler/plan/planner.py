# SPDX-License-Identifier: Apache-2.0
"""From buffers to an arena: greedy first, exact where that is not proved to be the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from . import sweep
from .arena import Arena, Buffer, Overlap, aligned, peak, validate
from .first_fit import Packing, Problem, greedy, problem_of, repair
from .reduction import Part, complete, reduce_problem
from .search import Budget, search
from .step_order import count_pairs, in_step_order

#: Default limit of search nodes (placements tried).
EFFORT = 12_000
#: With more pairs of buffers alive at once (2,000 buffers that never die), only one quick method is used.
MOST_PAIRS = 2_000_000


def allocate(
    buffers: Sequence[Buffer], alignment: int = 16, effort: int = EFFORT, overlaps: Sequence[Overlap] = ()
) -> Arena:
    """Place all buffers in one arena so that no two that are alive at the same step overlap, unless they may.

    Args:
        buffers: in any order; the result depends on nothing else.
        alignment: bytes, a power of two.
        effort: how many search nodes may be spent when the greedy methods do not meet the lower bound; 0 for none.
        overlaps: which outputs may lie over which inputs; leads are rounded up to the alignment.

    Raises:
        ValueError: equal ids, a size below 1, first > last, an alignment that is no power of two; an overlap of buffers
            that do not share exactly one step, or with a negative lead.
    """
    validate(buffers, alignment, overlaps)
    buffers = sorted(buffers, key=lambda buffer: (buffer.first, buffer.last, buffer.id))
    bound, step, live = peak(buffers, alignment, overlaps)
    sizes = [aligned(buffer.size, alignment) for buffer in buffers]
    index = {buffer.id: i for i, buffer in enumerate(buffers)}
    leads = {(index[o.output], index[o.input]): aligned(o.lead, alignment) for o in overlaps}
    leads = {pair: lead for pair, lead in sorted(leads.items()) if lead < sizes[pair[0]]}
    unit = math.gcd(*sizes, *leads.values()) or alignment
    boxes = [size // unit for size in sizes], [b.first for b in buffers], [b.last for b in buffers]
    leads = {pair: lead // unit for pair, lead in leads.items()}
    if count_pairs(*boxes[1:]) > MOST_PAIRS:
        packing = in_step_order(*boxes)
        proved = packing.height * unit == bound
    else:
        packing, proved = pack(problem_of(*boxes, leads), bound // unit, effort)
    offsets = {buffer.id: offset * unit for buffer, offset in zip(buffers, packing.offsets, strict=True)}
    return Arena(packing.height * unit, alignment, offsets, bound, proved, step, live, packing.method)


def pack(problem: Problem, bound: int, effort: int) -> tuple[Packing, bool]:
    """The lowest packing found, and whether it is proved to be the lowest. `bound` is a lower bound."""
    if not problem.sizes:
        return Packing((), 0, "nothing to place"), True
    packing = greedy(problem, bound)
    if packing.height > bound and effort > 0:
        packing = repair(problem, packing, bound)
    if packing.height == bound or effort <= 0:
        return packing, packing.height == bound
    packing, proved = _improve(problem, packing, bound, Budget(effort))
    if problem.leads and not proved:
        packing = replace(packing, method=f"{packing.method}, not proved within the effort")
    return packing, proved


def _improve(problem: Problem, known: Packing, bound: int, budget: Budget) -> tuple[Packing, bool]:
    """Pack the hard parts on their own, the one that seems highest first: the others need not be lower than it."""
    reduced = reduce_problem(problem, bound)
    starts = [(part, _start(part, bound)) for part in reduced.parts]
    starts.sort(key=lambda start: -start[0].base - start[1].height)
    packed: dict[int, int] = {}
    height = proved = max([bound, *(offset + problem.sizes[box] for box, offset in reduced.bottom.items())])
    if height == known.height:
        return _proved(known, "boxes that cannot overlap"), True
    method = "divided first fit"
    for part, start in starts:
        if part.base + start.height > height:
            method = "sweep" if part.problem.leads else "branch and bound"
            find = sweep.search if part.problem.leads else search
            found = find(part.problem, start, height - part.base, known.height - 1 - part.base, budget)
            if found.packing is None:
                return (_proved(known, method) if found.exhausted else known), found.exhausted
            start = found.packing
            proved = max(proved, part.base + start.height) if found.exhausted else proved
        height = max(height, part.base + start.height)
        packed.update((box, part.base + offset) for box, offset in zip(part.boxes, start.offsets, strict=True))
    return Packing(complete(problem, reduced, packed), height, method), height == proved


def _proved(packing: Packing, method: str) -> Packing:
    return replace(packing, method=f"{packing.method}, proved by {method}")


def _start(part: Part, bound: int) -> Packing:
    goal = bound - part.base
    return repair(part.problem, greedy(part.problem, goal), goal)
