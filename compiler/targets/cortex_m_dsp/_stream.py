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
from ...ops._fixed_point import activation_range, multiply_by_quantized_multiplier
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table
from .._overlap import blocks, lead

#: Right shifts that the kernel's 6-instruction requantization does exactly, while |accumulator| is below ACCUMULATOR_LIMIT.
SHIFTS = range(1, 23)
ACCUMULATOR_LIMIT = 1 << 30

#: Shifts and |accumulator| for which the shorter requantization does; and how many bits more an even and an odd channel is shifted by.
RELU_SHIFT = 14
RELU_LIMIT = 1 << 29
EVEN_RELU, ODD_RELU = 1, 7

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


def accumulator_ends(p: Product) -> tuple[Array, Array]:
    """The smallest and the largest accumulator of each channel over all int8 inputs."""
    weights = p.weights.astype(np.int64)
    ends = np.stack([weights * -128, weights * 127])
    return p.bias + ends.min(axis=0).sum(axis=1), p.bias + ends.max(axis=0).sum(axis=1)


def constant_outputs(p: Product) -> tuple[Array, Array]:
    """(which channels have the same output for every input, their requantized accumulators); trained models have many of them.

    Requantization is monotonic, so equal results for the smallest and the largest accumulator are the proof.
    """
    ends = accumulator_ends(p)
    low, high = (np.clip(multiply_by_quantized_multiplier(end, p.multiplier, p.shift), -256, 256) for end in ends)
    fits = np.maximum(np.abs(ends[0]), np.abs(ends[1])) << np.maximum(p.shift.astype(np.int64), 0) < 1 << 31
    return fits & (low == high), low


def requantizes(p: Product, limit: int | Array) -> bool:
    """Whether every channel has a right shift that the kernels do, and accumulators below `limit`, or a constant output."""
    constant, _ = constant_outputs(p)
    bound = np.maximum(*(np.abs(end) for end in accumulator_ends(p)))
    return bool((np.isin(-p.shift.astype(np.int64), list(SHIFTS)) & (bound < limit) | constant).all())


def exact(p: Product) -> bool:
    """Whether the arithmetic with stacked weights is exact for every channel and every input."""
    constant, _ = constant_outputs(p)
    weights = np.where(constant[:, np.newaxis], 0, p.weights.astype(np.int64))
    odd = weights[1::2]
    stacked = odd * 256 + weights[0::2][: len(odd)]
    fits = bool((stacked >= -(1 << 15)).all() and (stacked < 1 << 15).all())
    return fits and requantizes(p, np.where(np.arange(len(weights)) % 2, STACKED_LIMIT, ACCUMULATOR_LIMIT))


def relu(p: Product, layer: Layer) -> bool:
    """Whether the shorter requantization is exact for every channel: one rounding, of results that are not below the zero point.

    TFLite Micro's two roundings of x * multiplier * 2^-e are floor((x * multiplier + 2^30 + 2^(30 + e)) / 2^(31 + e)) for results of 0
    and above, and others are clamped. With x times 2^(j + 1), and h the product's high word, that is
    floor((h + 2^(j - 1) + 2^(j - 1 + e)) / 2^(e + j)), as h is itself the floor of a quotient.
    """
    low, _ = activation_range(layer.attributes["activation"], layer.output)
    if low < layer.output.zero_point:
        return False
    constant, _ = constant_outputs(p)
    bound = np.maximum(*(np.abs(end) for end in accumulator_ends(p)))
    return bool(((-p.shift.astype(np.int64) <= RELU_SHIFT) & (bound < RELU_LIMIT) | constant).all())


def records(p: Product, output_zero_point: int, short: bool = False) -> Array:
    """[channel, (multiplier, rounding term, right shift)]; a constant output is in the rounding term of a multiplier of 0.

    `short` is for the requantization of :func:`relu`.
    """
    constant, output = constant_outputs(p)
    right = np.where(constant, 1, -p.shift.astype(np.int64))
    one = np.ones_like(right)
    more = np.where(np.arange(len(right)) % 2, ODD_RELU, EVEN_RELU) if short else np.zeros_like(right)
    half = (one << more - 1) + (one << right + more - 1) if short else one << right - 1
    rounding = np.where(constant, 0, half) + (np.where(constant, output, 0) + output_zero_point << right + more)
    return np.stack([np.where(constant, 0, p.multiplier), rounding, right + more], axis=1)


