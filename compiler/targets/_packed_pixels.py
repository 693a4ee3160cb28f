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
from ..ops import _convolution, fully_connected
from ..ops._convolution import axes
from ..ops._fixed_point import activation_range, multiply_by_quantized_multiplier
from ..program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table

#: Products that are summed before the halves are split, and what their |weights| may add up to.
GROUP = 4
GROUP_LIMIT = 255

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

    `weights` [depth] int8; `bias` has the input offset folded in; `bound` is the largest |accumulator|; the result is
    the accumulator times multiplier * 2^(-31 - right), plus `zero_point`, at least `low`.
    """

    index: int
    weights: Array
    bias: int
    bound: int
    multiplier: int
    right: int
    zero_point: int
    low: int


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
    """CONV_2D without groups or FULLY_CONNECTED as a matrix product, or None where a kernel would not be exact."""
    weights, bias = layer.input(1), layer.optional(2)
    if weights.data is None or (bias is not None and bias.data is None) or weights.zero_point != 0:
        return None
    if layer.op == "FULLY_CONNECTED":
        multiplier, shift = (np.broadcast_to(v, weights.shape[0]) for v in fully_connected.multipliers(layer))
    elif weights.shape[3] != layer.input(0).shape[3]:
        return None
    else:
        multiplier, shift = _convolution.multipliers(layer)
    return matrix(layer, weights.data.reshape(weights.shape[0], -1), multiplier, shift)


def matrix(layer: Layer, weights: Array, multiplier: Array, shift: Array) -> Product | None:
    """`layer` with filters `weights` [channels, depth], or None where a kernel would not be exact."""
    wide = weights.astype(np.int64)
    start = np.zeros(len(weights), np.int64)
    bias = layer.optional(2)
    if bias is not None:
        assert bias.data is not None
        start += bias.data.astype(np.int64).reshape(-1)
    start -= layer.input(0).zero_point * wide.sum(axis=1)
    least = start + np.minimum(wide * -128, wide * 127).sum(axis=1)
    most = start + np.maximum(wide * -128, wide * 127).sum(axis=1)
    bound = np.maximum(np.abs(least), np.abs(most))
    right = -shift.astype(np.int64)
    if (bound >= 1 << 31).any() or (right[multiplier != 0] < 1).any() or len(weights) > CHANNELS:
        return None
    zero_point = layer.output.zero_point
    low, high = activation_range(layer.attributes["activation"], layer.output)
    ends = [
        np.clip(multiply_by_quantized_multiplier(end, multiplier.astype(np.int64), shift) + zero_point, low, high)
        for end in (least, most)
    ]
    constant = ends[0] == ends[1]
    if not np.isin(right[~constant], list(SHIFTS)).all() or (bound[~constant] >= ACCUMULATOR_LIMIT).any():
        return None
    channels = tuple(
        Channel(i, weights[i], int(start[i]), int(bound[i]), int(multiplier[i]), int(right[i]), zero_point, low)
        for i in np.flatnonzero(~constant).tolist()
    )
    constants = tuple((i, int(ends[0][i])) for i in np.flatnonzero(constant).tolist())
    return Product(channels, constants, len(weights), weights.shape[1])


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


def split(weights: Array) -> tuple[Array, list[tuple[int, int]]]:
    """(weights padded to groups and cut to GROUP_LIMIT, [(position, what was cut off)])."""
    cut = np.zeros(groups(len(weights)) * GROUP, np.int64)
    cut[: len(weights)] = weights
    corrections = []
    for group in np.flatnonzero(np.abs(cut).reshape(-1, GROUP).sum(axis=1) > GROUP_LIMIT).tolist():
        part = cut[group * GROUP : (group + 1) * GROUP]
        while (excess := int(np.abs(part).sum()) - GROUP_LIMIT) > 0:
            largest = int(np.abs(part).argmax())
            piece = min(excess, abs(int(part[largest])), 127) * (1 if part[largest] > 0 else -1)
            part[largest] -= piece
            corrections.append((group * GROUP + largest, piece))
    return cut.astype(np.int8), corrections


def stream(p: Product, record: Callable[[Channel], tuple[int, int, Sequence[int]]]) -> Array:
    """The kernels' table of int32 words; tinyc_kernels.h describes it.

    `record` gives for a channel what to add to the bias, a word of flags and a shift (below 2^16, and bit 30), and more words.
    """
    words = [index << 8 | value & 0xFF for index, value in p.constants]
    following = [channel.index for channel in p.channels[1:]] + [p.count]
    for channel, following_index in zip(p.channels, following, strict=True):
        offset, flags, rest = record(channel)
        weights, corrections = split(channel.weights)
        sums = len(weights) // GROUP + len(corrections)
        bias = channel.bias + offset
        words += [bias * 65537 - 0x8000 * sums, bias]
        words += weights.view("<i4").tolist()
        words += [CORRECTION | position << 11 | piece & 0xFF for position, piece in corrections]
        words += [flags | (following_index - channel.index) << 16, *rest]
    return (np.array(words, np.int64) & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def scratch(layer: Layer, p: Product) -> int:
    """Bytes: two words per value of a patch, and a row of padding where there is some."""
    padding = 0 if _flat(layer) else layer.input(0).shape[3]
    return groups(p.depth) * GROUP * 8 + padding


def _flat(layer: Layer) -> bool:
    """Whether patches are the input's pixels (or rows) in order."""
    if layer.op == "FULLY_CONNECTED":
        return True
    return layer.input(1).shape[1:3] == (1, 1) and tuple(layer.attributes["stride"]) == (1, 1)


def bind(layer: Layer, p: Product, table: Array) -> Binding:
    """A call with `tinyc_conv_2d_packed_params`."""
    source, output = layer.input(0), layer.output
    rows = output.elements // p.count
    low, high = activation_range(layer.attributes["activation"], output)
    fields = {
        "pixels": rows,
        "input_depth": p.depth if layer.op == "FULLY_CONNECTED" else source.shape[3],
        "output_depth": p.count,
        "groups": groups(p.depth),
        "constants": len(p.constants),
        "first_channel": p.channels[0].index if p.channels else p.count,
        "activation_min": low,
        "activation_max": high,
        "flat": int(_flat(layer)),
    }
    names = ("output", "input", "filter", "stride", "dilation", "pad")
    if layer.op == "FULLY_CONNECTED":
        geometry = dict.fromkeys([f"{name}_{axis}" for name in names for axis in ("height", "width")], 1)
    else:
        height, width = axes(layer)
        geometry = {}
        for name, field in zip(names, ("output", "input", "taps", "stride", "dilation", "pad"), strict=True):
            geometry |= {f"{name}_height": getattr(height, field), f"{name}_width": getattr(width, field)}
    params = Params(
        "tinyc_conv_2d_packed_params", {**fields, **geometry, "padding": source.zero_point}
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=params,
        constants=(Constant("stream", table),),
        scratch=scratch(layer, p),
    )
