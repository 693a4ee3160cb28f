# SPDX-License-Identifier: Apache-2.0
"""Buffer lists with known optima, as (size, first step, last step)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinyc.plan import Buffer, Overlap

Rows = Sequence[tuple[int, int, int]]
#: (output row, input row) → lead.
Leads = Mapping[tuple[int, int], int]

#: The activation tensors of the four MLPerf Tiny reference models (int8), with RESHAPE as a view of its input.
MLPERF_TINY = {
    "ad": [
        *[(640, 0, 0), (128, 0, 1), (128, 1, 2), (128, 2, 3), (128, 3, 4), (8, 4, 5)],
        *[(128, 5, 6), (128, 6, 7), (128, 7, 8), (128, 8, 9), (640, 9, 9)],
    ],
    "ic": [
        *[(3072, 0, 0), (16384, 0, 3), (16384, 1, 2), (16384, 2, 3), (16384, 3, 6), (8192, 4, 5)],
        *[(8192, 5, 7), (8192, 6, 7), (8192, 7, 10), (4096, 8, 9), (4096, 9, 11), (4096, 10, 11)],
        *[(4096, 11, 12), (64, 12, 13), (10, 13, 14), (10, 14, 14)],
    ],
    "kws": [
        *[(490, 0, 0), (8000, 0, 1), (8000, 1, 2), (8000, 2, 3), (8000, 3, 4), (8000, 4, 5), (8000, 5, 6)],
        *[(8000, 6, 7), (8000, 7, 8), (8000, 8, 9), (64, 9, 10), (12, 10, 11), (12, 11, 11)],
    ],
    "vww": [
        *[(27648, 0, 0), (18432, 0, 1), (18432, 1, 2), (36864, 2, 3), (9216, 3, 4), (18432, 4, 5), (18432, 5, 6)],
        *[(18432, 6, 7), (4608, 7, 8), (9216, 8, 9), (9216, 9, 10), (9216, 10, 11), (2304, 11, 12), (4608, 12, 13)],
        *[(4608, 13, 14), (4608, 14, 15), (4608, 15, 16), (4608, 16, 17), (4608, 17, 18), (4608, 18, 19)],
        *[(4608, 19, 20), (4608, 20, 21), (4608, 21, 22), (4608, 22, 23), (1152, 23, 24), (2304, 24, 25)],
        *[(2304, 25, 26), (2304, 26, 27), (256, 27, 28), (2, 28, 29), (2, 29, 29)],
    ],
}

#: The leads of these models when every layer computes pixel after pixel, and elementwise ones may work in place.
MLPERF_TINY_LEADS = {
    "ad": {
        **{(1, 0): 128, (2, 1): 128, (3, 2): 128, (4, 3): 128, (5, 4): 8, (6, 5): 128, (7, 6): 128, (8, 7): 128},
        **{(9, 8): 128, (10, 9): 640},
    },
    "ic": {
        **{(1, 0): 13414, (3, 2): 544, (4, 1): 0, (4, 3): 0, (6, 5): 576, (7, 4): 32, (8, 7): 0, (8, 6): 0},
        **{(10, 9): 640, (11, 8): 64, (12, 11): 0, (12, 10): 0, (13, 12): 64, (14, 13): 10, (15, 14): 0},
    },
    "kws": {
        **{(1, 0): 7553, (2, 1): 448, (3, 2): 64, (4, 3): 448, (5, 4): 64, (6, 5): 448, (7, 6): 64, (8, 7): 448},
        **{(9, 8): 64, (10, 9): 64, (11, 10): 12, (12, 11): 0},
    },
    "vww": {
        **{(1, 0): 102, (2, 1): 400, (3, 2): 18440, (4, 3): 16, (5, 4): 9232, (6, 5): 832, (7, 6): 32, (8, 7): 32},
        **{(9, 8): 4640, (10, 9): 896, (11, 10): 64, (12, 11): 64, (13, 12): 2368, (14, 13): 1024, (15, 14): 128},
        **{(16, 15): 1024, (17, 16): 128, (18, 17): 1024, (19, 18): 128, (20, 19): 1024, (21, 20): 128},
        **{(22, 21): 1024, (23, 22): 128, (24, 23): 128, (25, 24): 1280, (26, 25): 1280, (27, 26): 256},
        **{(28, 27): 256, (29, 28): 2, (30, 29): 0},
    },
}

#: 5 units are alive at every step, but no plan has less than 6.
GAP_OF_8 = [(3, 0, 0), (2, 0, 1), (2, 1, 3), (1, 2, 3), (1, 1, 4), (1, 2, 4), (3, 4, 5), (2, 5, 5)]

#: 24 units at the peak, optimum 25.
GAP_OF_17 = [
    *[(1, 0, 0), (5, 0, 0), (5, 0, 0), (4, 0, 0), (5, 1, 1), (3, 1, 1), (4, 1, 2), (4, 2, 2), (3, 1, 3), (1, 3, 3)],
    *[(4, 2, 4), (4, 4, 4), (9, 0, 6), (4, 7, 7), (7, 3, 8), (8, 5, 8), (4, 8, 8)],
]

#: Every greedy order fails, repeated first fit too, but a plan of 16 units, the lower bound, exists.
GREEDY_FAILS = [
    *[(3, 0, 0), (6, 0, 1), (3, 1, 2), (3, 2, 2), (3, 0, 3), (4, 0, 3), (3, 2, 5), (4, 3, 6), (4, 4, 6), (3, 4, 6)],
]

#: 8 units are enough, but a search that lets a buffer be placed before one that could still go below it misses that.
SLIDING = [
    *[(3, 0, 0), (3, 0, 1), (2, 0, 1), (1, 1, 1), (2, 2, 2), (2, 1, 3), (1, 3, 3)],
    *[(1, 2, 5), (3, 4, 5), (1, 3, 6), (3, 2, 8), (2, 6, 8), (2, 6, 8)],
]


def buffers(rows: Rows) -> list[Buffer]:
    return [Buffer(i, *row) for i, row in enumerate(rows)]


def overlaps(leads: Leads) -> list[Overlap]:
    return [Overlap(output, given, lead) for (output, given), lead in leads.items()]


def chain(count: int, size: int, lead: int) -> tuple[Rows, Leads]:
    """`count` tensors of one size, each computed from the one before."""
    return [(size, max(i - 1, 0), i) for i in range(count)], {(i + 1, i): lead for i in range(count - 1)}


def brute_force(rows: Rows, leads: Leads | None = None) -> int:
    """The optimum by trying every offset of every buffer, in arenas from the bytes alive at once upwards; or from the
    largest buffer, when there are leads."""
    loads = (sum(size for size, first, last in rows if first <= step <= last) for _, step, _ in rows)
    height = max(size for size, _, _ in rows) if leads else max(loads)
    while not _fits(rows, leads or {}, height, []):
        height += 1
    return height


def _fits(rows: Rows, leads: Leads, height: int, offsets: list[int]) -> bool:
    if len(offsets) == len(rows):
        return True
    i = len(offsets)
    for offset in range(height - rows[i][0] + 1):
        placed = [*offsets, offset]
        if not any(collide(rows, leads, placed, i, j) for j in range(i)) and _fits(rows, leads, height, placed):
            return True
    return False


def collide(rows: Rows, leads: Leads, offsets: Sequence[int] | Mapping[int, int], i: int, j: int) -> bool:
    """Whether two buffers that live at the same time overlap, and must not."""
    size, first, last = rows[i]
    other_size, other_first, other_last = rows[j]
    if last < other_first or other_last < first:
        return False
    above = offsets[i] - offsets[j]
    if above >= other_size or above <= -size:
        return False
    return not (((i, j) in leads and -above >= leads[i, j]) or ((j, i) in leads and above >= leads[j, i]))