def pack(p: Product, output_zero_point: int, short: bool = False) -> Array:
    """The kernel's table of int32 words; tinyc_kernels.h describes it. A channel with a constant output has weights of 0."""
    channels, depth = p.weights.shape
    blocks, groups = -(-channels // 4), -(-depth // 4)
    constant, _ = constant_outputs(p)
    weights = np.zeros((blocks * 4, groups * 4), np.int64)
    weights[:channels, :depth] = np.where(constant[:, np.newaxis], 0, p.weights)
    bias = _padded(np.where(constant, 0, p.bias), blocks)
    starts = np.stack([bias[:, 0], bias[:, 0] + 256 * bias[:, 1], bias[:, 2], bias[:, 2] + 256 * bias[:, 3]], axis=1)
    # [block, pair of channels, A or B, group of four k, high or low half, k even or odd]
    lanes = weights.reshape(blocks, 2, 2, groups, 2, 2)
    halves = (lanes[:, :, 1] * 256 + lanes[:, :, 0]) & 0xFFFF
    words = halves[:, :, :, 0] | halves[:, :, :, 1] << 16
    steps = words.transpose(0, 2, 3, 1).reshape(blocks, groups * 4)
    ends = np.zeros((blocks * 4, 3), np.int64)
    ends[:channels] = records(p, output_zero_point, short)
    table = np.concatenate([starts, steps, ends.reshape(blocks, 12)], axis=1)
    return (table & 0xFFFFFFFF).astype(np.uint32).view(np.int32).reshape(-1)


def _padded(values: Array, blocks: int) -> Array:
    """One int64 per channel as [block, channel of the block], zeros after the last."""
    padded = np.zeros(blocks * 4, np.int64)
    padded[: len(values)] = values
    return padded.reshape(blocks, 4)


def pairs_lead(layer: Layer, pixels: int) -> int:
    """The lead over the input of tinyc_gemm_dsp: two of `pixels` output pixels at a time, whose patches are copied to scratch first."""
    return lead(layer, blocks(pixels, 2), buffered=True)


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
            "relu": int(relu(p, layer)),
        },
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=params,
        constants=(Constant("stream", pack(p, layer.output.zero_point, relu(p, layer))),),
        scratch=depth // 4 * 16 + (-(-(depth % 4) // 4) * 24) + 8,
        overlap={0: pairs_lead(layer, p.rows)},
    )


def cost(layer: Layer, rows: int, channels: int, depth: int) -> float:
    """Instructions of tinyc_conv_1x1_s8_dsp for `rows` pixels."""
    return 120.0 + cost_of_patches(layer, rows, channels, 1, depth)


def cost_of_patches(layer: Layer, pixels: int, channels: int, rows: int, run: int) -> float:
    """Instructions of tinyc_gemm_dsp for `pixels` patches of `rows` runs of `run` bytes, and of its callers' clamp.

    Counted in the assembly of runtime_c/internal/tinyc_gemm_dsp.h.
    """
    quads, rest = divmod(run, 4)
    last_quads = -(-rows * rest // 4)
    steps = (rows * quads + last_quads) * 2
    widen = 6.0 + rows * (8.0 + 7.0 * quads + 2.0 * max(1, -(-quads // 4)) + 4.0 * rest)
    widen += 3.0 + (2.0 + 9.0 * last_quads if last_quads else 0.0)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    relu = low >= layer.output.zero_point
    block = (55.0 if relu else 68.0) + 12.0 * steps + 3.0 * -(-(steps - 1) // 8)
    single = (60.0 if relu else 66.0) + 17.0 * (steps // 2 - 1)
    around = widen + 18.0 + (18.0 + 6.0 * (channels % 4) if channels % 4 else 0.0)
    count = -(-channels // 4)
    products = pixels // 2 * (around + count * block) + pixels % 2 * (50.0 + around + count * single)
    return products + (0.0 if (low, high) == (-128, 127) else 2.0 * pixels * channels)
