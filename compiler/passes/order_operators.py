# SPDX-License-Identifier: Apache-2.0
"""Puts the layers of branching graphs into the order that needs the least memory.

What is alive while a layer runs is counted as the planner does, but without scratch, which is known only once kernels are chosen,
and as if an output could take the place of what its layer reads last. Between two layers that have a fixed place (all others
come before or after them in any order) the layers are ordered for themselves, and only where the most bytes alive become fewer.

This is no member of PASSES: scratch and places can make the given order the better one after all, so both are planned.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..graph import Graph, Node
from ..ops import find

#: Sizes are rounded up to it, as in the arena.
UNIT = 16
#: Steps that the exact search of a graph may try: about a second.
WORK = 100_000
#: States of equal length that the search keeps that is used beyond that.
WIDTHS = (16, 1)


def order_operators(graph: Graph) -> Graph:
    """`graph` with its layers in an order whose peak of live bytes is the least, or less than before where that is hard to find.

    Layers that need no code (views) come right before the first layer that needs them.
    """
    if any(tensor.variable for tensor in graph.tensors):
        return graph
    memory = _Memory(graph)
    budget = _Budget(WORK)
    state = memory.start()
    order: list[int] = []
    for segment in memory.segments():
        for number in _ordered(memory, state, segment, budget):
            state = memory.after(state, number)
            order.append(number)
    if order == list(range(len(order))):
        return graph
    return in_order(graph, [memory.nodes[number] for number in order])


def in_order(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """`graph` with its nodes that need code in the order of `nodes`, which are all of them."""
    return replace(graph, nodes=tuple(_with_views(graph, nodes)))


def _is_view(node: Node) -> bool:
    op = find(node.op)
    return op is not None and op.view


def _with_views(graph: Graph, nodes: Sequence[Node]) -> Iterator[Node]:
    """`nodes` and the views that they need, each before the first one that does."""
    makers = {node.outputs[0]: node for node in graph.nodes if _is_view(node)}

    def views(tensors: Sequence[int]) -> Iterator[Node]:
        for tensor in tensors:
            chain: list[Node] = []
            while tensor in makers:
                chain.append(makers.pop(tensor))
                tensor = chain[-1].inputs[0]
            yield from reversed(chain)

    for node in nodes:
        yield from views(node.inputs)
        yield node
    yield from views(graph.outputs)


@dataclass
class _Budget:
    """Steps that may still be tried."""

    left: int


@dataclass(frozen=True)
class _State:
    """Some layers are computed. Sets of layers are bits.

    Attributes:
        peak: the most bytes alive so far, within the segment. live: bytes alive now.
        done: layers computed. ready: layers that can be computed next.
        last: the layer computed last. before: the state before it, or None at the start of the segment.
    """

    peak: int
    live: int
    done: int
    ready: int
    last: int = -1
    before: _State | None = None

    def order(self) -> list[int]:
        """The layers computed in the segment."""
        found: list[int] = []
        state = self
        while state.before is not None:
            found.append(state.last)
            state = state.before
        return found[::-1]


class _Memory:
    """What is alive in a graph, with views as names of the memory that they show. Layers are numbered in order."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = [node for node in graph.nodes if not _is_view(node)]
        self.roots = self._roots(graph)
        self.kept = {self.roots[index] for index in graph.outputs if index in self.roots}
        self.sizes = self._sizes()
        self.reads = [self._of(node.inputs) for node in self.nodes]
        self.writes = [self._of(node.outputs) for node in self.nodes]
        self.readers: dict[int, int] = dict.fromkeys(self.sizes, 0)
        for number, read in enumerate(self.reads):
            for root in read:
                self.readers[root] |= 1 << number
        writer = {root: number for number, written in enumerate(self.writes) for root in written}
        self.needs = [sum(1 << n for n in {writer[r] for r in read if r in writer}) for read in self.reads]

    @staticmethod
    def _roots(graph: Graph) -> Mapping[int, int]:
        """Tensor → the tensor whose memory holds it; constants are left out."""
        roots = {index: index for index in graph.inputs}
        for node in graph.nodes:
            for output in node.outputs:
                roots[output] = roots[node.inputs[0]] if _is_view(node) and node.inputs[0] in roots else output
        return roots

    def _sizes(self) -> dict[int, int]:
        sizes: dict[int, int] = {}
        for tensor, root in self.roots.items():
            sizes[root] = max(sizes.get(root, UNIT), -(-self.graph.tensors[tensor].bytes // UNIT) * UNIT)
        return sizes

    def _of(self, tensors: Sequence[int]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self.roots[tensor] for tensor in tensors if tensor in self.roots))

    @cached_property
    def followers(self) -> list[list[int]]:
        """The layers that read what each layer writes."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for number, needs in enumerate(self.needs):
            for before in _members(needs):
                found[before].append(number)
        return found

    def segments(self) -> Iterator[range]:
        """Runs of layers that come one after the other in any order, each up to a layer with a fixed place."""
        count = len(self.nodes)
        before = [0] * count
        for number, needs in enumerate(self.needs):
            for other in _members(needs):
                before[number] |= before[other] | 1 << other
        after = [0] * count
        for number in reversed(range(count)):
            for other in self.followers[number]:
                after[number] |= after[other] | 1 << other
        first = 0
        for number in range(count):
            if before[number].bit_count() == number and after[number].bit_count() == count - 1 - number:
                yield range(first, number + 1)
                first = number + 1
        if first < count:
            yield range(first, count)

    def start(self) -> _State:
        """Before any layer: the inputs are alive."""
        live = sum(self.sizes[root] for root in set(self.graph.inputs) if self._is_needed(root, 0))
        return _State(0, live, 0, sum(1 << number for number, needs in enumerate(self.needs) if not needs))

    def _is_needed(self, root: int, done: int) -> bool:
        return root in self.kept or bool(self.readers[root] & ~done)

    def after(self, state: _State, number: int) -> _State:
        """With layer `number` computed too."""
        done = state.done | 1 << number
        written = sum(self.sizes[root] for root in self.writes[number])
        dying = sum(self.sizes[root] for root in self.reads[number] if not self._is_needed(root, done))
        unread = sum(self.sizes[root] for root in self.writes[number] if not self._is_needed(root, done))
        during = state.live + written - min(written, dying)
        ready = state.ready & ~(1 << number)
        for follower in self.followers[number]:
            if not self.needs[follower] & ~done:
                ready |= 1 << follower
        peak = max(state.peak, during)
        return _State(peak, state.live + written - dying - unread, done, ready, number, state)


def _members(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _ordered(memory: _Memory, state: _State, segment: range, budget: _Budget) -> list[int]:
    """The layers of `segment`, which are the next ones after `state`, in a better order than they are, or as they are."""
    given = list(segment)
    if len(segment) < 2:
        return given
    start = given_state = replace(state, peak=0, before=None)
    for number in segment:
        given_state = memory.after(given_state, number)
    goal, limit = given_state.done, given_state.peak
    try:
        found = _best(memory, start, goal, limit, budget)
    except _GaveUp:
        found = _good(memory, start, goal, limit)
    return given if found is None else found.order()


class _GaveUp(Exception):
    """The budget is spent."""


def _best(memory: _Memory, start: _State, goal: int, limit: int, budget: _Budget) -> _State | None:
    """The layers up to `goal` in the order with the lowest peak, if that is below `limit`: what has the lowest is continued first.

    Raises _GaveUp when the budget is spent.
    """
    seen: set[int] = set()
    heap = [(start.peak, 0, 0, start)]
    pushed = 0
    while heap:
        *_, state = heapq.heappop(heap)
        if state.done == goal:
            return state
        if state.done in seen:
            continue
        seen.add(state.done)
        for following in _continued(memory, state, goal, budget):
            if following.peak < limit and following.done not in seen:
                pushed += 1
                heapq.heappush(heap, (following.peak, -following.done.bit_count(), pushed, following))
    return None


def _continued(memory: _Memory, state: _State, goal: int, budget: _Budget) -> list[_State]:
    """The states after one more layer. A layer that frees as much as it takes, and does not raise the peak, may as well come first."""
    found: list[_State] = []
    for number in _members(state.ready & goal):
        if budget.left == 0:
            raise _GaveUp
        budget.left -= 1
        following = memory.after(state, number)
        if following.peak == state.peak and following.live <= state.live:
            return [following]
        found.append(following)
    return found


def _good(memory: _Memory, start: _State, goal: int, limit: int) -> _State | None:
    """An order with a peak below `limit`, from the best states of each length, if one is found."""
    for width in WIDTHS:
        try:
            found = _beam(memory, start, goal, limit, width)
        except _GaveUp:
            continue
        if found is not None:
            return found
    return None


def _beam(memory: _Memory, start: _State, goal: int, limit: int, width: int) -> _State | None:
    budget = _Budget(WORK)
    states = [start]
    while states and states[0].done != goal:
        found: dict[int, _State] = {}
        for state in states:
            for following in _continued(memory, state, goal, budget):
                known = found.get(following.done)
                if following.peak < limit and (known is None or following.peak < known.peak):
                    found[following.done] = following
        states = heapq.nsmallest(width, found.values(), key=lambda state: (state.peak, state.live))
    return states[0] if states else None
