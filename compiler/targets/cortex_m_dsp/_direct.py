# SPDX-License-Identifier: Apache-2.0
"""Packing for tinyc_depthwise_direct_s8_dsp, which reads pixels where they are, four channels at a time.

SMLAD multiplies two pairs of halfwords, here two taps of one channel. PKH puts two words, four channels of one tap each, together so that
SXTB16 makes such pairs. Weights are halfwords in flash, already scaled for requantization, taps in pairs.
"""

from __future__ import annotations

import numpy as np

from ...graph import Array, Layer
from ...ops._fixed_point import activation_range
from ...program import Binding, Constant, Input, Output, ParamsPointer, Scalar, Scratch, Table
from .._overlap import first_reads, lead
from . import _planes
from .conv_2d_patches import params, patches


def taps(layer: Layer) -> int:
    """Taps in the table: those of the filter, at least two."""
    return max(layer.input(1).shape[1] * layer.input(1).shape[2], 2)


def requantization(layer: Layer) -> tuple[_planes.Channels, _planes.Scaled, bool] | None:
    """(channels, their requantization, whether it is the one of a ReLU); None when neither is exact."""
    c = _planes.channels(layer, False)
    relu = _planes.relu(c)
    scaled = relu or _planes.signed(c)
    return None if scaled is None else (c, scaled, relu is not None)


