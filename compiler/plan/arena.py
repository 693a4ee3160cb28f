# SPDX-License-Identifier: Apache-2.0
"""What goes into the planner and what comes out of it, and the checker of its certificate."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import itemgetter


@dataclass(frozen=True)
class Buffer:
    """Bytes that must survive from step `first` to step `last`, both included.

    `id` is unique in a plan, `size` is in bytes and positive, `label` is for people.
    """

    id: int
    size: int
    first: int
    last: int
    label: str = ""


@dataclass(frozen=True)
class Arena:
    """Where every buffer lies, and how good that is.

    Attributes:
        size: bytes, the largest offset + aligned size.
        alignment: bytes; every offset is a multiple of it, and sizes were rounded up to it for packing.
        offsets: buffer id → byte offset.
        lower_bound: bytes; the aligned sizes alive at `peak_step` add up to it, so no plan can be smaller.
        optimal: proved that no plan is smaller, because `size` is the bound or because the search was exhaustive.
        peak_step: the first step with that sum; 0 when there are no buffers.
        live_at_peak: ids of the buffers alive at `peak_step`, largest first.
        method: what found the plan, in words.
    """

    size: int
    alignment: int
    offsets: Mapping[int, int]
    lower_bound: int
    optimal: bool
    peak_step: int
    live_at_peak: tuple[int, ...]
    method: str


def aligned(size: int, alignment: int) -> int:
    """`size` rounded up to a multiple of `alignment`."""
    return -(-size // alignment) * alignment


def peak(buffers: Sequence[Buffer], alignment: int) -> tuple[int, int, tuple[int, ...]]:
    """The largest sum of aligned sizes alive at one step, the first such step, and who is alive then, largest first."""
    change: dict[int, int] = {}
    for buffer in buffers:
        size = aligned(buffer.size, alignment)
        change[buffer.first] = change.get(buffer.first, 0) + size
        change[buffer.last + 1] = change.get(buffer.last + 1, 0) - size
    bound = load = at = 0
    for step in sorted(change):
        load += change[step]
        if load > bound:
            bound, at = load, step
    live = [buffer for buffer in buffers if buffer.first <= at <= buffer.last]
    live.sort(key=lambda buffer: (-buffer.size, buffer.id))
    return bound, at, tuple(buffer.id for buffer in live)


def validate(buffers: Sequence[Buffer], alignment: int) -> None:
    """Raise ValueError for equal ids, sizes below 1, reversed lifetimes and an alignment that is no power of two."""
    if alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"the alignment must be a power of two, found {alignment}")
    seen: set[int] = set()
    for buffer in buffers:
        if buffer.id in seen:
            raise ValueError(f"two buffers have the id {buffer.id}")
        if buffer.size < 1:
            raise ValueError(f"{_name(buffer)} has {buffer.size} bytes, expected at least 1")
        if buffer.first > buffer.last:
            raise ValueError(f"{_name(buffer)} lives from step {buffer.first} to {buffer.last}, expected first <= last")
        seen.add(buffer.id)


def check(arena: Arena, buffers: Sequence[Buffer]) -> None:
    """Check a plan from the outside, sharing nothing with the code that made it.

    Recomputes alignment, bounds, overlaps, the size, the lower bound and the peak. `optimal` above the lower bound
    is a statement about an exhaustive search and cannot be checked here; everything else is.

    Raises:
        ValueError: naming the first thing that is wrong.
    """
    validate(buffers, arena.alignment)
    if sorted(arena.offsets) != sorted(buffer.id for buffer in buffers):
        raise ValueError(f"the plan places buffers {sorted(arena.offsets)}, not the buffers that were asked for")
    for buffer in buffers:
        _check_place(arena, buffer)
    _check_overlaps(arena, buffers)
    end = max((arena.offsets[buffer.id] + _padded(arena, buffer) for buffer in buffers), default=0)
    if end != arena.size:
        raise ValueError(f"the last buffer ends at byte {end}, but the arena has {arena.size} bytes")
    _check_bound(arena, buffers)


def _check_place(arena: Arena, buffer: Buffer) -> None:
    offset = arena.offsets[buffer.id]
    if offset < 0 or offset + _padded(arena, buffer) > arena.size:
        raise ValueError(
            f"{_name(buffer)} at bytes {offset}..{offset + buffer.size} is outside of the arena of {arena.size} bytes"
        )
    if offset % arena.alignment:
        raise ValueError(f"{_name(buffer)} at byte {offset} is not aligned to {arena.alignment}")


def _check_overlaps(arena: Arena, buffers: Sequence[Buffer]) -> None:
    """Sweep over the steps. The ranges in use are disjoint and sorted, so a new one can only hit its two neighbours."""
    in_use: list[tuple[int, int, Buffer]] = []
    ending = sorted(buffers, key=lambda buffer: buffer.last, reverse=True)
    for buffer in sorted(buffers, key=lambda buffer: buffer.first):
        while ending and ending[-1].last < buffer.first:
            gone = ending.pop()
            del in_use[bisect_left(in_use, arena.offsets[gone.id], key=lambda used: used[0])]
        start = arena.offsets[buffer.id]
        end = start + _padded(arena, buffer)
        at = bisect_left(in_use, start, key=lambda used: used[0])
        for other_start, other_end, other in in_use[max(at - 1, 0) : at + 1]:
            if start < other_end and other_start < end:
                raise ValueError(f"{_name(other)} and {_name(buffer)} overlap while both live at step {buffer.first}")
        in_use.insert(at, (start, end, buffer))


def _check_bound(arena: Arena, buffers: Sequence[Buffer]) -> None:
    """The bytes alive at a step are those of the buffers that have begun, less those of the buffers that have ended."""
    begun = sorted((buffer.first, _padded(arena, buffer)) for buffer in buffers)
    ended = sorted((buffer.last, _padded(arena, buffer)) for buffer in buffers)
    begun_sum, ended_sum = ([0, *accumulate(size for _, size in pairs)] for pairs in (begun, ended))
    loads = {
        step: begun_sum[bisect_right(begun, step, key=itemgetter(0))]
        - ended_sum[bisect_left(ended, step, key=itemgetter(0))]
        for step, _ in begun
    }
    bound = max(loads.values(), default=0)
    if arena.lower_bound != bound:
        raise ValueError(f"the lower bound is {bound}, the plan says {arena.lower_bound}")
    if loads.get(arena.peak_step, 0) != bound:
        raise ValueError(f"step {arena.peak_step} is not where {bound} bytes are alive")
    sizes = {buffer.id: buffer.size for buffer in buffers if buffer.first <= arena.peak_step <= buffer.last}
    if sorted(arena.live_at_peak) != sorted(sizes):
        raise ValueError(f"alive at step {arena.peak_step}: {sorted(sizes)}, the plan says {arena.live_at_peak}")
    if any(sizes[a] < sizes[b] for a, b in pairwise(arena.live_at_peak)):
        raise ValueError("the buffers alive at the peak are not listed largest first")
    if arena.size == bound and not arena.optimal:
        raise ValueError("the plan meets the lower bound, yet says that it is not proved optimal")


def _padded(arena: Arena, buffer: Buffer) -> int:
    return (buffer.size + arena.alignment - 1) // arena.alignment * arena.alignment


def _name(buffer: Buffer) -> str:
    return f"buffer {buffer.id} '{buffer.label}'" if buffer.label else f"buffer {buffer.id}"
