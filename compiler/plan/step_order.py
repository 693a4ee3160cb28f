# SPDX-License-Identifier: Apache-2.0
"""Packing for so many buffers that looking at all pairs of them would take too much time and memory."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Sequence

from .first_fit import Packing


def count_pairs(firsts: Sequence[int], lasts: Sequence[int]) -> int:
    """How many pairs of boxes share a step."""
    ends = sorted(lasts)
    return sum(i - bisect_left(ends, first) for i, first in enumerate(sorted(firsts)))


def in_step_order(sizes: Sequence[int], firsts: Sequence[int], lasts: Sequence[int]) -> Packing:
    """First fit in the order of the steps, as a heap would do it at run time."""
    offsets = [0] * len(sizes)
    free = _FreeList()
    ending: list[tuple[int, int]] = []
    for i in sorted(range(len(sizes)), key=lambda i: (firsts[i], -sizes[i])):
        while ending and ending[0][0] < firsts[i]:
            gone = heapq.heappop(ending)[1]
            free.give(offsets[gone], offsets[gone] + sizes[gone])
        offsets[i] = free.take(sizes[i])
        heapq.heappush(ending, (lasts[i], i))
    height = max((offset + size for offset, size in zip(offsets, sizes, strict=True)), default=0)
    return Packing(tuple(offsets), height, "first fit in step order")


class _FreeList:
    """The gaps below `top`, sorted, no two of them touching."""

    def __init__(self) -> None:
        self.gaps: list[tuple[int, int]] = []
        self.top = 0

    def take(self, size: int) -> int:
        """The lowest offset where `size` fits."""
        for i, (start, end) in enumerate(self.gaps):
            if end - start >= size:
                self.gaps[i : i + 1] = [(start + size, end)] if end - start > size else []
                return start
        start, self.top = self.top, self.top + size
        return start

    def give(self, start: int, end: int) -> None:
        """Make the range free, joined with the gaps beside it."""
        i = bisect_left(self.gaps, (start, end))
        if i < len(self.gaps) and self.gaps[i][0] == end:
            end = self.gaps.pop(i)[1]
        if i and self.gaps[i - 1][1] == start:
            i -= 1
            start = self.gaps.pop(i)[0]
        if end == self.top:
            self.top = start
        else:
            self.gaps.insert(i, (start, end))
