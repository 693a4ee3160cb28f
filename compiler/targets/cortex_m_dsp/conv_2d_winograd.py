# SPDX-License-Identifier: Apache-2.0
"""CONV_2D 3x3, stride 1, for the DSP extension by Winograd's algorithm F(2x2, 3x3), exact in integers.

A tile of 2x2 outputs takes 16 multiplications per input channel instead of 36: with the matrices B, G, A of the algorithm,

    outputs = At [ (G g Gt) * (Bt d B) ] A,    d: 4x4 inputs, g: 3x3 weights, *: place by place, summed over channels.

2G has integers only, so that (2G) g (2G)t makes the outputs four times the sums. Both factors fit into halfwords: weights of up to
9 * 128, inputs of up to 4 * 128. Sums are modulo 2^32, so that only the result needs to fit: four times the accumulator.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...graph import Array, Layer
from ...ops._fixed_point import activation_range
from ...program import Binding
from .. import Kernel
from .._overlap import NOTHING, first_reads
from . import _stream
from .conv_2d_patches import Patches, bind, constant, copying, params, patches, product

TWICE_G = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]], np.int64)

#: Four times the accumulator must fit into 32 bits.
ACCUMULATOR_LIMIT = 1 << 29


def _tiles(layer: Layer) -> Patches:
    """The tiles as outputs of a 4x4 filter with stride 2."""
    p = patches(layer)
    height, width = (replace(axis, taps=4, stride=2, output=-(-axis.output // 2)) for axis in (p.height, p.width))
    return Patches(4, 4 * layer.input(0).shape[3], height, width)


def transformed(weights: Array) -> Array:
    """(2G) g (2G)t of weights [channels, 3, 3, depth], as int64 [channels, place, depth], places in rows of four."""
    channels, _, _, depth = weights.shape
    grid: Array = np.einsum("pi,cijd,qj->cpqd", TWICE_G, weights.astype(np.int64), TWICE_G)
    return grid.reshape(channels, 16, depth)


def pack(layer: Layer) -> Array:
    """The kernel's table of int32 words; tinyc_kernels.h describes it."""
    data = layer.input(1).data
    assert data is not None
    p = product(layer)
    constants, _ = _stream.constant_outputs(p)
    channels, depth = len(data), data.shape[3]
    places = transformed(np.where(constants[:, None, None, None], 0, data))
    # [block, channel of the block, place, group of four k, high or low half, k even or odd]
    lanes = places.reshape(channels // 4, 4, 16, depth // 4, 2, 2) & 0xFFFF
    words = lanes[:, :, :, :, 0] | lanes[:, :, :, :, 1] << 16
    steps = words.transpose(0, 2, 3, 4, 1).reshape(channels // 4, 32 * depth)
    bias = np.where(constants, 0, 4 * p.bias)
    ends = np.concatenate([_stream.records(p, layer.output.zero_point), bias[:, None]], axis=1)
    table = np.concatenate([steps, ends.reshape(channels // 4, 16)], axis=1)
    return (table & 0xFFFFFFFF).astype(np.uint32).view(np.int32).reshape(-1)


def lead(layer: Layer) -> int:
    """The lead over the input: two tiles of 2x2 output pixels at a time, through all images, which are copied to scratch first.

    A tile's first value is its first pixel's, and the last pixel that it writes is its lower right one inside of the image.
    """
    batches, height, width, channels = layer.output.shape
    reads = first_reads(layer).reshape(batches, height, width)[:, ::2, ::2].reshape(-1)
    places = np.arange(layer.output.elements // channels).reshape(batches, height, width)
    lower, right = (np.minimum(np.arange(1, size + 1, 2), size - 1) for size in (height, width))
    ends = (places[:, lower[:, None], right].reshape(-1) + 1) * channels
    later = np.minimum.accumulate(np.append(reads, [NOTHING, NOTHING])[::-1])[::-1]
    reached = np.maximum.accumulate(ends)
    last = np.minimum(np.arange(0, len(reads), 2) + 1, len(reads) - 1)
    return int(np.clip((reached[last] - later[last + 1]).max(), 0, layer.output.bytes))


def _applies(layer: Layer) -> bool:
    channels, rows, columns, depth = layer.input(1).shape
    if (rows, columns) != (3, 3) or channels % 4 or depth % 4 or not constant(layer):
        return False
    p = patches(layer)
    if {(axis.stride, axis.dilation) for axis in (p.height, p.width)} != {(1, 1)}:
        return False
    return _stream.requantizes(product(layer), ACCUMULATOR_LIMIT)


def _bind(layer: Layer) -> Binding:
    tiles = _tiles(layer)
    odd = (layer.output.shape[1] % 2, layer.output.shape[2] % 2)
    depth = layer.input(0).shape[3]
    scratch = 64 * depth + 512 + (tiles.block if tiles.copied else 0)
    return bind(params(layer, tiles, odd), pack(layer), scratch, lead(layer))


def _cost(layer: Layer) -> float:
    """Instructions, counted in the assembly; the rest is fitted to Cortex-M4 with arm-none-eabi-gcc 12 -O2."""
    batches, _, _, channels = layer.output.shape
    depth = layer.input(0).shape[3]
    tiles = _tiles(layer)
    count = batches * tiles.height.output * tiles.width.output
    place = 22.0 + 11.0 * (depth // 2 - 1) + 3.0 * -(-(depth // 2 - 1) // 8)
    pair = 130.0 + channels // 4 * (8.0 + 16.0 * place + 4.0 * 145.0)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    clamp = 0.0 if (low, high) == (-128, 127) else 2.0 * layer.output.elements
    return 100.0 + -(-count // 2) * pair + count * (25.0 + 43.25 * depth) + batches * copying(tiles) + clamp


KERNELS = (Kernel("tinyc_conv_3x3_winograd_s8_dsp", "CONV_2D", _bind, _cost, _applies, isa="cortex_m_dsp"),)
