# SPDX-License-Identifier: Apache-2.0
"""Weights packed for tinyc_conv_1x1_s8_dsp: a matrix product with two output channels stacked into each halfword.

The halfword B * 256 + A holds the weights of a pair of channels. SMLAD with it sums 256 * sum(x * B) + sum(x * A); SMLAD
with its sign-extended low byte sums sum(x * A); the difference gives sum(x * B). So a step of 16 multiply-accumulates
widens two words of weights instead of four, and the weights still take one byte each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...graph import Array, Layer
from ...ops._fixed_point import activation_range
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table

#: Right shifts that the kernel's 6-instruction requantization does exactly, while |accumulator| is below ACCUMULATOR_LIMIT.
SHIFTS = range(1, 23)
ACCUMULATOR_LIMIT = 1 << 30

#: An odd channel's sum times 256 must fit into 32 bits.
STACKED_LIMIT = 1 << 23


@dataclass(frozen=True)
class Product:
    """A layer as a matrix product: `weights` [output channels, depth] int8, the rest one entry per channel.

    `bias` is int64 with the input offset folded in; `multiplier` and `shift` are TFLite's (a right shift is negative).
    """

    rows: int
    weights: Array
    bias: Array
    multiplier: Array
    shift: Array


def product(layer: Layer, rows: int, weights: Array, multiplier: Array, shift: Array) -> Product:
    """`layer`, of constant `weights` [channels, depth] and constant or absent bias, applied to `rows` pixels."""
    bias = layer.optional(2)
    start = np.zeros(len(weights), np.int64)
    if bias is not None:
        assert bias.data is not None
        start += bias.data.astype(np.int64).reshape(-1)
    start -= layer.input(0).zero_point * weights.astype(np.int64).sum(axis=1)
    return Product(rows, weights, start, multiplier, shift)


def accumulator_bound(p: Product) -> Array:
    """The largest |accumulator| of each channel over all int8 inputs."""
    weights = p.weights.astype(np.int64)
    ends = np.stack([weights * -128, weights * 127])
    low: Array = p.bias + ends.min(axis=0).sum(axis=1)
    high: Array = p.bias + ends.max(axis=0).sum(axis=1)
    bound: Array = np.maximum(np.abs(low), np.abs(high))
    return bound


def always_zero(p: Product) -> Array:
    """Channels whose requantized accumulator is 0 for every input: multiplier 0, or shifted out completely."""
    right = np.maximum(-p.shift.astype(np.int64), 0)
    high = accumulator_bound(p) * p.multiplier.astype(np.int64) // (1 << 31) + 1
    zero: Array = (p.multiplier == 0) | ((right > 0) & (high < (np.int64(1) << right) // 2))
    return zero


def exact(p: Product) -> bool:
    """Whether the kernel's arithmetic is exact for every channel and every input."""
    bound = accumulator_bound(p)
    shifts = np.isin(-p.shift.astype(np.int64), list(SHIFTS)) | always_zero(p)
    odd = p.weights[1::2].astype(np.int64)
    even = p.weights[0::2][: len(odd)].astype(np.int64)
    stacked = odd * 256 + even
    return bool(
        shifts.all()
        and (bound < ACCUMULATOR_LIMIT).all()
        and (bound[1::2] < STACKED_LIMIT).all()
        and (stacked >= -(1 << 15)).all()
        and (stacked < 1 << 15).all()
    )


def pack(p: Product, output_zero_point: int) -> Array:
    """The kernel's table of int32 words; tinyc_kernels.h describes it."""
    channels, depth = p.weights.shape
    blocks, groups = -(-channels // 4), -(-depth // 4)
    weights = np.zeros((blocks * 4, groups * 4), np.int64)
    weights[:channels, :depth] = p.weights
    bias = _padded(p.bias, blocks)
    starts = np.stack([bias[:, 0], bias[:, 0] + 256 * bias[:, 1], bias[:, 2], bias[:, 2] + 256 * bias[:, 3]], axis=1)
    # [block, pair of channels, A or B, group of four k, high or low half, k even or odd]
    lanes = weights.reshape(blocks, 2, 2, groups, 2, 2)
    halves = (lanes[:, :, 1] * 256 + lanes[:, :, 0]) & 0xFFFF
    words = halves[:, :, :, 0] | halves[:, :, :, 1] << 16
    steps = words.transpose(0, 2, 3, 1).reshape(blocks, groups * 4)
    zero = always_zero(p)
    right = np.where(zero, 1, -p.shift.astype(np.int64))
    rounding = (np.int64(1) << (right - 1)) + (np.int64(output_zero_point) << right)
    records = np.stack(
        [_padded(np.where(zero, 0, p.multiplier), blocks), _padded(rounding, blocks), _padded(right, blocks)], axis=2
    )
    table = np.concatenate([starts, steps, records.reshape(blocks, 12)], axis=1)
    return (table & 0xFFFFFFFF).astype(np.uint32).view(np.int32).reshape(-1)


def _padded(values: Array, blocks: int) -> Array:
    """One int64 per channel as [block, channel of the block], zeros after the last."""
    padded = np.zeros(blocks * 4, np.int64)
    padded[: len(values)] = values
    return padded.reshape(blocks, 4)


def bind(layer: Layer, p: Product) -> Binding:
    """The call of tinyc_conv_1x1_s8_dsp."""
    channels, depth = p.weights.shape
    low, high = activation_range(layer.attributes["activation"], layer.output)
    params = Params(
        "tinyc_conv_1x1_dsp_params",
        {
            "pixels": p.rows,
            "input_depth": depth,
            "output_depth": channels,
            "activation_min": low,
            "activation_max": high,
        },
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=params,
        constants=(Constant("stream", pack(p, layer.output.zero_point)),),
        scratch=-(-depth // 4) * 16 + 8,
    )


def cost(layer: Layer, rows: int, channels: int, depth: int) -> float:
    """Instructions of tinyc_conv_1x1_s8_dsp for `rows` pixels.

    Fitted to counts on Cortex-M4 with arm-none-eabi-gcc 12 -O2, which are within 5 % but for the smallest layers. Per
    multiply-accumulate: 125 pixels 64 to 64 channels 0.95, 36 pixels 128 to 128 0.86, 2304 pixels 8 to 16 2.20, 576 pixels
    16 to 32 1.41; -Os and zig -O2 are within 2 % of that.
    """
    steps = -(-depth // 4) * 2
    block = 12.0 * steps + 3.0 * -(-(steps - 1) // 8) + 66.0
    pair = 55.0 + 8.5 * steps + -(-channels // 4) * block + (50.0 if channels % 4 else 0.0)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    return 60.0 + -(-rows // 2) * pair + (0.0 if (low, high) == (-128, 127) else 10.0 * rows * channels)
