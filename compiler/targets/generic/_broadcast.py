# SPDX-License-Identifier: Apache-2.0
"""How the kernels with two inputs walk a broadcast: the table that `tinyc_broadcast.h` describes."""

from __future__ import annotations

import numpy as np

from ...graph import Layer
from ...ops._broadcast import fold
from ...program import Constant, Table, Value


def broadcast_fields(layer: Layer) -> tuple[dict[str, Value], Constant]:
    """The parameter fields `rank` and `shape`, and the table for the latter."""
    dimensions = fold(layer.input(0).shape, layer.input(1).shape)
    rows = [(extent, _step(dimensions, d, 1), _step(dimensions, d, 2)) for d, (extent, _, _) in enumerate(dimensions)]
    return {"rank": len(rows), "shape": Table("shape")}, Constant("shape", np.array(rows, np.int32))


def _step(dimensions: list[tuple[int, int, int]], d: int, column: int) -> int:
    """What moves an input's pointer when dimension `d` advances: its stride, less what the inner dimensions moved it."""
    last = len(dimensions) - 1
    if d == last:
        return dimensions[d][column]
    moved = dimensions[last][0] * dimensions[last][column]
    moved += sum((dimension[0] - 1) * dimension[column] for dimension in dimensions[d + 1 : last])
    return dimensions[d][column] - moved


def overlap(layer: Layer) -> dict[int, int]:
    """A lead of 0 over the inputs that do not repeat: the kernels read an element before they write the one in its place."""
    return {position: 0 for position in (0, 1) if layer.input(position).elements == layer.output.elements}
