# SPDX-License-Identifier: Apache-2.0
"""What the Helium kernels of convolutions and FULLY_CONNECTED share: per-channel numbers, and which layers they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...graph import Array, Layer
from ...ops._convolution import Axis, axes
from ...ops._fixed_point import activation_range
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Scalar, Scratch, Table

#: Multipliers and shifts per output channel, as TFLite has them.
Multipliers = Callable[[Layer], tuple[Array, Array]]


@dataclass(frozen=True)
class Channels:
    """Per output channel, int64: `bias`, mostly with the input offset folded in, `multiplier`, `shift` (0 to -31).

    `ties`: whether rounding of negative values matters, see tinyc_mve.h.
    """

    bias: Array
    multiplier: Array
    shift: Array
    ties: bool


def channels(layer: Layer, weights: Array, multiplier: Array, shift: Array) -> Channels:
    """The numbers of `layer`, whose constant `weights` are [output channels, depth]."""
    bias = layer.optional(2)
    start = np.zeros(len(weights), np.int64)
    if bias is not None:
        assert bias.data is not None
        start += bias.data.astype(np.int64).reshape(-1)
    start -= layer.input(0).zero_point * weights.astype(np.int64).sum(axis=1)
    low, _ = clamps(layer)
    return Channels(start, multiplier.astype(np.int64), shift.astype(np.int64), low < layer.output.zero_point)


def clamps(layer: Layer) -> tuple[int, int]:
    """The output range of the layer's activation."""
    return activation_range(layer.attributes["activation"], layer.output)


def lengthwise(layer: Layer) -> tuple[Axis, Axis]:
    """Height and width of a convolution; those of a single column are swapped: it lies in memory as a row, which is faster."""
    height, width = axes(layer)
    return (width, height) if width.input == width.taps == 1 else (height, width)


def is_clamped(layer: Layer) -> bool:
    """Whether the range is smaller than int8, which costs another pass."""
    return clamps(layer) != (-128, 127)


def takes(layer: Layer, multipliers: Multipliers) -> bool:
    """Whether weights and bias are constants and no channel is scaled up (a left shift)."""
    bias = layer.optional(2)
    if not layer.input(1).constant or (bias is not None and not bias.constant):
        return False
    multiplier, shift = multipliers(layer)
    return bool(((shift <= 0) | (multiplier == 0)).all())


def words(values: Array) -> Array:
    """int64 values as int32 words, modulo 2^32."""
    return (values & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def padded(values: Array, count: int) -> Array:
    """`values` with zero rows appended up to `count` rows."""
    result = np.zeros((count, *values.shape[1:]), values.dtype)
    result[: len(values)] = values
    return result


def call(params: Params, stream: Array, scratch: int, overlap: Mapping[int, int]) -> Binding:
    """The call that these kernels have: (params, input, stream, output, scratch or NULL)."""
    memory = Scratch() if scratch else Scalar(0)
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), memory),
        params=params,
        constants=(Constant("stream", stream),),
        scratch=scratch,
        overlap=overlap,
    )
