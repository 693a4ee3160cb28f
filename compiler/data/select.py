# SPDX-License-Identifier: Apache-2.0
"""Samples from a source, one by one: checked, chosen by content, and bounded in memory."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ModelError
from ..graph import Array

#: Bytes of samples that are kept in memory at most.
MAX_BYTES = 2 << 30
#: Samples that a source may have.
MAX_SAMPLES = 10_000_000


@dataclass(frozen=True, eq=False)
class Sample:
    """One input set: an array of `input.shape[1:]` per model input, and its label as the source has it."""

    name: str
    arrays: tuple[Array, ...]
    label: object = None


def digest(arrays: Sequence[Array]) -> bytes:
    """A sample's identity: equal bytes have equal digests, wherever they are from."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(np.ascontiguousarray(array).tobytes())
    return state.digest()


def collect(where: str, samples: Iterable[Sample], count: int | None) -> tuple[list[Sample], int]:
    """All samples, or the `count` with the lowest digests (the same ones in any order), in the source's order; and how many came.

    Raises ModelError for no sample, numbers that are not finite, or more than fits in memory.
    """
    kept: list[tuple[int, int, Sample]] = []
    found = 0
    size = 0
    for sample in samples:
        check_finite(sample)
        if count is None or len(kept) < count:
            size += sum(array.nbytes for array in sample.arrays)
            _check_room(where, size, found)
        if count is None:
            kept.append((0, -found, sample))
        else:
            # A max-heap of the lowest: the key is negated. The label breaks ties between equal samples.
            key = -int.from_bytes(digest(sample.arrays) + hashlib.sha256(repr(sample.label).encode()).digest())
            entry = (key, -found, sample)
            _push(kept, entry, count)
        found += 1
        if found > MAX_SAMPLES:
            raise ModelError(where, f"more than {MAX_SAMPLES} samples", hint="give fewer, or a function that ends")
    if not kept:
        raise ModelError(where, "no samples", expected="at least one")
    kept.sort(key=lambda entry: -entry[1])
    return [sample for _, _, sample in kept], found


def _push(kept: list[tuple[int, int, Sample]], entry: tuple[int, int, Sample], count: int) -> None:
    if len(kept) < count:
        heapq.heappush(kept, entry)
    elif entry[:2] > kept[0][:2]:
        heapq.heapreplace(kept, entry)


def _check_room(where: str, size: int, found: int) -> None:
    if size > MAX_BYTES:
        raise ModelError(
            where,
            f"its samples take more than {MAX_BYTES >> 30} GiB of memory as float32 (after {found} of them)",
            hint=f"take some of them: --samples {max(found // 2, 1)}",
        )


def check_finite(sample: Sample) -> None:
    """Raises ModelError naming the first number that is NaN or infinite."""
    for array in sample.arrays:
        if array.dtype.kind != "f":
            continue
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            place = [int(i) for i in bad[0]]
            raise ModelError(
                sample.name,
                f"value {array[tuple(bad[0])]} at {place}",
                expected="finite numbers that float32 can hold",
                hint="remove the sample, or replace what is missing",
            )
