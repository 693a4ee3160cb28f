# SPDX-License-Identifier: Apache-2.0
"""Exact packing by branch and bound.

Boxes are placed from the bottom to the top; a box always lies on what is already below it, so the state of the search
is the set of boxes still to place and the lowest offset (`heads`) that each of them may still get. Four ideas keep
the tree small:

* Only packings where no box can slide down are visited. For a box k, either k is the next one around it, or a box that
  starts before k could end is: these `rivals` are the branches. It is the conflict set of Giffler and Thompson
  (Algorithms for solving production-scheduling problems, 1960), with steps as machines, and it does not branch over
  the order of boxes that do not meet.
* Per step, the boxes still to place must fit above their own heads: the one-machine bound with release times.
* A set of boxes that failed once fails again when no head is lower.
* Of two boxes with the same lifetime and size, the first one is placed first.

That canonical placements, per-step bounds and dominance make this problem tractable was shown by M. D. Moffitt,
MiniMalloc (ASPLOS 2023).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .first_fit import Packing, Problem, climb

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FAR = np.int64(2**62)
#: Failed states kept per set of boxes; a longer list costs more to compare than it prunes.
DEAD_STATES = 12
#: Sets of boxes for which failed states are kept: a limit on memory.
DEAD_SETS = 100_000
#: Numbers in one table of bounds: a limit on memory.
TABLE = 2_000_000
#: Larger problems are not searched: the search works on tables of boxes × boxes.
MOST_BOXES = 1_000
#: Numbers in the tables of a node that count as one more node.
CELLS = 4_000
#: Rounds of raising heads per node; more rounds cost more than they prune.
RAISES = 2
#: Nodes of the first run; see `_runs`.
FIRST_RUN = 500


@dataclass
class Budget:
    """How many more nodes the search may look at: positions visited and placements tried.

    A node with large tables counts more, so that the time is about the same for few boxes and for many.
    """

    nodes: int

    def spend(self, placements: int, cells: int) -> None:
        self.nodes -= (1 + placements) * (1 + cells // CELLS)


@dataclass(frozen=True)
class Outcome:
    """The best packing found (None: none within the limit), and whether the whole tree was searched: then there is no
    better one."""

    packing: Packing | None
    exhausted: bool


@dataclass
class _Node:
    """A partial packing: the boxes to place and their heads; the boxes placed, as bits, and the height they reach; and
    the branches not tried yet, the best one last."""

    rest: Ints
    heads: Ints
    placed: int
    top: int
    branches: list[tuple[int, Ints]] = field(default_factory=list)


class Search:
    """Looks for a packing of `problem` that is at most `limit` high, and then for lower ones until `goal` is met."""

    def __init__(self, problem: Problem, limit: int, goal: int) -> None:
        self.count = len(problem.sizes)
        self.size = np.array(problem.sizes, dtype=np.int64)
        self.touch: Bools = np.eye(self.count, dtype=np.bool_)
        for i, near in enumerate(problem.neighbours):
            self.touch[i, list(near)] = True
        alive = step_sets(problem)
        self.span = alive.sum(axis=0)
        self.load: Ints = alive * self.size
        self.twin = twins(problem, alive)
        self.limit = limit
        self.goal = goal
        self.offsets = np.zeros(self.count, dtype=np.int64)
        self.best: Packing | None = None
        self.dead: dict[int, list[Ints]] = {}

    def run(self, budget: Budget, taste: int) -> Outcome:
        """Search depth first until the goal is met, the tree is exhausted or the budget is used up.

        `taste` is the order in which branches are tried: 0 lowest first, 1 largest first, 2 longest-lived first.
        What one run proved to fail is not tried again by the next one.
        """
        path: list[_Node] = []
        self._enter(_Node(np.arange(self.count), np.zeros(self.count, dtype=np.int64), 0, 0), path, budget, taste)
        while path:
            if self.best is not None and self.best.height <= self.goal:
                return Outcome(self.best, exhausted=False)
            node = path[-1]
            if node.top > self.limit:
                path.pop()
            elif not node.branches:
                self._bury(path.pop())
            elif budget.nodes <= 0:
                return Outcome(self.best, exhausted=False)
            else:
                self._descend(node, path, budget, taste)
        return Outcome(self.best, exhausted=True)

    def _descend(self, node: _Node, path: list[_Node], budget: Budget, taste: int) -> None:
        """Place the next box of `node`."""
        position, heads = node.branches.pop()
        box = int(node.rest[position])
        self.offsets[box] = node.heads[position]
        rest = np.delete(node.rest, position)
        if not len(rest):
            self._found()
            return
        top = max(node.top, int(self.offsets[box] + self.size[box]))
        self._enter(_Node(rest, np.delete(heads, position), node.placed | 1 << box, top), path, budget, taste)

    def _enter(self, node: _Node, path: list[_Node], budget: Budget, taste: int) -> None:
        """Find the branches of a node and go on from there, unless it can be seen to fail."""
        node.heads = self._raised(node.rest, node.heads)
        if (node.heads + self.size[node.rest]).max() > self.limit or self._hopeless(node):
            return
        self._expand(node, budget, taste)
        path.append(node)

    def _found(self) -> None:
        """All boxes are placed. From now on only lower packings are of interest."""
        height = int((self.offsets + self.size).max())
        if height <= self.limit:
            self.best = Packing(tuple(self.offsets.tolist()), height, "branch and bound")
            self.limit = height - 1

    def _hopeless(self, node: _Node) -> bool:
        return any(bool((heads <= node.heads).all()) for heads in self.dead.get(node.placed, ()))

    def _bury(self, node: _Node) -> None:
        """Remember that the boxes of `node` do not fit above its heads within the limit.

        Not called when what is placed already reaches above the limit: that says nothing about the rest.
        """
        if len(self.dead) >= DEAD_SETS and node.placed not in self.dead:
            return
        states = self.dead.setdefault(node.placed, [])
        states.append(node.heads)
        if len(states) > DEAD_STATES:
            del states[0]

    def _expand(self, node: _Node, budget: Budget, taste: int) -> None:
        """Find the branches of a node that can still stay within the limit."""
        ends = node.heads + self.size[node.rest]
        near = self.touch[np.ix_(node.rest, node.rest)]
        picks = self._distinct(node.rest, rivals(near, node.heads, ends))
        heads = np.maximum(node.heads, np.where(near[picks], ends[picks, None], 0))
        heads[np.arange(len(picks)), picks] = node.heads[picks]
        bounds, cells = self._bounds(node.rest, heads)
        budget.spend(len(picks), cells)
        size, span, start = self.size[node.rest][picks], self.span[node.rest][picks], node.heads[picks]
        keys = ((-span, -size, start), (-span, start, -size), (-size, start, -span))[taste]
        node.branches = [(int(picks[i]), heads[i]) for i in np.lexsort(keys)[::-1] if bounds[i] <= self.limit]

    def _raised(self, rest: Ints, heads: Ints) -> Ints:
        """Raise the heads of boxes that cannot be the lowest at one of their steps any more.

        When a box's head and all sizes still to place at a step are more than the limit, another box comes first there,
        and the box starts at the earliest end of another one or later. FAR when there is no other one.
        """
        load = self.load[:, rest]
        total = load.sum(axis=1)
        busy = total + heads.max() > self.limit
        load, total, size = load[busy], total[busy], self.size[rest]
        raised: Ints = heads
        for _ in range(RAISES):
            late = (load > 0) & (heads + total[:, None] > self.limit)
            rows = np.flatnonzero(late.any(axis=1))
            if not len(rows):
                return heads
            ends = np.where(load[rows] > 0, heads + size, FAR)
            each, earliest = np.arange(len(rows)), ends.argmin(axis=1)
            bar = np.where(late[rows], ends[each, earliest][:, None], 0)
            ends[each, earliest] = FAR
            bar[each, earliest] = np.where(late[rows, earliest], ends.min(axis=1), 0)
            raised = np.maximum(heads, bar.max(axis=0))
            if (raised == heads).all() or raised.max() > self.limit:
                return raised
            heads = raised
        return heads

    def _distinct(self, rest: Ints, picks: Ints) -> Ints:
        """Drop the boxes that have a twin among the picks before them."""
        first = np.unique(self.twin[rest[picks]], return_index=True)[1]
        kept: Ints = picks[np.sort(first)]
        return kept

    def _bounds(self, rest: Ints, heads: Ints) -> tuple[Ints, int]:
        """Per row of `heads`, the height that the boxes of `rest` reach at least; and how large the table for it was.

        At one step, the boxes whose head is h or higher must all lie above h: h + their sizes is a bound, for every h.
        """
        load = self.load[:, rest]
        load = load[load.sum(axis=1) + heads.max() > self.limit]
        if not len(load):
            return np.zeros(len(heads), dtype=np.int64), 0
        order = np.argsort(-heads, axis=1, kind="stable")
        falling = np.take_along_axis(heads, order, axis=1)
        rows = max(1, TABLE // load.size)
        chunks = [slice(i, i + rows) for i in range(0, len(heads), rows)]
        bounds = [(np.cumsum(load[:, order[at]], axis=2) + falling[at]).max(axis=(0, 2)) for at in chunks]
        return np.concatenate(bounds), load.size


def search(problem: Problem, start: Packing, goal: int, limit: int, budget: Budget) -> Outcome:
    """Look for a packing no higher than `limit`, better than `start`, and if possible no higher than `goal`.

    `goal` must be below `start`. First only packings that meet the goal are asked for, which prunes best, with half of
    the budget; then hill climbing brings `limit` down; then the tree is searched for anything better.
    """
    if len(problem.sizes) > MOST_BOXES or sum(problem.sizes) >= FAR // 4:
        return Outcome(start if start.height <= limit else None, exhausted=False)
    half = Budget(budget.nodes // 2)
    budget.nodes -= half.nodes
    outcome = _runs(Search(problem, min(goal, limit), goal), half)
    budget.nodes += half.nodes
    if outcome.packing is not None:
        return outcome
    refuted = outcome.exhausted
    goal += 1 if refuted else 0
    start = climb(problem, start, goal)
    known = start if start.height <= limit else None
    limit = min(limit, start.height - 1)
    if goal <= limit:
        outcome = _runs(Search(problem, limit, goal), budget)
    best = outcome.packing or known
    meets_goal = best is not None and best.height <= goal
    return Outcome(best, outcome.exhausted or (refuted and meets_goal))


def _runs(tree: Search, budget: Budget) -> Outcome:
    """Run with the three tastes in turn, each time with more nodes: an early wrong choice then costs little."""
    outcome = Outcome(None, exhausted=False)
    run = 0
    while budget.nodes > 0:
        share = Budget(min(budget.nodes, FIRST_RUN * 2 ** (run // 3)))
        budget.nodes -= share.nodes
        outcome = tree.run(share, run % 3)
        budget.nodes += share.nodes
        if outcome.exhausted or (outcome.packing is not None and outcome.packing.height <= tree.goal):
            break
        run += 1
    return outcome


def rivals(near: Bools, heads: Ints, ends: Ints) -> Ints:
    """The branches: positions of the boxes of which one must be placed next, at its head.

    For a box k these are the boxes around it (k too) that start before k could end. The choice of k is free as long as
    nothing around its rivals can end before k: that makes sure that nothing fits below a rival any more. The k with
    the fewest rivals is chosen.
    """
    first_end = np.where(near, ends, FAR).min(axis=1)
    early = near & (heads < ends[:, None])
    settled = np.where(early, first_end, FAR).min(axis=1) >= ends
    fewest = np.where(settled, early.sum(axis=1), FAR)
    k = np.lexsort((ends, fewest))[0]
    return np.flatnonzero(early[k])


def step_sets(problem: Problem) -> Ints:
    """Steps × boxes, 1 where the box is alive, for the steps that matter: those whose set of live boxes is in no other.

    These are the steps where some box ends, before which another one has begun since the last end.
    """
    rows: list[Ints] = []
    firsts, lasts = np.array(problem.firsts), np.array(problem.lasts)
    previous = firsts.min() - 1
    for step in sorted(set(problem.lasts)):
        if ((firsts > previous) & (firsts <= step)).any():
            rows.append(((firsts <= step) & (lasts >= step)).astype(np.int64))
            previous = step
    return np.array(rows, dtype=np.int64)


def twins(problem: Problem, alive: Ints) -> Ints:
    """Per box, the first box with the same size that is alive at the same steps."""
    first: dict[tuple[int, bytes], int] = {}
    keys = [(size, alive[:, i].tobytes()) for i, size in enumerate(problem.sizes)]
    return np.array([first.setdefault(key, i) for i, key in enumerate(keys)], dtype=np.int64)
