# SPDX-License-Identifier: Apache-2.0
"""How far a kernel's output may reach over its input: the leads of `Binding.overlap`, computed from the kernel's order of work.

A kernel that goes through the output pixels in order of memory, block by block, needs less and less of its input. Its output may
grow over what is no longer needed: it starts `lead` bytes before the input and never overtakes the reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..graph import Array, Layer
from ..ops import _convolution, _pool

#: Offset of the first byte read where a window reads nothing.
NOTHING = 1 << 40

#: Output pixels [first, end) that a kernel computes together.
Block = tuple[int, int]


def blocks(pixels: int, size: int) -> Iterator[Block]:
    """Blocks of `size` pixels, the last one with what is left."""
    return ((first, min(first + size, pixels)) for first in range(0, pixels, size))


def lead(layer: Layer, parts: Iterable[Block] | None = None, *, buffered: bool = False) -> int:
    """The lead over input 0 of a CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED or pool kernel that computes all channels of one
    block of output pixels (rows, for FULLY_CONNECTED) after the other.

    Args:
        layer: NHWC, int8.
        parts: the blocks in the order of computing, numbered through all images of the batch; single pixels by default. A block
            may begin before the end of the one before it: what is computed again is read again.
        buffered: whether a block's input is copied away before its first output is written.
    """
    pixels = layer.output.elements // layer.output.shape[-1]
    reads = first_reads(layer)
    return lead_of(reads, layer.output.bytes // pixels, list(parts or blocks(pixels, 1)), buffered=buffered)


def lead_of(reads: Array, pixel: int, parts: Sequence[Block], *, buffered: bool) -> int:
    """The lead, given the offset of the first byte that each output pixel reads, and a pixel's bytes in the output."""
    earliest = [int(reads[first:end].min(initial=NOTHING)) for first, end in parts]
    later = np.minimum.accumulate([NOTHING, *earliest[::-1]])[::-1]
    needed = later[1:] if buffered else later[:-1]
    reached = np.maximum.accumulate([end * pixel for _, end in parts])
    return int(np.clip((reached - needed).max(), 0, len(reads) * pixel))


def first_reads(layer: Layer) -> Array:
    """Per output pixel in order of memory, the offset in bytes of the first value of input 0 that its window has; int64."""
    source = layer.input(0)
    if layer.op == "FULLY_CONNECTED":
        count = layer.output.elements // layer.output.shape[-1]
        return np.arange(count, dtype=np.int64) * (source.bytes // count)
    batches, height, width, _ = source.shape
    pixel = source.bytes // (batches * height * width)
    if layer.op in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        rows, columns = (_first_tap(axis) for axis in _convolution.axes(layer))
    else:
        rows, columns = (np.array([start for start, _ in axis.ranges()], np.int64) for axis in _pool.axes(layer))
    image = np.arange(batches, dtype=np.int64)[:, None, None] * (height * width)
    found: Array = np.minimum((image + rows[:, None] * width + columns) * pixel, NOTHING)
    return found.reshape(-1)


def _first_tap(axis: _convolution.Axis) -> Array:
    """Per output position, the first input position that its window has inside of the image; NOTHING where it has none."""
    starts = np.arange(axis.output, dtype=np.int64) * axis.stride - axis.pad
    outside = np.maximum(0, -(starts // axis.dilation))
    found = starts + outside * axis.dilation
    return np.where((outside < axis.taps) & (found < axis.input), found, NOTHING)
