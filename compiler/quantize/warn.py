# SPDX-License-Identifier: Apache-2.0
"""What in the calibration data and the network a user should look at."""

from __future__ import annotations

from ..graph import Graph, short_name
from .prepare import linear
from .ranges import Observed

#: A held-out sample that exceeds the others' range by less than this share of it does not count.
MARGIN = 0.02
#: From this share of held-out samples outside of a range on, coverage is called thin.
SHARE = 0.1


def warnings(graph: Graph, observed: Observed, held: int) -> tuple[str, ...]:
    """Thin coverage and dead channels, a line each."""
    return (*_coverage(graph, observed, held), *_dead(graph, observed))


def _coverage(graph: Graph, observed: Observed, held: int) -> list[str]:
    """Whether the last `held` samples stay within the ranges of the others."""
    worst, where, count = 0.0, "", 0
    for index, low in observed.low.items():
        high = observed.high[index]
        if not 0 < held < len(low):
            continue
        ends = float(low[:-held].min()), float(high[:-held].max())
        margin = MARGIN * (ends[1] - ends[0])
        outside = (low[-held:] < ends[0] - margin) | (high[-held:] > ends[1] + margin)
        share = float(outside.mean())
        count += share >= SHARE
        if share > worst:
            worst, where = share, graph.tensors[index].name
    if worst < SHARE:
        return []
    return [
        f"thin coverage: {worst:.0%} of {held} held-out samples leave the range that the other {len(low) - held} gave "
        f"'{short_name(where)}' ({count} of {len(observed.low)} activations are affected): calibrate with more samples"
    ]


def _dead(graph: Graph, observed: Observed) -> list[str]:
    """Layers with channels that never change."""
    found = []
    for layer in graph.layers():
        if not linear(layer) or layer.node.outputs[0] not in observed.channels:
            continue
        low, high = observed.channels[layer.node.outputs[0]]
        dead = int((low == high).sum())
        if dead and len(low) > 1:
            found.append((dead, len(low), short_name(layer.output.name)))
    if not found:
        return []
    total, names = (
        sum(dead for dead, _, _ in found),
        ", ".join(f"'{name}' {dead} of {n}" for dead, n, name in found[:3]),
    )
    more = f" and {len(found) - 3} more layers" if len(found) > 3 else ""
    return [f"{total} channels never change over the calibration data: {names}{more}"]
