# SPDX-License-Identifier: Apache-2.0
"""Layers as matrix products for tinyc_conv_2d_s8_mve: weights packed for blocks of four pixels and two channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...graph import Array, Layer
from ...ops._convolution import Axis
from ...program import Binding, Params
from .. import _groups, _overlap
from ._channels import Channels, call, clamps, is_clamped, padded, words

#: Order of the four channels of a group: narrowing to bytes interleaves the first two with the last two.
ORDER = (0, 2, 1, 3)

#: Steps of 16 k in the unrolled loop.
UNROLLED = 8


@dataclass(frozen=True)
class Geometry:
    """The convolution: `batches` images of `depth` channels, `filters` output channels.

    With `apart` outputs go through scratch, some pixels at a time, so that they may replace pixels that are read in place.
    """

    batches: int
    height: Axis
    width: Axis
    depth: int
    filters: int
    apart: bool = False

    @property
    def k(self) -> int:
        """Terms of an output's sum."""
        return self.height.taps * self.width.taps * self.depth

    @property
    def steps(self) -> int:
        return -(-self.k // 16)

    @property
    def pixels(self) -> int:
        return self.batches * self.height.output * self.width.output

    @property
    def direct(self) -> int:
        """Pixels, a multiple of four, that can be read in place 16 bytes at a time."""
        if any(axis.taps != 1 or axis.stride != 1 for axis in (self.height, self.width)):
            return 0
        room = self.pixels * self.k - 16 * self.steps
        return (room // self.k + 1) // 4 * 4 if room >= 0 else 0

    @property
    def spare(self) -> int:
        """Output pixels in scratch, where the words of the output are not aligned or must be `apart`."""
        if self.filters % 4 == 0 and not self.apart:
            return 0
        return min(32 if self.filters < 16 else 16, -(-self.pixels // 4) * 4)

    @property
    def scratch(self) -> int:
        return self.queue * self.steps * 16 + self.spare * -(-self.filters // 4) * 4

    @property
    def queue(self) -> int:
        """Patches in scratch: more of them share a call's overhead. None where all pixels are read in place."""
        wanted = 32 if self.steps <= 2 else 16 if self.steps <= 4 else 8 if self.steps <= 12 else 4
        return min(wanted, -(-(self.pixels - self.direct) // 4) * 4)


def pack(weights: Array, channels: Channels) -> Array:
    """The stream of int32 words that tinyc_kernels.h describes, from int8 `weights` [output channels, k]."""
    filters, k = weights.shape
    groups, steps = -(-filters // 4), -(-k // 16)
    lanes = np.zeros((groups * 4, steps * 16), np.int8)
    lanes[:filters, :k] = weights
    # [group, half, channel of the half, step, lane] → [group, half, step, channel, lane]
    halves = lanes.reshape(groups, 4, steps, 16)[:, ORDER].reshape(groups, 2, 2, steps, 16).transpose(0, 1, 3, 2, 4)
    products = np.ascontiguousarray(halves).view(np.int32).reshape(groups, 2, steps * 8)
    records = np.stack([channels.bias, channels.multiplier, channels.shift], axis=1)
    ordered = words(padded(records, groups * 4)).reshape(groups, 4, 3)[:, ORDER].reshape(groups, 2, 6)
    parts = [products, ordered]
    if channels.ties:
        fixes = padded((channels.shift < 0).astype(np.int32), groups * 4)
        parts.append(fixes.reshape(groups, 4)[:, ORDER].reshape(groups, 2, 2))
    return np.concatenate(parts, axis=2).reshape(-1)


def bind(layer: Layer, geometry: Geometry, weights: Array, channels: Channels) -> Binding:
    """The call of tinyc_conv_2d_s8_mve."""
    g, (low, high) = geometry, clamps(layer)
    params = Params(
        "tinyc_conv_2d_mve_params",
        {
            "batches": g.batches,
            "input_height": g.height.input,
            "input_width": g.width.input,
            "input_depth": g.depth,
            "filter_height": g.height.taps,
            "filter_width": g.width.taps,
            "output_height": g.height.output,
            "output_width": g.width.output,
            "output_depth": g.filters,
            "stride_height": g.height.stride,
            "stride_width": g.width.stride,
            "pad_height": g.height.pad,
            "pad_width": g.width.pad,
            "input_zero_point": layer.input(0).zero_point,
            "output_zero_point": layer.output.zero_point,
            "activation_min": low,
            "activation_max": high,
            "ties": int(channels.ties),
            "queue": g.queue,
            "spare": g.spare,
            "direct": g.direct,
        },
    )
    return call(params, pack(weights, channels), g.scratch, {0: lead(layer, g)})


def lead(layer: Layer, g: Geometry) -> int:
    """The output's lead over the input. Patches are gathered a queue at a time before they are multiplied. Pixels read in place are
    read again by every four channels, unless these go to the spare room first."""
    size = g.spare or 4
    in_place = list(_overlap.blocks(g.direct, size))
    queued = [
        (g.direct + first, g.direct + end) for first, end in _overlap.blocks(g.pixels - g.direct, max(g.queue, 1))
    ]
    after = _overlap.lead(layer, in_place + queued, buffered=True)
    return after if g.spare or not in_place else max(after, _groups.lead(layer, 4, in_place))


def cost(layer: Layer, geometry: Geometry) -> float:
    """Instructions of tinyc_conv_2d_s8_mve; those of the assembly are counted, the rest fitted to counts with
    arm-none-eabi-gcc 12 -O2. Per multiply-accumulate: 125 pixels 64 to 64 channels 0.154, 36 pixels 128 to 128 0.130,
    2304 pixels 8 to 16 0.55, 10x4 of 1 channel to 64 0.26, 3x3 of 3 channels to 8 0.41.
    """
    g, ties = geometry, 6 if clamps(layer)[0] < layer.output.zero_point else 0
    group = 28 * g.steps + 38 + ties + (4 * ((g.steps - 2) // UNROLLED) + 2 if g.steps > 1 else 0)
    blocks = -(-g.pixels // 4)
    total = 250 + blocks * (-(-g.filters // 4) * group + 15) + (_gather_cost(g) if g.direct < g.pixels else 0.0)
    if g.spare:
        total += -(-g.pixels // g.spare) * 100 + g.pixels * 6 * -(-g.filters // 16)
    return total + (0.6 * layer.output.elements if is_clamped(layer) else 0.0)


def _gather_cost(g: Geometry) -> float:
    """Instructions that bring patches together: runs of neighbouring pixels, alone at the image's edges."""
    flushes = -(-(g.pixels - g.direct) // g.queue) * 120
    if g.direct:
        return flushes + 60 + (g.pixels - g.direct) * (20 + 8 * g.steps)
    width, rows = g.width, g.height.taps
    starts = [column * width.stride - width.pad for column in range(width.output)]
    edges = sum(start < 0 or start + width.taps > width.input for start in starts)
    inside = width.output - edges
    runs = edges + (inside / g.queue + 0.7 if inside else 0)
    loops = edges + (min(inside, (inside / g.queue + 0.7) * rows) if inside else 0)
    chunks = -(-width.taps * g.depth // 16)
    line = runs * 95 + loops * (4 + 10 * chunks) + width.output * rows * chunks * 6 + edges * (10 + 3 * g.steps)
    return flushes + g.batches * g.height.output * line