def table(c: _planes.Channels, scaled: _planes.Scaled, relu: bool) -> Array:
    """The kernel's table of int32 words; tinyc_kernels.h describes it."""
    channels = len(c.weights)
    weights = c.weights.reshape(channels, -1) << scaled.power[:, None]
    weights = np.pad(weights, ((0, -channels % 4), (0, max(2 - weights.shape[1], 0))))
    blocks, count = len(weights) // 4, weights.shape[1]
    lanes = weights.reshape(blocks, 4, count) & 0xFFFF
    pairs = lanes[:, :, : count // 2 * 2].reshape(blocks, 4, -1, 2).transpose(0, 2, 1, 3)
    parts = [_by_four(scaled.bias), (pairs[..., 0] | pairs[..., 1] << 16).reshape(blocks, -1)]
    if count % 2:
        parts.append(lanes[:, :2, -1] | lanes[:, 2:, -1] << 16)
    if relu:
        ends = np.stack([_by_four(scaled.multiplier), _by_four(_rounding(c, scaled))], axis=1)
        parts.append(ends.reshape(blocks, 2, 2, 2).transpose(0, 2, 1, 3).reshape(blocks, -1))
    else:
        rounding = (2 * c.zero_point + 1) << scaled.tail - 1
        ends = np.stack([_by_four(values) for values in (scaled.multiplier, rounding, scaled.tail)], axis=2)
        parts.append(ends.reshape(blocks, -1))
    return (np.concatenate(parts, axis=1) & 0xFFFFFFFF).astype(np.uint32).view(np.int32).reshape(-1)


def _rounding(c: _planes.Channels, scaled: _planes.Scaled) -> Array:
    """The rounding term of each channel's requantization where it is the one of a ReLU."""
    term: Array = (1 << _planes.RELU_SHIFT - 1) + (c.zero_point << _planes.RELU_SHIFT) + scaled.tail
    return term


def _by_four(values: Array) -> Array:
    """One value per channel as [block, channel of the block], zeros after the last."""
    padded: Array = np.pad(values, (0, -len(values) % 4)).reshape(-1, 4)
    return padded


def bordered(layer: Layer) -> bool:
    """Whether some outputs are not computed where their windows are, but from a list of addresses, some of zero points."""
    rows, columns = patches(layer).inside
    return (rows[1] - rows[0], columns[1] - columns[0]) != layer.output.shape[1:3]


def scratch(layer: Layer) -> int:
    """Bytes of scratch memory."""
    depth, border = layer.input(0).shape[3], bordered(layer)
    listed = border or depth % 4 or layer.input(1).shape[1:3] != (3, 3)
    copies = 4 + 4 * taps(layer) if depth % 4 else 0
    return (4 * taps(layer) if listed else 0) + copies + (depth if border else 0)


def bind(layer: Layer) -> Binding:
    """The call of the kernel."""
    found = requantization(layer)
    assert found is not None
    c, scaled, relu = found
    needed = scratch(layer)
    return Binding(
        args=(ParamsPointer(), Input(0), Table("records"), Output(), Scratch() if needed else Scalar(0)),
        params=params(layer, patches(layer), relu=relu),
        constants=(Constant("records", table(c, scaled, relu)),),
        scratch=needed,
        overlap={0: lead(layer, buffered=True)},
    )


def cost(layer: Layer, relu: bool) -> float:
    """Instructions, counted in the assembly; around it fitted to Cortex-M4 with arm-none-eabi-gcc 12 -O2."""
    batches, height, width, depth = layer.output.shape
    (top, bottom), (left, right) = patches(layer).inside
    rows, columns, count = bottom - top, right - left, taps(layer)
    block, rest = depth // 4, depth % 4
    end = 22.0 if relu else 32.0
    listed = 17.0 * (count // 2) + 9.0 * (count % 2) + end + 3.0
    inside, border = rows * columns, height * width - rows * columns
    fast = inside if layer.input(1).shape[1:3] == (3, 3) and not rest else 0
    total = fast * (13.0 + block * (59.0 + end + 2.0)) + (inside - fast + border) * (13.0 + block * listed)
    making = 55.0 + 12.0 * layer.input(1).shape[1] + 8.0 * count
    if rest:
        making += 60.0 + listed + count * (9.0 + 6.0 * rest)
    runs = rows if columns and not rest else inside
    total += runs * 75.0 + (border + (runs if not fast else 0)) * making + (75.0 * border)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    clamp = 0.0 if (low, high) == (-128, 127) else 2.0 * layer.output.elements
    return 80.0 + (4.0 * depth if border else 0.0) + batches * total + clamp


# Two pixels at a time


def pairs_apply(layer: Layer) -> bool:
    """Whether the kernel for pairs of pixels takes the layer, whose filter and bias are constant."""
    return (
        layer.attributes["depth_multiplier"] == 1
        and layer.input(1).shape[1:3] == (3, 3)
        and layer.input(0).shape[3] % 4 == 0
        and layer.attributes["stride"][1] == 1
        and layer.attributes["dilation"][1] == 1
        and _planes.relu(_planes.channels(layer, False)) is not None
    )


def pairs_table(c: _planes.Channels, scaled: _planes.Scaled) -> Array:
    """The table of tinyc_depthwise_direct_pairs_relu_s8_dsp, 8 int32 words per channel; tinyc_kernels.h describes it."""
    weights = c.weights << scaled.power[:, None, None] & 0xFFFF
    columns = weights[:, 0] | weights[:, 1] << 16
    last = weights[:, 2, :2] | weights[:, 2, 1:] << 16
    words = [columns, scaled.bias[:, None], last, scaled.multiplier[:, None], _rounding(c, scaled)[:, None]]
    return (np.concatenate(words, axis=1) & 0xFFFFFFFF).astype(np.uint32).view(np.int32).reshape(-1)


def _pairs(layer: Layer) -> list[tuple[int, int]]:
    """Output pixels [first, end) that are computed together: two of a row, or its last one."""
    width = layer.output.shape[2]
    rows = layer.output.elements // layer.output.shape[3] // width
    return [(row * width + x, row * width + min(x + 2, width)) for row in range(rows) for x in range(0, width, 2)]


def pairs_lead(layer: Layer) -> int:
    """The lead over the input.

    Pairs are done in order, but four channels after the other: where there are more, the second pixel's output must not be ahead of the
    first column that the pair reads, whose later channels are needed yet.
    """
    reads, parts, depth = first_reads(layer), _pairs(layer), layer.output.shape[3]
    between = lead(layer, parts, buffered=True)
    within = max((end - 1) * depth - int(reads[first:end].min()) for first, end in parts) if depth > 4 else 0
    return int(np.clip(max(within, between), 0, layer.output.bytes))


def pairs_bind(layer: Layer) -> Binding:
    """The call of tinyc_depthwise_direct_pairs_relu_s8_dsp."""
    c = _planes.channels(layer, False)
    scaled = _planes.relu(c)
    assert scaled is not None
    needed = layer.input(0).shape[3] if bordered(layer) else 0
    return Binding(
        args=(ParamsPointer(), Input(0), Table("records"), Output(), Scratch() if needed else Scalar(0)),
        params=params(layer, patches(layer), relu=True),
        constants=(Constant("records", pairs_table(c, scaled)),),
        scratch=needed,
        overlap={0: pairs_lead(layer)},
    )


def pairs_cost(layer: Layer) -> float:
    """Instructions, counted in the assembly; around it fitted to Cortex-M4 with arm-none-eabi-gcc 12 -O2."""
    batches, height, width, depth = layer.output.shape
    (top, bottom), (left, right) = patches(layer).inside
    blocks, pairs, singles = depth // 4, width // 2, width % 2
    joined = (bottom - top) * max(0, (right - left - left % 2) // 2 - 1)
    calls = height * pairs - joined
    total = height * (90.0 + pairs * 138.0 * blocks + singles * (100.0 + 92.0 * blocks)) + 13.0 * joined + 104.0 * calls
    low, high = activation_range(layer.attributes["activation"], layer.output)
    clamp = 0.0 if (low, high) == (-128, 127) else 2.0 * layer.output.elements
    return 55.0 + (1.0 * depth if bordered(layer) else 0.0) + batches * total + clamp
