# SPDX-License-Identifier: Apache-2.0
"""The padding kernels, for PAD and PADV2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...graph import DTYPES, Layer
from ...ops._pad import paddings, value
from ...program import Binding, Input, Output, Params, ParamsPointer
from .. import Kernel

#: Loops around the rows of one call: one less than the most dimensions.
_LOOPS = 4


@dataclass(frozen=True)
class _Rows:
    """A padded tensor as bytes: rows of the input with padding between them.

    Attributes:
        row: bytes copied in one piece.
        counts: iterations of the loops around a row, innermost first.
        gaps: bytes of padding after a row, and more after the last one of each loop but the outermost, innermost first.
        lead, tail: bytes of padding before the first row and after the last.
    """

    row: int
    counts: tuple[int, ...]
    gaps: tuple[int, ...]
    lead: int
    tail: int


def _rows(layer: Layer) -> _Rows:
    dimensions = list(zip(layer.input(0).shape, paddings(layer), strict=True))
    unit = np.dtype(DTYPES[layer.input(0).dtype]).itemsize
    while dimensions and dimensions[-1][1] == (0, 0):
        unit *= dimensions.pop()[0]
    extent, (before, after) = dimensions.pop() if dimensions else (1, (0, 0))
    row, lead, tail, counts, gaps = extent * unit, before * unit, after * unit, [], [(before + after) * unit]
    unit *= before + extent + after
    for extent, (before, after) in reversed(dimensions):
        counts.append(extent)
        gaps.append((before + after) * unit)
        lead, tail = lead + before * unit, tail + after * unit
        unit *= before + extent + after
    unused = _LOOPS - len(counts)
    return _Rows(row, (*counts, *[1] * unused), (*gaps, *[0] * unused)[:_LOOPS], lead, tail)


def kernels(op: str) -> tuple[Kernel, ...]:
    """The kernel for padding whose bytes are all the same, and the one for any other."""
    return (
        Kernel(
            "tinyc_pad",
            op,
            lambda layer: _bind(layer, "tinyc_pad_params", _byte(layer)),
            _cost,
            bytes_alike,
            dtype=None,
        ),
        Kernel(
            "tinyc_pad_wide",
            op,
            lambda layer: _bind(layer, "tinyc_pad_wide_params", _word(layer)),
            lambda layer: 2.0 * _cost(layer),
            lambda layer: not bytes_alike(layer),
            dtype=None,
        ),
    )


def _element(layer: Layer) -> bytes:
    """One element of padding."""
    dtype = np.dtype(DTYPES[layer.input(0).dtype])
    return np.array(value(layer), dtype.newbyteorder("<")).tobytes()


def bytes_alike(layer: Layer) -> bool:
    return len(set(_element(layer))) == 1


def _byte(layer: Layer) -> int:
    return int.from_bytes(_element(layer)[:1], "little", signed=True)


def _word(layer: Layer) -> int:
    element = _element(layer)
    return int.from_bytes(element * (4 // len(element)), "little")


def _bind(layer: Layer, ctype: str, number: int) -> Binding:
    rows = _rows(layer)
    params = Params(
        ctype,
        {
            "row": rows.row,
            "count": rows.counts,
            "gap": rows.gaps,
            "lead": rows.lead,
            "tail": rows.tail,
            "value": number,
        },
    )
    # Copying goes forward: what has been written is ahead of what has been read by the padding so far.
    ahead = layer.output.bytes - rows.tail - layer.input(0).bytes
    return Binding(args=(ParamsPointer(), Input(0), Output()), params=params, overlap={0: ahead})


def _cost(layer: Layer) -> float:
    return layer.output.bytes * 3.0 + layer.input(0).bytes / _rows(layer).row * 25.0
