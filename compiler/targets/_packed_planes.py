# SPDX-License-Identifier: Apache-2.0
"""Streams for depthwise convolutions that compute two pixels with one multiplication, on cores without SIMD (armv7m, armv6m).

As in _packed_pixels, a word holds one input of two output pixels, here of rows a half of the image apart. Each channel's plane of
words is made in scratch memory, with padding around it. A 3x3 filter is three rows of products, a sum of three each; any other
filter, and what must be cut off those rows to keep the halves apart, is a list of pairs of taps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph import Array, Layer
from ..ops._convolution import axes
from ..ops._fixed_point import activation_range
from ..program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table
from . import _groups, _packed_pixels
from ._packed_pixels import GROUP_LIMIT, Product, Record, product

#: Largest plane, in bytes. A taller image is done in several bands.
PLANE_LIMIT = 8 * 1024

#: The plane that small bands should stay within, in bytes, and the most output rows of their halves.
SMALL_PLANE, SMALL_HALF = 1024, 8


@dataclass(frozen=True)
class Planes:
    """How an image is cut: bands of two halves of `half` output rows each, in planes of `rows` by `columns` words.

    `extra` words behind the plane are written, too.
    """

    half: int
    rows: int
    columns: int
    pairs: int
    extra: int

    @property
    def bytes(self) -> int:
        return (self.rows * self.columns + self.extra) * 4


def planes(layer: Layer, small: bool = False) -> Planes | None:
    """The largest bands within PLANE_LIMIT, or None where not even rows of single outputs fit; or `small` bands."""
    height, width = axes(layer)
    columns = (width.output - 1) * width.stride + (width.taps - 1) * width.dilation + 1
    span = (height.taps - 1) * height.dilation + 1
    limit = PLANE_LIMIT // (4 * columns)
    if limit < span:
        return None
    half = min(-(-height.output // 2), (limit - span) // height.stride + 1)
    if small:
        half = max(min(half, SMALL_HALF, (SMALL_PLANE // (4 * columns) - span) // height.stride + 1), 1)
    pairs = -(-height.output // (2 * half))
    # Bands of about the same size.
    half = -(-height.output // (2 * pairs))
    return Planes(half, (half - 1) * height.stride + span, columns, pairs, min(width.pad, columns))


def smaller(layer: Layer) -> bool:
    """Whether small bands are not the largest ones anyhow, and rows are more than single outputs."""
    return layer.output.shape[2] > 1 and planes(layer) != planes(layer, small=True)


def has_core(layer: Layer) -> bool:
    """Whether the filter is 3x3 with neighbouring columns, for which the kernels have a loop."""
    return layer.input(1).shape[1:3] == (3, 3) and layer.attributes["dilation"][1] == 1


def taps(layer: Layer, columns: int, weights: Array) -> tuple[Array, list[tuple[int, int]]]:
    """(9 weights of the 3x3 core or none, [(offset in bytes, weight)] in pairs that keep the halves apart)."""
    height, width = axes(layer)
    offsets = [
        4 * (ky * height.dilation * columns + kx * width.dilation)
        for ky in range(height.taps)
        for kx in range(width.taps)
    ]
    if has_core(layer):
        core, cut = _packed_pixels.split(weights, 3)
        # The list is read when the pointer has gone to the core's last row.
        pairs = [(offsets[position] - offsets[6], piece) for position, piece in cut]
    else:
        core, pairs = np.zeros(0, np.int8), []
        for offset, weight in zip(offsets, weights.tolist(), strict=True):
            if weight < -127:
                pairs += [(offset, weight + 64), (offset, -64)]
            elif weight != 0:
                pairs.append((offset, weight))
    pairs += [(0, 0)] * (len(pairs) % 2)
    assert all(abs(a[1]) + abs(b[1]) <= GROUP_LIMIT for a, b in zip(pairs[::2], pairs[1::2], strict=True))
    return core, pairs


def stream(layer: Layer, p: Product, columns: int, record: Record) -> Array:
    """The kernels' table of int32 words; tinyc_kernels.h describes it."""
    words = [index << 8 | value & 0xFF for index, value in p.constants]
    for channel in p.channels:
        offset, flags, rest = record(channel)
        core, pairs = taps(layer, columns, channel.weights)
        words += [channel.index << 16 | len(pairs), channel.bias + offset, flags, *rest]
        words += np.pad(core, (0, -len(core) % 4)).view("<i4").tolist()
        words += [where << 8 | weight & 0xFF for where, weight in pairs]
    return (np.array(words, np.int64) & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def _lead(layer: Layer, half: int) -> int:
    """An input channel's plane is made before its outputs are written, channel after channel and band after band. The last bands
    overlap the ones before."""
    batches, rows, width, _ = layer.output.shape
    parts = [
        ((image * rows + min(row, rows - half)) * width, (image * rows + min(row + 2 * half, rows)) * width)
        for image in range(batches)
        for row in range(0, rows, 2 * half)
    ]
    multiplier = layer.attributes["depth_multiplier"]
    return _groups.lead(layer, multiplier, parts, multiplier=multiplier)


def bind(layer: Layer, record: Record, record_words: int, small: bool = False) -> Binding:
    """A call with `tinyc_depthwise_packed_params`; records have `record_words` words after the flags."""
    p, cut = product(layer), planes(layer, small)
    assert p is not None and cut is not None
    source, output = layer.input(0), layer.output
    height, width = axes(layer)
    low, high = activation_range(layer.attributes["activation"], output)
    params = Params(
        "tinyc_depthwise_packed_params",
        {
            "batches": source.shape[0],
            "input_height": height.input,
            "input_width": width.input,
            "input_depth": source.shape[3],
            "output_height": height.output,
            "output_width": width.output,
            "output_depth": p.count,
            "depth_multiplier": layer.attributes["depth_multiplier"],
            "stride_height": height.stride,
            "stride_width": width.stride,
            "dilation_height": height.dilation,
            "pad_height": height.pad,
            "pad_width": width.pad,
            "padding": source.zero_point,
            "activation_min": low,
            "activation_max": high,
            "half": cut.half,
            "plane_rows": cut.rows,
            "plane_columns": cut.columns,
            "core": int(has_core(layer)),
            "record": record_words,
            "channels": len(p.channels),
            "constants": len(p.constants),
        },
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=params,
        constants=(Constant("stream", stream(layer, p, cut.columns, record)),),
        scratch=cut.bytes,
        overlap={0: _lead(layer, cut.half)},
        in_place=_groups.in_place(layer, cut.pairs == 1),
    )


@dataclass(frozen=True)
class Prices:
    """Instructions of a kernel, per what is named. A `position` is two outputs of a channel, with or without a 3x3 core."""

    core: float
    no_core: float
    signed: float
    pair: float
    plane: float
    plane_row: float
    word: float
    output_row: float
    constant: float
    clamp: float


def cost(layer: Layer, prices: Prices, small: bool = False) -> float:
    """Instructions of a depthwise convolution with planes."""
    p, cut = product(layer), planes(layer, small)
    assert p is not None and cut is not None
    bands = layer.output.shape[0] * cut.pairs
    rows = bands * cut.half
    pairs = sum(len(taps(layer, cut.columns, channel.weights)[1]) // 2 for channel in p.channels)
    sources = len({channel.index // layer.attributes["depth_multiplier"] for channel in p.channels})
    position = prices.core if has_core(layer) else prices.no_core
    if any(c.low < c.zero_point for c in p.channels):
        position += prices.signed
    width = layer.output.shape[2]
    outputs = rows * len(p.channels) * (width * position + prices.output_row) + rows * width * pairs * prices.pair
    plane = prices.plane + prices.plane_row * cut.rows + prices.word * cut.rows * cut.columns
    constants = prices.constant * len(p.constants) * (layer.output.elements // p.count)
    full = activation_range(layer.attributes["activation"], layer.output) == (-128, 127)
    clamps = 0.0 if full else prices.clamp * layer.output.elements
    return 100.0 + outputs + bands * sources * plane + constants + clamps
