# SPDX-License-Identifier: Apache-2.0
"""Tables for the smallest flash: each weight once, as a byte, and one word of scale and a short bias per channel.

TFLite's multiplier m has 31 bits, of which the highest is always set; the kernels multiply by 2 m, an unsigned word. Its lowest
bits are replaced by the channel's shift, less the smallest of the layer: trained layers need two or three bits for that. The word
is then wrong by less than 2^-28, which moves the accumulators at which the output steps by much less than one, and an accumulator is an
integer: where no step moves to another integer, every output is the same. That is checked for each of the at most 255 steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...graph import Array, Layer
from ...ops._convolution import Axis, axes
from .._filters import Filters
from .._rounding import words

#: Largest size, and largest stride, filter, dilation and padding, of the parameter structs.
SIZE, STEP = 32767, 255

#: |accumulator| stays below.
ACCUMULATOR_LIMIT = 1 << 30


@dataclass(frozen=True, eq=False)
class Scales:
    """`words`: int64 from 2^31 to 2^32 - 1, one per channel that is not constant. `shift` and `mask` as in the parameter structs."""

    words: Array
    shift: int
    mask: int


def scales(f: Filters) -> Scales | None:
    """Words with which every output is TFLite's; None where a channel has no such word, a left shift, or sums that are too large."""
    if f.live == 0:
        return Scales(np.zeros(0, np.int64), 0, 0)
    right = -f.shift
    if right.min() < 1 or (np.maximum(np.abs(f.least), np.abs(f.most)) >= ACCUMULATOR_LIMIT).any():
        return None
    shift = int(right.min()) - 1
    mask = (1 << int(right.max() - right.min()).bit_length()) - 1
    exact = 2 * f.multiplier
    wanted = _steps(f, exact)
    found = np.zeros_like(exact)
    for step in (1, -1, 0):
        near = (exact & ~mask | right - 1 - shift) + step * (mask + 1)
        right_range = (near >= 1 << 31) & (near < 1 << 32)
        same = right_range & (_steps(f, np.where(right_range, near, exact)) == wanted).all(axis=1)
        found = np.where(same, near, found)
    return Scales(found, shift, mask) if found.all() else None


def _steps(f: Filters, scale: Array) -> Array:
    """[channels, results]: the first accumulator from which on the output is at least each of low + 1 to high.

    With v = floor((accumulator * scale + 2^31) / 2^32), a result r (less the zero point) is reached where v >= r * 2^e - 2^(e - 1), or
    one more for r <= 0 because halves are rounded away from zero. Accumulators are from `least` to `most`; one more stands for
    those beyond.
    """
    right = -f.shift[:, np.newaxis]
    result = np.arange(f.low - f.zero_point + 1, f.high - f.zero_point + 1)
    reached = (result << right) - (np.int64(1) << right - 1) + (result <= 0)
    # |v| is less than an accumulator's limit, and products stay in 63 bits.
    reached = np.clip(reached, -ACCUMULATOR_LIMIT, ACCUMULATOR_LIMIT)
    first = -(((np.int64(1) << 31) - (reached << 32)) // scale[:, np.newaxis])
    steps: Array = np.clip(first, f.least[:, np.newaxis], f.most[:, np.newaxis] + 1)
    return steps


def biases(layer: Layer, f: Filters) -> Array:
    """The bias of each channel that is not constant, without the input offset; int64."""
    bias = layer.optional(2)
    if bias is None:
        return np.zeros(f.live, np.int64)
    assert bias.data is not None
    found: Array = bias.data.reshape(-1)[f.index].astype(np.int64)
    return found


def halfwords(values: Array) -> Array:
    """An even number of int64 values, of which the low 16 bits count, as int32 words."""
    return (values & 0xFFFF).astype("<u2").view("<i4")


def wide(values: Array) -> bool:
    """Whether one of these biases, which are stored together, is no halfword; -32768 is the mark of those."""
    return bool((np.abs(values) > SIZE).any())


def bias_words(values: Array) -> Array:
    """Two or four biases that are stored together as int32 words."""
    if not wide(values):
        return halfwords(values)
    return np.concatenate([halfwords(np.where(np.arange(len(values)) == 0, -SIZE - 1, 0)), words(values)])


@dataclass(frozen=True)
class Geometry:
    """A layer as a convolution."""

    batches: int
    input_depth: int
    height: Axis
    width: Axis

    @property
    def taps(self) -> int:
        """Of the filter."""
        return self.height.taps * self.width.taps

    @property
    def pixels(self) -> int:
        """Of the output, in all images."""
        return self.batches * self.height.output * self.width.output

    @property
    def rows_inside(self) -> int:
        """Rows of taps inside the image, over all output rows of all images."""
        return self.batches * _inside(self.height)

    @property
    def taps_inside(self) -> int:
        """Taps inside the image, over all output pixels of all images."""
        return self.rows_inside * _inside(self.width)

    @property
    def fits(self) -> bool:
        """Whether the fields of the structs are wide enough."""
        sizes = (
            self.batches,
            self.input_depth,
            *(size for a in (self.height, self.width) for size in (a.input, a.output)),
        )
        return max(sizes) <= SIZE and max(self.steps.values()) <= STEP

    @property
    def sizes(self) -> dict[str, int]:
        """The structs' fields of the input."""
        return {"batches": self.batches, "input_height": self.height.input, "input_width": self.width.input}

    @property
    def steps(self) -> dict[str, int]:
        """The structs' fields of one byte for the window. A single tap has no dilation."""
        dilations = [axis.dilation if axis.taps > 1 else 1 for axis in (self.height, self.width)]
        return {
            "filter_height": self.height.taps,
            "filter_width": self.width.taps,
            "stride_height": self.height.stride,
            "stride_width": self.width.stride,
            "dilation_height": dilations[0],
            "dilation_width": dilations[1],
            "pad_height": self.height.pad,
            "pad_width": self.width.pad,
        }


def _inside(axis: Axis) -> int:
    """How many positions the windows of all outputs have inside of the image, each window counted for itself."""
    return sum(outputs.stop - outputs.start for outputs, _ in map(axis.inside, range(axis.taps)))


def geometry(layer: Layer) -> Geometry:
    """The layer's sizes. The rows of a FULLY_CONNECTED are the rows of an image of one column."""
    if layer.op == "FULLY_CONNECTED":
        depth = layer.input(1).shape[1]
        rows = layer.input(0).elements // depth
        height, width = Axis(rows, 1, 1, 1, rows, 0), Axis(1, 1, 1, 1, 1, 0)
        return Geometry(1, depth, height, width)
    batches, _, _, depth = layer.input(0).shape
    height, width = axes(layer)
    return Geometry(batches, depth, height, width)


def requantization(f: Filters, s: Scales) -> dict[str, int]:
    """The last fields of the structs."""
    return {
        "shift": s.shift,
        "shift_mask": s.mask,
        "activation_min": f.low,
        "activation_max": f.high,
    }


def clamping(f: Filters, pixels: int) -> float:
    """Instructions of the clamp of all channels of so many pixels."""
    return 0.0 if (f.low, f.high) == (-128, 127) else 15.0 * f.count * pixels
