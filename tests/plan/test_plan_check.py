# SPDX-License-Identifier: Apache-2.0
"""check(): every kind of corrupted certificate is caught."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from plan_instances import GAP_OF_17, MLPERF_TINY, buffers
from tinyc.plan import Arena, allocate, check

IC = buffers(MLPERF_TINY["ic"])
PLAN = allocate(IC)


def moved(arena: Arena, buffer_id: int, offset: int) -> Arena:
    return replace(arena, offsets={**arena.offsets, buffer_id: offset})


@pytest.mark.parametrize(
    ("arena", "message"),
    [
        (moved(PLAN, 2, PLAN.offsets[3]), "buffer 2 and buffer 3 overlap while both live at step 2"),
        (moved(PLAN, 14, 8), "buffer 14 at byte 8 is not aligned to 16"),
        (moved(PLAN, 14, -16), "outside of the arena"),
        (moved(PLAN, 14, PLAN.size), "outside of the arena"),
        (moved(PLAN, 99, 0), "not the buffers that were asked for"),
        (replace(PLAN, offsets={k: v for k, v in PLAN.offsets.items() if k}), "not the buffers that were asked for"),
        (replace(PLAN, size=PLAN.size + 16), "ends at byte 49152, but the arena has 49168"),
        (replace(PLAN, size=PLAN.size - 16), "outside of the arena"),
        (replace(PLAN, lower_bound=PLAN.lower_bound - 16), "the lower bound is 49152, the plan says 49136"),
        (replace(PLAN, peak_step=0), "step 0 is not where 49152 bytes are alive"),
        (replace(PLAN, peak_step=999), "step 999 is not where"),
        (replace(PLAN, live_at_peak=PLAN.live_at_peak[1:]), "alive at step 2"),
        (replace(PLAN, optimal=False), "meets the lower bound"),
        (replace(PLAN, alignment=3), "power of two"),
    ],
)
def test_corrupted_plans_are_caught(arena: Arena, message: str) -> None:
    check(PLAN, IC)
    with pytest.raises(ValueError, match=message):
        check(arena, IC)


def test_the_largest_come_first() -> None:
    ad = buffers(MLPERF_TINY["ad"])
    plan = allocate(ad)
    with pytest.raises(ValueError, match="largest first"):
        check(replace(plan, live_at_peak=plan.live_at_peak[::-1]), ad)


@given(st.integers(0, len(GAP_OF_17) - 1), st.integers(0, 24))
def test_moved_buffers_are_caught_exactly_when_they_hit_another(moved_id: int, offset: int) -> None:
    rows = buffers(GAP_OF_17)
    plan = allocate(rows, alignment=1, effort=0)
    size, first, last = GAP_OF_17[moved_id]
    assume(offset + size <= plan.size)
    hits = any(
        i != moved_id
        and other_first <= last
        and first <= other_last
        and plan.offsets[i] < offset + size
        and offset < plan.offsets[i] + other_size
        for i, (other_size, other_first, other_last) in enumerate(GAP_OF_17)
    )
    changed = moved(plan, moved_id, offset)
    top = max(changed.offsets[i] + size for i, (size, _, _) in enumerate(GAP_OF_17))
    changed = replace(changed, size=top, optimal=True)
    if hits:
        with pytest.raises(ValueError, match="overlap"):
            check(changed, rows)
    else:
        check(changed, rows)
