# SPDX-License-Identifier: Apache-2.0
"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED as one filter per output channel, with the range of every sum.

Channels whose output is the same for every input are told apart: kernels need not compute them, and what their multipliers
and biases are does not matter (MLPerf Tiny's visual wake words has 985 of them).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..graph import Array, Layer
from ..ops import _convolution, fully_connected
from ..ops._fixed_point import activation_range, multiply_by_quantized_multiplier, wrap_int32


@dataclass(frozen=True, eq=False)
class Filters:
    """A layer's output channels. Arrays have one entry per channel that depends on the input, in order of `index`.

    Attributes:
        weights: [channels, depth] int64, taps in the order rows, columns, input channels.
        bias: int64, the input offset folded in: a sum is bias + sum of inputs times weights. Padding counts as the zero point.
        least, most: range of each sum over all int8 inputs; |sum| < 2^31.
        multiplier, shift: TFLite's (a right shift is negative).
        index: the channel in the output.
        constants: (channel, value) of the others.
        count: channels of the output.
        low, high: the output's clamp.
    """

    weights: Array
    bias: Array
    least: Array
    most: Array
    multiplier: Array
    shift: Array
    index: Array
    constants: tuple[tuple[int, int], ...]
    count: int
    zero_point: int
    low: int
    high: int
    live: int = field(init=False)
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "live", len(self.index))
        object.__setattr__(self, "depth", self.weights.shape[1])

    @property
    def clamps_negative(self) -> bool:
        """Whether every sum below zero gives `low`, the output's zero point."""
        return self.low == self.zero_point


def filters(layer: Layer) -> Filters | None:
    """The layer's filters; None where weights or bias are computed, sums may wrap, or the filter has groups or a zero point."""
    weights, bias = layer.input(1), layer.optional(2)
    if weights.data is None or (bias is not None and bias.data is None):
        return None
    matrix = _matrix(layer)
    if matrix is None:
        return None
    wide = matrix.astype(np.int64)
    if layer.op == "FULLY_CONNECTED":
        multiplier, shift = (np.broadcast_to(v, len(wide)) for v in fully_connected.multipliers(layer))
    else:
        multiplier, shift = _convolution.multipliers(layer)
    start = np.zeros(len(wide), np.int64)
    if bias is not None:
        assert bias.data is not None
        start += bias.data.astype(np.int64).reshape(-1)
    start -= layer.input(0).zero_point * wide.sum(axis=1)
    least = start + np.minimum(wide * -128, wide * 127).sum(axis=1)
    most = start + np.maximum(wide * -128, wide * 127).sum(axis=1)
    if (least < -(2**31)).any() or (most >= 2**31).any():
        return None
    low, high = activation_range(layer.attributes["activation"], layer.output)
    ends = [_output(layer, end, multiplier, shift, low, high) for end in (least, most)]
    # A left shift may wrap, and is then not monotonic.
    monotonic = np.maximum(np.abs(least), np.abs(most)) << np.maximum(shift.astype(np.int64), 0) < 2**31
    constant = (ends[0] == ends[1]) & (monotonic | (least == most))
    chosen = np.flatnonzero(~constant)
    return Filters(
        weights=wide[chosen],
        bias=start[chosen],
        least=least[chosen],
        most=most[chosen],
        multiplier=multiplier.astype(np.int64)[chosen],
        shift=shift.astype(np.int64)[chosen],
        index=chosen,
        constants=tuple((int(i), int(ends[0][i])) for i in np.flatnonzero(constant)),
        count=len(wide),
        zero_point=layer.output.zero_point,
        low=low,
        high=high,
    )


def _matrix(layer: Layer) -> Array | None:
    """Weights as [output channels, depth]."""
    weights = layer.input(1)
    assert weights.data is not None
    if layer.op == "FULLY_CONNECTED":
        return weights.data if weights.zero_point == 0 else None
    if layer.op == "DEPTHWISE_CONV_2D":
        return weights.data.reshape(-1, weights.shape[3]).T
    if weights.shape[3] != layer.input(0).shape[3]:
        return None
    return weights.data.reshape(weights.shape[0], -1)


def _output(layer: Layer, sums: Array, multiplier: Array, shift: Array, low: int, high: int) -> Array:
    scaled = multiply_by_quantized_multiplier(sums, multiplier.astype(np.int64), shift) + layer.output.zero_point
    result: Array = np.clip(wrap_int32(scaled), low, high)
    return result
