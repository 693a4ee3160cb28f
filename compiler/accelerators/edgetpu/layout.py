# SPDX-License-Identifier: Apache-2.0
"""Where the elements of inputs and outputs lie in the bytes that go over the wire.

The device sends an output tile by tile and pads the innermost dimension; the tensor wants it densely in NHWC order.
The formula is `GetBufferIndex` of libedgetpu's api/layer_information.cc (the same in coralmicro's edgetpu_executable.cc):

    index(y, x, z) = tile_offset[y_tile[y] + x_tile[x]] + y_offset[y] * row_size[x] + x_offset[x] + z

and counts elements. A vector (one row, one column) lies densely, each execution in `Layer.size` bytes of its own.
An input goes out densely; its last transfer may be longer than the tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ...errors import ModelError
from ...graph import Array
from ...importers.flatbuffer import DAMAGED
from .executable import Layer, OutputLayout, SendInput, Slice

#: Twice the chip's memory.
MAX_OUTPUT_BYTES = 16 << 20
MAX_SLICES = 256
MAX_RUNS = 1 << 16


@dataclass(frozen=True)
class Run:
    """`count` pieces of `length` bytes, the first at `source` of the received bytes, each `stride` after the one before.

    No number is negative; the stride is 0 for a single piece.

    The pieces of all runs of an output, in order, are the tensor in NHWC order.
    """

    source: int
    length: int
    count: int = 1
    stride: int = 0


def output_runs(layer: Layer) -> tuple[Run, ...]:
    """How to copy an output of the device into its tensor: few long pieces.

    Raises:
        ModelError: the output lies in more than 65,536 pieces.
    """
    starts = piece_starts(layer)
    piece = layer.z * layer.data_type.bytes
    first = np.flatnonzero(np.concatenate(([True], np.diff(starts) != piece)))
    lengths = np.diff(np.append(first, len(starts))) * piece
    return _merge(starts[first], lengths, layer)


def piece_starts(layer: Layer) -> Array:
    """The byte at which each vector of `z` elements begins, int64 [executions * y * x], in NHWC order."""
    if layer.slices:
        elements = _slice_starts(layer)
    elif layer.y == 1 and layer.x == 1:
        return np.arange(layer.executions, dtype=np.int64) * layer.size
    else:
        assert layer.layout is not None
        elements = _tile_starts(layer, layer.layout)
    return elements * layer.data_type.bytes


def _tile_starts(layer: Layer, layout: OutputLayout) -> Array:
    y_tile, y_offset = (_table(table, layer.y) for table in (layout.y_tile, layout.y_offset))
    x_tile, x_offset, row = (_table(table, layer.x) for table in (layout.x_tile, layout.x_offset, layout.row_size))
    tiles = np.asarray(layout.tile_offset, np.int64)[y_tile[:, None] + x_tile]
    starts: Array = tiles + y_offset[:, None] * row + x_offset
    return starts.reshape(-1)


def _table(values: tuple[int, ...], count: int) -> Array:
    return np.asarray(values[:count], np.int64)


def _slice_starts(layer: Layer) -> Array:
    """Elements; the innermost dimension is whole and dense in every slice, as :func:`check_layout` has seen."""
    size = layer.data_type.bytes
    starts = np.zeros(layer.shape[:-1], np.int64)
    for part in layer.slices:
        outer = tuple(slice(first, last + 1) for first, last in part.ranges[:-1])
        places: Array = np.asarray(part.offset // size, np.int64)
        for axis, ((first, last), stride) in enumerate(zip(part.ranges[:-1], part.strides[:-1], strict=True)):
            steps = np.arange(last - first + 1, dtype=np.int64) * stride
            places = places + steps.reshape([-1 if axis == i else 1 for i in range(len(outer))])
        starts[outer] = places
    return starts.reshape(-1)


def _merge(starts: Array, lengths: Array, layer: Layer) -> tuple[Run, ...]:
    """Pieces of one length at equal distances become one run, from left to right."""
    steps = np.diff(starts)
    same = (np.diff(lengths) == 0) & (steps > 0)
    keys = np.where(same, steps, 0)
    firsts = np.flatnonzero(np.concatenate(([True], (np.diff(keys) != 0) | (np.diff(same.astype(np.int8)) != 0))))
    if len(firsts) > MAX_RUNS:
        where = f"output '{layer.name}'"
        raise ModelError(
            where, f"it lies in about {len(firsts):,} pieces", expected=f"at most {MAX_RUNS:,}", hint=DAMAGED
        )
    runs: list[Run] = []
    begin = 0
    if len(steps):
        for segment, end in zip(firsts.tolist(), [*firsts.tolist()[1:], len(steps)], strict=True):
            # Steps `segment` to `end` are alike: pieces `segment` to `end` (inclusive) form a run, but for those taken.
            if same[segment] and end > begin:
                count = end - begin + 1
                runs.append(Run(int(starts[begin]), int(lengths[begin]), count, int(steps[begin])))
                begin = end + 1
            while begin < end:
                runs.append(Run(int(starts[begin]), int(lengths[begin])))
                begin += 1
    runs += (Run(int(starts[i]), int(lengths[i])) for i in range(begin, len(starts)))
    return tuple(runs)


@dataclass(frozen=True)
class InputPart:
    """What one step sends: `size` bytes of the tensor from `offset`, then `padding` bytes of any value."""

    offset: int
    size: int
    padding: int


def input_part(step: SendInput, layer: Layer) -> InputPart:
    """The part of the tensor that `step` sends; the vendor's runtime reads the padding from behind the tensor."""
    size = max(0, min(step.size, layer.bytes - step.offset))
    return InputPart(step.offset, size, step.size - size)


