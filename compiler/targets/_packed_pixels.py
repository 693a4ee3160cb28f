# SPDX-License-Identifier: Apache-2.0
"""Streams for convolutions that compute two pixels with one multiplication, on cores without SIMD (armv7m, armv6m).

The word x1 * 65536 + x0 holds one input of two output pixels; a multiplication by a weight gives both products. Sums of four
such products stay apart while the four |weights| add up to at most 255, since |x| <= 128: the low half then fits into 16 bits.
Weights beyond that are cut, and what was cut off is added by a correction. After each four products the sum goes to two 32-bit
totals, of the whole word and of its rounded upper half, from which both pixels' sums follow exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..graph import Array, Layer
from ..ops._convolution import axes
from ..ops._fixed_point import activation_range
from ..program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table
from ._filters import filters
from ._overlap import blocks, lead

#: Products that are summed before the halves are split, and what their |weights| may add up to.
GROUP = 4
GROUP_LIMIT = 255

#: Output pixels whose patches are packed together, before their first output is written.
PIXELS = 4

#: Right shifts and accumulators for which thresholds and the kernels' arithmetic are exact.
SHIFTS = range(1, 23)
ACCUMULATOR_LIMIT = 1 << 30

#: Most output channels that a record can count.
CHANNELS = 16383

#: Largest scratch memory, in bytes: beyond, a small board's RAM matters more than speed.
SCRATCH_LIMIT = 16 * 1024

#: Set in the word that ends a channel's weights and corrections when it is one more correction.
CORRECTION = 1 << 31


@dataclass(frozen=True)
class Channel:
    """One output channel that depends on the input.

    `weights` [depth] int8; `bias` has the input offset folded in; accumulators are `least` to `most`; the result is the
    accumulator times multiplier * 2^(-31 - right), plus `zero_point`, at least `low`.
    """

    index: int
    weights: Array
    bias: int
    least: int
    most: int
    multiplier: int
    right: int
    zero_point: int
    low: int


#: For a channel: what to add to the bias, a word of flags and a shift (below 2^16, and bit 30), and more words.
Record = Callable[[Channel], tuple[int, int, Sequence[int]]]


@dataclass(frozen=True)
class Product:
    """A layer as a matrix product of patches, `depth` values each, with filters.

    `constants` are the channels that give the same value for every input, as (channel, value).
    """

    channels: tuple[Channel, ...]
    constants: tuple[tuple[int, int], ...]
    count: int
    depth: int


@lru_cache(maxsize=4)
def product(layer: Layer) -> Product | None:
    """CONV_2D without groups, DEPTHWISE_CONV_2D or FULLY_CONNECTED as products with one filter per channel.

    None where a kernel would not be exact: left shifts, sums that are too large, computed weights.
    """
    f = filters(layer)
    if f is None or f.count > CHANNELS or not np.isin(-f.shift, list(SHIFTS)).all():
        return None
    if (np.maximum(np.abs(f.least), np.abs(f.most)) >= ACCUMULATOR_LIMIT).any():
        return None
    channels = tuple(
        Channel(
            index=int(f.index[i]),
            weights=f.weights[i].astype(np.int8),
            bias=int(f.bias[i]),
            least=int(f.least[i]),
            most=int(f.most[i]),
            multiplier=int(f.multiplier[i]),
            right=-int(f.shift[i]),
            zero_point=f.zero_point,
            low=f.low,
        )
        for i in range(f.live)
    )
    return Product(channels, f.constants, f.count, f.depth)


def groups(depth: int) -> int:
    """Groups of GROUP weights per channel, the last padded with zeros."""
    return -(-depth // GROUP)


def thresholds(channel: Channel, results: Array) -> Array:
    """The least accumulator whose result, without clamps, is at least each of `results`, exactly.

    From the double rounding: the doubled high product must reach results - zero_point, less a half, times 2^right; a half
    is rounded away from zero.
    """
    scaled = results.astype(np.int64) - channel.zero_point
    double = (scaled << (channel.right + 1)) - (np.int64(1) << channel.right) - np.where(scaled > 0, 1, -1)
    exact: Array = -((-(double << 30)) // np.int64(channel.multiplier))
    return exact


def split(weights: Array, size: int = GROUP) -> tuple[Array, list[tuple[int, int]]]:
    """(weights padded to groups of `size` and cut to GROUP_LIMIT, [(position, what was cut off)])."""
    cut = np.pad(weights.astype(np.int64), (0, -len(weights) % size))
    corrections = []
    for group in np.flatnonzero(np.abs(cut).reshape(-1, size).sum(axis=1) > GROUP_LIMIT).tolist():
        part = cut[group * size : (group + 1) * size]
        while (excess := int(np.abs(part).sum()) - GROUP_LIMIT) > 0:
            largest = int(np.abs(part).argmax())
            piece = min(excess, abs(int(part[largest])), 127) * (1 if part[largest] > 0 else -1)
            part[largest] -= piece
            corrections.append((group * size + largest, piece))
    return cut.astype(np.int8), corrections


def stream(p: Product, record: Record) -> Array:
    """The kernels' table of int32 words; tinyc_kernels.h describes it."""
    words = [index << 8 | value & 0xFF for index, value in p.constants]
    ends = [channel.index for channel in p.channels[1:]] + [p.count]
    for channel, end in zip(p.channels, ends[: len(p.channels)], strict=True):
        offset, flags, rest = record(channel)
        weights, corrections = split(channel.weights)
        sums = len(weights) // GROUP + len(corrections)
        bias = channel.bias + offset
        words += [bias * 65537 - 0x8000 * sums, bias]
        words += weights.view("<i4").tolist()
        words += [CORRECTION | position << 11 | piece & 0xFF for position, piece in corrections]
        words += [flags | (end - channel.index) << 16, *rest]
    return (np.array(words, np.int64) & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def block_words(p: Product, offsets: Sequence[int], size: int) -> Array:
    """[block, words] of blocks of `size` channels: biases plus `offsets` (of the live channels), then the weights of each k."""
    blocks = -(-p.count // size)
    weights = np.zeros((blocks * size, p.depth), np.int8)
    bias = np.zeros(blocks * size, np.int64)
    for channel, offset in zip(p.channels, offsets, strict=True):
        weights[channel.index] = channel.weights
        bias[channel.index] = channel.bias + offset
    lanes = np.ascontiguousarray(weights.reshape(blocks, size, p.depth).transpose(0, 2, 1)).reshape(blocks, -1)
    table: Array = np.concatenate([bias.reshape(blocks, -1), lanes.view("<i4")], axis=1)
    return table


def scratch(layer: Layer, p: Product) -> int:
    """Bytes: two words per value of a patch, and rows of the filter for patches that are not runs in the image."""
    return groups(p.depth) * GROUP * 8 + 5 * _edge(layer)


def _edge(layer: Layer) -> int:
    """Bytes of a row of the filter, or 0 where every row of a patch is one run in the image."""
    if _flat(layer):
        return 0
    inside = all(
        axis.pad == 0 and (axis.output - 1) * axis.stride + (axis.taps - 1) * axis.dilation < axis.input
        for axis in axes(layer)
    )
    width = axes(layer)[1]
    runs = width.dilation == 1 or width.taps == 1
    return 0 if inside and runs else width.taps * layer.input(0).shape[3]


@dataclass(frozen=True)
class Prices:
    """Instructions of a kernel, per what is named. A `four` is four output pixels; `row` is a filter row of a four whose patches
    are inside the image, `edge` one of another four, `copy` a filter row copied for a patch that is not a run in the image."""

    channel: float
    group: float
    signed: float
    correction: float
    constant: float
    value: float
    four: float
    row: float
    edge: float
    copied_tap: float
    copied_byte: float
    clamp: float


def cost(layer: Layer, prices: Prices) -> float:
    """Instructions of a convolution of four pixels at a time."""
    p = product(layer)
    assert p is not None
    pixels = layer.output.elements // p.count
    fours = -(-pixels // 4)
    edges, copies = (0, 0) if _flat(layer) else _edges(layer)
    rows, columns = (1, 1) if layer.op == "FULLY_CONNECTED" else layer.input(1).shape[1:3]
    channel = prices.channel + prices.group * groups(p.depth) + 3.0 * -(-groups(p.depth) // 4)
    if any(c.low < c.zero_point for c in p.channels):
        channel += prices.signed
    corrections = sum(len(split(c.weights)[1]) for c in p.channels)
    four = channel * len(p.channels) + prices.correction * corrections + prices.constant * len(p.constants)
    four += prices.four + prices.value * p.depth
    patches = (fours - edges) * rows * prices.row + edges * rows * prices.edge
    copied = copies * columns * (prices.copied_tap + prices.copied_byte * layer.input(0).shape[-1])
    full = activation_range(layer.attributes["activation"], layer.output) == (-128, 127)
    return 100.0 + fours * four + patches + copied + (0.0 if full else prices.clamp * layer.output.elements)


def _edges(layer: Layer) -> tuple[int, int]:
    """(fours of pixels with a patch that is not inside the image, rows of the filter that are copied for patches)."""
    inside: list[Array] = []
    for axis in axes(layer):
        taps = (np.arange(axis.output) * axis.stride - axis.pad)[:, None] + np.arange(axis.taps) * axis.dilation
        inside.append((taps >= 0) & (taps < axis.input))
    width = axes(layer)[1]
    rows = np.asarray(inside[0].all(axis=1))
    columns = np.asarray(inside[1].all(axis=1)) & np.bool_(width.dilation == 1 or width.taps == 1)
    whole = np.tile(np.logical_and.outer(rows, columns).reshape(-1), layer.output.shape[0])
    copies = inside[0].sum() * (len(columns) - columns.sum()) * layer.output.shape[0]
    fours = np.pad(whole, (0, -len(whole) % 4), constant_values=True).reshape(-1, 4).all(axis=1)
    return int((~fours).sum()), int(copies)


def _flat(layer: Layer) -> bool:
    """Whether patches are the input's pixels (or rows) in order."""
    if layer.op == "FULLY_CONNECTED":
        return True
    return layer.input(1).shape[1:3] == (1, 1) and tuple(layer.attributes["stride"]) == (1, 1)


def bind(layer: Layer, p: Product, table: Array, record_words: int) -> Binding:
    """A call with `tinyc_conv_2d_packed_params`; records have `record_words` words after the flags."""
    source, output = layer.input(0), layer.output
    rows = output.elements // p.count
    low, high = activation_range(layer.attributes["activation"], output)
    fields = {
        "pixels": rows,
        "input_depth": p.depth if layer.op == "FULLY_CONNECTED" else source.shape[3],
        "output_depth": p.count,
        "groups": groups(p.depth),
        "record": record_words,
        "constants": len(p.constants),
        "first_channel": p.channels[0].index if p.channels else p.count,
        "activation_min": low,
        "activation_max": high,
        "edge": _edge(layer),
        "flat": int(_flat(layer)),
    }
    names = ("output", "input", "filter", "stride", "dilation", "pad")
    if layer.op == "FULLY_CONNECTED":
        geometry = {f"{name}_{axis}": int(name != "pad") for name in names for axis in ("height", "width")}
    else:
        height, width = axes(layer)
        geometry = {}
        for name, field in zip(names, ("output", "input", "taps", "stride", "dilation", "pad"), strict=True):
            geometry |= {f"{name}_height": getattr(height, field), f"{name}_width": getattr(width, field)}
    params = Params("tinyc_conv_2d_packed_params", {**fields, **geometry, "padding": source.zero_point})
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=params,
        constants=(Constant("stream", table),),
        scratch=scratch(layer, p),
        overlap={0: lead(layer, blocks(rows, PIXELS), buffered=True)},
    )
