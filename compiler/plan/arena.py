# SPDX-License-Identifier: Apache-2.0
"""What goes into the planner and what comes out of it, and the checker of its certificate."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from operator import attrgetter, itemgetter


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
class Overlap:
    """Permission for the buffer `output` to lie over the buffer `input`, both given by their ids.

    When the output starts at least `lead` bytes before the input, the two need not be disjoint; otherwise they are
    disjoint as usual. They share one step only: the last one of the input, the first one of the output.
    """

    output: int
    input: int
    lead: int


@dataclass(frozen=True)
class Arena:
    """Where every buffer lies, and how good that is.

    Attributes:
        size: bytes, the largest offset + aligned size.
        alignment: bytes; every offset is a multiple of it, and sizes were rounded up to it for packing.
        offsets: buffer id → byte offset.
        lower_bound: bytes; the aligned sizes alive at `peak_step`, less the most that overlaps can share there, add up to
            it, so no plan can be smaller.
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


def peak(
    buffers: Sequence[Buffer], alignment: int, overlaps: Sequence[Overlap] = ()
) -> tuple[int, int, tuple[int, ...]]:
    """The largest sum of aligned sizes alive at one step, less what may be shared there, the first such step, and who is
    alive then, largest first."""
    change: dict[int, int] = {}
    for buffer in buffers:
        size = aligned(buffer.size, alignment)
        change[buffer.first] = change.get(buffer.first, 0) + size
        change[buffer.last + 1] = change.get(buffer.last + 1, 0) - size
    for step, shared in _shared(buffers, alignment, overlaps):
        change[step] = change.get(step, 0) - shared
        change[step + 1] = change.get(step + 1, 0) + shared
    bound = load = at = 0
    for step in sorted(change):
        load += change[step]
        if load > bound:
            bound, at = load, step
    live = [buffer for buffer in buffers if buffer.first <= at <= buffer.last]
    live.sort(key=lambda buffer: (-buffer.size, buffer.id))
    return bound, at, tuple(buffer.id for buffer in live)


def _shared(buffers: Sequence[Buffer], alignment: int, overlaps: Sequence[Overlap]) -> Iterator[tuple[int, int]]:
    """Per output that may overlap inputs, its first step and the most bytes that it can share with them.

    It shares no more with an input than that one has, nor its own first `lead` bytes; and its inputs are disjoint.
    """
    by_id = {buffer.id: buffer for buffer in buffers}
    rooms: dict[int, list[tuple[int, int]]] = {}
    for overlap in overlaps:
        room = max(0, aligned(by_id[overlap.output].size, alignment) - aligned(overlap.lead, alignment))
        rooms.setdefault(overlap.output, []).append((room, aligned(by_id[overlap.input].size, alignment)))
    for output, pairs in rooms.items():
        yield by_id[output].first, min(sum(map(min, pairs)), max(pairs)[0])


def validate(buffers: Sequence[Buffer], alignment: int, overlaps: Sequence[Overlap] = ()) -> None:
    """Raise ValueError for what cannot be planned.

    That is: equal ids, sizes below 1, reversed lifetimes, an alignment that is no power of two; and overlaps of buffers
    that are unknown or do not share exactly one step, given twice, or with a negative lead.
    """
    if alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"the alignment must be a power of two, found {alignment}")
    by_id: dict[int, Buffer] = {}
    for buffer in buffers:
        if buffer.id in by_id:
            raise ValueError(f"two buffers have the id {buffer.id}")
        if buffer.size < 1:
            raise ValueError(f"{_name(buffer)} has {buffer.size} bytes, expected at least 1")
        if buffer.first > buffer.last:
            raise ValueError(f"{_name(buffer)} lives from step {buffer.first} to {buffer.last}, expected first <= last")
        by_id[buffer.id] = buffer
    _validate_overlaps(by_id, overlaps)


def _validate_overlaps(by_id: Mapping[int, Buffer], overlaps: Sequence[Overlap]) -> None:
    seen: set[tuple[int, int]] = set()
    for overlap in overlaps:
        for one in (overlap.output, overlap.input):
            if one not in by_id:
                raise ValueError(f"an overlap names buffer {one}, which is not among the buffers")
        output, given = by_id[overlap.output], by_id[overlap.input]
        what = f"the overlap of {_name(output)} over {_name(given)}"
        if overlap.lead < 0:
            raise ValueError(f"{what} has a lead of {overlap.lead} bytes, expected 0 or more")
        if given.last != output.first or output is given:
            raise ValueError(f"{what}: the input must end at the step where the output begins, step {output.first}")
        if (overlap.output, overlap.input) in seen:
            raise ValueError(f"{what} is given twice")
        seen.add((overlap.output, overlap.input))
    chained = {overlap.output for overlap in overlaps} & {overlap.input for overlap in overlaps}
    for one in sorted(chained):
        if by_id[one].first == by_id[one].last:
            raise ValueError(f"{_name(by_id[one])} is output and input of overlaps in its only step {by_id[one].first}")