def check_layout(layer: Layer, where: str) -> None:
    """Every element of an output has a place inside its bytes.

    Raises:
        ModelError: it has not; messages call the output `where`.
    """
    if layer.padded_bytes > MAX_OUTPUT_BYTES:
        raise _error(where, f"{layer.padded_bytes:,} bytes", f"at most {MAX_OUTPUT_BYTES:,}")
    if layer.slices:
        _check_slices(layer, where)
    elif layer.y > 1 or layer.x > 1:
        _check_tables(layer, layer.layout, where)
    starts = piece_starts(layer)
    low, high = int(starts.min()), int(starts.max()) + layer.z * layer.data_type.bytes
    if low < 0 or high > layer.padded_bytes:
        raise _error(where, f"elements at bytes {low} to {high}", f"0 to {layer.padded_bytes}")


def _check_tables(layer: Layer, layout: OutputLayout | None, where: str) -> None:
    if layout is None:
        raise _error(where, f"{layer.y} rows and {layer.x} columns without a layout", "tables that say where they lie")
    short = [len(t) for t in (layout.y_tile, layout.y_offset) if len(t) < layer.y]
    short += [len(t) for t in (layout.x_tile, layout.x_offset, layout.row_size) if len(t) < layer.x]
    if short:
        raise _error(
            where, f"a layout table of {short[0]} entries", f"one for each of {layer.y} rows, {layer.x} columns"
        )
    rows, columns = layout.y_tile[: layer.y], layout.x_tile[: layer.x]
    low, high = min(rows) + min(columns), max(rows) + max(columns)
    if low < 0 or high >= len(layout.tile_offset):
        raise _error(where, f"tiles {low} to {high}", f"0 to {len(layout.tile_offset) - 1}")


def _check_slices(layer: Layer, where: str) -> None:
    if len(layer.slices) > MAX_SLICES or not layer.shape or layer.executions > 1:
        raise _error(where, f"{len(layer.slices)} slices of {list(layer.shape)}", f"at most {MAX_SLICES}, and a shape")
    for part in layer.slices:
        if len(part.ranges) != len(layer.shape) or len(part.strides) != len(layer.shape):
            raise _error(where, f"a slice of {len(part.ranges)} dimensions", f"{len(layer.shape)}")
        if any(last >= extent for (_, last), extent in zip(part.ranges, layer.shape, strict=True)):
            raise _error(where, f"a slice {list(part.ranges)}", f"inside {list(layer.shape)}")
        if part.ranges[-1] != (0, layer.shape[-1] - 1) or part.strides[-1] != 1:
            raise _error(where, "a slice that splits the innermost dimension", "slices of whole vectors")
        if part.offset % layer.data_type.bytes or min(part.offset, *part.strides) < 0:
            raise _error(where, f"a slice at {part.offset} with strides {list(part.strides)}", "an aligned place")
    covered = sum(math.prod(last - first + 1 for first, last in part.ranges) for part in layer.slices)
    if (
        layer.z != layer.shape[-1]
        or covered != layer.elements
        or any(_overlap(one, two) for one, two in combinations(layer.slices, 2))
    ):
        raise _error(where, f"slices that hold {covered} elements", f"each of the {layer.elements} elements once")


def _overlap(one: Slice, two: Slice) -> bool:
    return all(a[0] <= b[1] and b[0] <= a[1] for a, b in zip(one.ranges, two.ranges, strict=True))


def _error(where: str, found: str, expected: str) -> ModelError:
    return ModelError(where, found, expected=expected, hint=DAMAGED)
