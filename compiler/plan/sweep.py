# SPDX-License-Identifier: Apache-2.0
"""Exact packing of boxes that may overlap: a sweep over the steps that keeps every order of the boxes alive.

A network is long and narrow: many steps, but few boxes alive at once. Of the steps that the sweep has passed, only what
they ask of the boxes still alive matters. That is a zone, as in the model checking of timed automata (D. L. Dill, 1989):
a matrix of least distances between offsets, closed under addition, with the bottom of the arena as one more offset.
Three ideas keep the zones few:

* A new box goes below or above each box alive, but most of these orders contradict each other or the limit.
* A box that ends is struck from the matrices: being closed, they still know what it asked of the others.
* A zone that asks at least what another one asks is dropped.

Nothing here depends on how far two boxes must be apart; so the lower one may start only a lead before the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .first_fit import Packing, Problem, height_of
from .search import FAR, Budget, Outcome

Ints = npt.NDArray[np.int64]

#: Zones kept per box added, from run to run. When there are more, only the least demanding ones go on, and a failure
#: proves nothing; few zones often lead to a packing all the same, in less time.
WIDTHS = (60, 400, 3_000)
#: Zones compared with each other, per zone that may be kept.
CROWD = 8
#: Numbers in the matrices of all zones together: a limit on memory.
ROOM = 4_000_000
#: Numbers in matrices that count as one node of the budget.
CELLS = 60_000


@dataclass(frozen=True)
class _Origin:
    """Where zones came from: per zone, its parent among the zones before, and the pair of boxes ordered (low, high)."""

    parents: Ints
    lows: Ints
    highs: Ints


class Sweep:
    """Looks for a packing of `problem` that is at most `limit` high.

    `complete` is false once zones were dropped that could have led to one. `least` is the lowest height that is not
    refuted when a complete sweep fails: nothing that was ruled out fits into less.
    """

    def __init__(self, problem: Problem, limit: int, width: int) -> None:
        self.problem = problem
        self.width = width
        self.limit = limit
        self.least = limit + int(FAR)
        self.complete = True
        #: The boxes that the rows and columns of a zone belong to; -1 is the bottom.
        self.alive = [-1]
        #: zones[z, a, b]: how far b starts above a at least.
        self.zones: Ints = np.zeros((1, 1, 1), dtype=np.int64)
        self.origins: list[_Origin] = []

    def run(self, budget: Budget) -> Packing | None:
        """Add box after box. None when no order of them stays within the limit, or when the budget is used up."""
        sizes, firsts = self.problem.sizes, self.problem.firsts
        for box in sorted(range(len(sizes)), key=lambda box: (firsts[box], -sizes[box], box)):
            self._forget(firsts[box], budget)
            self._add(box, budget)
            if budget.nodes <= 0:
                self.complete = False
                return None
            if not len(self.zones):
                return None
        return self._packing()

    def _forget(self, step: int, budget: Budget) -> None:
        """Strike the boxes that end before `step`."""
        columns = [i for i, box in enumerate(self.alive) if box < 0 or self.problem.lasts[box] >= step]
        if len(columns) < len(self.alive):
            self.alive = [self.alive[i] for i in columns]
            self.zones = self.zones[:, columns][:, :, columns]
            self._thin(budget)

    def _add(self, box: int, budget: Budget) -> None:
        """Give `box` a row and a column, then order it with every box alive."""
        count, width = len(self.zones), len(self.alive)
        zones = np.zeros((count, width + 1, width + 1), dtype=np.int64)
        zones[:, :width, :width] = self.zones
        zones[:, :width, width] = self.zones[:, :, 0]
        zones[:, width, :width] = self.zones[:, 0, :] + (self.problem.sizes[box] - self.limit)
        self.zones = zones
        self.alive.append(box)
        for other in range(1, width):
            if budget.nodes > 0 and len(self.zones):
                self._order(other, width, budget)
        self._thin(budget)

    def _order(self, a: int, b: int, budget: Budget) -> None:
        """Split every zone into one with a below b and one with b below a, without those that are impossible."""
        low, high = self.alive[a], self.alive[b]
        up, down = self.problem.distance(low, high), self.problem.distance(high, low)
        above, below = self.zones[:, b, a] + up, self.zones[:, a, b] + down
        for excess in (above[above > 0], below[below > 0]):
            self.least = min(self.least, self.limit + int(excess.min(initial=FAR)))
        rises, falls = np.flatnonzero(above <= 0), np.flatnonzero(below <= 0)
        self.zones = np.concatenate((_moved(self.zones[rises], a, b, up), _moved(self.zones[falls], b, a, down)))
        lows, highs = (np.repeat([one, other], [len(rises), len(falls)]) for one, other in ((low, high), (high, low)))
        self.origins.append(_Origin(np.concatenate((rises, falls)), lows, highs))
        budget.nodes -= self.zones.size // CELLS
        if self.zones.size > ROOM:
            self._keep(self._least_demanding(ROOM // self.zones[0].size))

    def _thin(self, budget: Budget) -> None:
        """Drop the zones that ask at least what another one asks, and the most demanding ones when too many are left."""
        flat = self.zones.reshape(len(self.zones), len(self.alive) ** 2)
        rest = self._least_demanding(CROWD * self.width)
        kept: list[int] = []
        cells = 0
        while len(rest) and len(kept) < self.width:
            kept.append(int(rest[0]))
            cells += len(rest) * flat.shape[1]
            rest = rest[(flat[rest] < flat[kept[-1]]).any(axis=1)]
        self.complete &= not len(rest)
        budget.nodes -= 1 + cells // CELLS
        self._keep(np.array(kept, dtype=np.int64))

    def _least_demanding(self, most: int) -> Ints:
        """The indices of `most` zones or fewer, the one with the smallest distances first."""
        order = np.argsort(self.zones.sum(axis=(1, 2)), kind="stable")
        self.complete &= len(order) <= most
        return order[: max(most, 1)]

    def _keep(self, kept: Ints) -> None:
        self.zones = self.zones[kept]
        none = np.full(len(kept), -1)
        self.origins.append(_Origin(kept, none, none))

    def _packing(self) -> Packing:
        """Follow the first zone back to the start, then let every box rest on those that must be below it."""
        pairs: list[tuple[int, int]] = []
        zone = 0
        for origin in reversed(self.origins):
            pairs.append((int(origin.lows[zone]), int(origin.highs[zone])))
            zone = int(origin.parents[zone])
        offsets = [0] * len(self.problem.sizes)
        decided = [(low, high, self.problem.distance(low, high)) for low, high in pairs if low >= 0]
        changed = True
        while changed:
            changed = False
            for low, high, distance in decided:
                if offsets[high] < offsets[low] + distance:
                    offsets[high] = offsets[low] + distance
                    changed = True
        return Packing(tuple(offsets), height_of(self.problem, offsets), "sweep")


def _moved(zones: Ints, low: int, high: int, distance: int) -> Ints:
    """Ask that `high` starts `distance` above `low` at least, and close the matrices again."""
    moved: Ints = np.maximum(zones, zones[:, :, low, None] + distance + zones[:, high, None, :])
    return moved


def search(problem: Problem, start: Packing, goal: int, limit: int, budget: Budget) -> Outcome:
    """Look for a packing no higher than `limit`, better than `start`, and if possible no higher than `goal`.

    Bisects the heights between the two, after the goal itself; with few zones first, then with more.
    """
    if sum(problem.sizes) >= FAR // 4:
        return Outcome(start if start.height <= limit else None, exhausted=False)
    best, refuted = start, goal
    asked, limit = limit, min(limit, start.height - 1)
    for width in WIDTHS:
        low = height = refuted
        while low <= limit and budget.nodes > 0:
            sweep = Sweep(problem, height, width)
            packing = sweep.run(budget)
            if packing is not None:
                best, limit = packing, packing.height - 1
            elif sweep.complete:
                low = refuted = max(refuted, sweep.least)
            else:
                low = height + 1
            height = (low + limit) // 2
    return Outcome(best if best.height <= asked else None, exhausted=refuted > limit)