def check(arena: Arena, buffers: Sequence[Buffer], overlaps: Sequence[Overlap] = ()) -> None:
    """Check a plan from the outside, sharing nothing with the code that made it.

    Recomputes alignment, bounds, distances, the size, the lower bound and the peak. `optimal` above the lower bound
    is a statement about an exhaustive search and cannot be checked here; everything else is.

    Raises:
        ValueError: naming the first thing that is wrong.
    """
    validate(buffers, arena.alignment, overlaps)
    if sorted(arena.offsets) != sorted(buffer.id for buffer in buffers):
        raise ValueError(f"the plan places buffers {sorted(arena.offsets)}, not the buffers that were asked for")
    for buffer in buffers:
        _check_place(arena, buffer)
    _check_distances(arena, buffers, {(overlap.output, overlap.input): overlap.lead for overlap in overlaps})
    end = max((arena.offsets[buffer.id] + _padded(arena, buffer) for buffer in buffers), default=0)
    if end != arena.size:
        raise ValueError(f"the last buffer ends at byte {end}, but the arena has {arena.size} bytes")
    _check_bound(arena, buffers, overlaps)


def _check_place(arena: Arena, buffer: Buffer) -> None:
    offset = arena.offsets[buffer.id]
    if offset < 0 or offset + _padded(arena, buffer) > arena.size:
        raise ValueError(
            f"{_name(buffer)} at bytes {offset}..{offset + buffer.size} is outside of the arena of {arena.size} bytes"
        )
    if offset % arena.alignment:
        raise ValueError(f"{_name(buffer)} at byte {offset} is not aligned to {arena.alignment}")


def _check_distances(arena: Arena, buffers: Sequence[Buffer], leads: Mapping[tuple[int, int], int]) -> None:
    """Sweep over the steps. When a step begins, the buffers in use are disjoint, since what may overlap shares one step
    only: sorted by offset, the ones that a new buffer hits lie side by side."""
    in_use: list[tuple[int, int, Buffer]] = []
    next_end = math.inf
    ordered = sorted(buffers, key=lambda buffer: (buffer.first, arena.offsets[buffer.id]))
    for step, group in groupby(ordered, key=lambda buffer: buffer.first):
        if next_end < step:
            in_use = [used for used in in_use if used[2].last >= step]
            next_end = min((used[2].last for used in in_use), default=math.inf)
        new: list[tuple[int, int, Buffer]] = []
        for buffer in group:
            start = arena.offsets[buffer.id]
            end = start + _padded(arena, buffer)
            left = max(bisect_left(in_use, start, key=itemgetter(0)) - 1, 0)
            right = bisect_left(in_use, end, key=itemgetter(0))
            for other_start, other_end, other in in_use[left:right] + new:
                if start < other_end and other_start < end and not _may_overlap(arena, leads, buffer, other):
                    raise ValueError(f"{_name(other)} and {_name(buffer)} overlap while both live at step {step}")
            new.append((start, end, buffer))
        for used in new:
            insort(in_use, used, key=itemgetter(0))
            next_end = min(next_end, used[2].last)


def _may_overlap(arena: Arena, leads: Mapping[tuple[int, int], int], one: Buffer, other: Buffer) -> bool:
    """Whether one of the two is an output that starts early enough before the other one, its input."""
    for output, given in ((one.id, other.id), (other.id, one.id)):
        lead = leads.get((output, given))
        if lead is not None and arena.offsets[given] - arena.offsets[output] >= lead:
            return True
    return False


def _check_bound(arena: Arena, buffers: Sequence[Buffer], overlaps: Sequence[Overlap]) -> None:
    """The bytes alive at a step are those of the buffers that have begun, less those of the buffers that have ended,
    less what outputs that begin there can share with their inputs."""
    begun = sorted((buffer.first, _padded(arena, buffer)) for buffer in buffers)
    ended = sorted((buffer.last, _padded(arena, buffer)) for buffer in buffers)
    begun_sum, ended_sum = ([0, *accumulate(size for _, size in pairs)] for pairs in (begun, ended))
    loads = {
        step: begun_sum[bisect_right(begun, step, key=itemgetter(0))]
        - ended_sum[bisect_left(ended, step, key=itemgetter(0))]
        for step in {step for step, _ in begun} | {step + 1 for step, _ in begun}
    }
    for output, shared in _most_shared(arena, buffers, overlaps):
        loads[output.first] -= shared
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


def _most_shared(arena: Arena, buffers: Sequence[Buffer], overlaps: Sequence[Overlap]) -> Iterator[tuple[Buffer, int]]:
    """Outputs, and the most bytes that they can share with their inputs. Those are disjoint and start after the leads."""
    by_id = {buffer.id: buffer for buffer in buffers}
    for one, pairs in groupby(sorted(overlaps, key=attrgetter("output")), key=attrgetter("output")):
        total = most = 0
        for overlap in pairs:
            room = _padded(arena, by_id[one]) - _round_up(overlap.lead, arena.alignment)
            total += max(0, min(_padded(arena, by_id[overlap.input]), room))
            most = max(most, room)
        yield by_id[one], min(total, most)


def _padded(arena: Arena, buffer: Buffer) -> int:
    return _round_up(buffer.size, arena.alignment)


def _round_up(size: int, alignment: int) -> int:
    return (size + alignment - 1) // alignment * alignment


def _name(buffer: Buffer) -> str:
    return f"buffer {buffer.id} '{buffer.label}'" if buffer.label else f"buffer {buffer.id}"
