# SPDX-License-Identifier: Apache-2.0
"""Weights packed for tinyc_fully_connected_s8_mve: eight channels of one row at a time."""

from __future__ import annotations

import numpy as np

from ...graph import Array, Layer
from ...program import Binding, Params
from .. import _groups, _overlap
from ._channels import Channels, call, clamps, is_clamped, padded, words

#: Order of the eight channels: narrowing to 16 bits interleaves the first four with the last four.
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def pack(weights: Array, channels: Channels) -> Array:
    """The stream of int32 words that tinyc_kernels.h describes, from int8 `weights` [output channels, depth]."""
    units, depth = weights.shape
    groups, steps = -(-units // 8), -(-depth // 16)
    lanes = np.zeros((groups * 8, steps * 16), np.int8)
    lanes[:units, :depth] = weights
    ordered = lanes.reshape(groups, 8, steps, 16)[:, ORDER].transpose(0, 2, 1, 3)
    products = np.ascontiguousarray(ordered).view(np.int32).reshape(groups, steps * 32)
    records = words(padded(np.stack([channels.bias, channels.multiplier, channels.shift], axis=1), groups * 8))
    bias, multiplier, shift = records.reshape(groups, 8, 3)[:, ORDER].transpose(2, 0, 1)
    return np.concatenate([bias, products, multiplier, shift], axis=1).reshape(-1)


def bind(layer: Layer, rows: int, weights: Array, channels: Channels) -> Binding:
    """The call of tinyc_fully_connected_s8_mve."""
    units, depth = weights.shape
    low, high = clamps(layer)
    params = Params(
        "tinyc_fully_connected_mve_params",
        {
            "batches": rows,
            "input_depth": depth,
            "output_depth": units,
            "output_zero_point": layer.output.zero_point,
            "activation_min": low,
            "activation_max": high,
            "ties": int(channels.ties),
        },
    )
    stream = pack(weights, channels)
    if depth % 16:
        return call(params, stream, -(-depth // 16) * 16, {0: _overlap.lead(layer, buffered=True)})
    return call(params, stream, 0, {0: _groups.lead(layer, 8)})


def cost(layer: Layer, rows: int, units: int, depth: int) -> float:
    """Instructions of tinyc_fully_connected_s8_mve; those of the assembly are counted, the rest fitted."""
    steps = -(-depth // 16)
    ties = clamps(layer)[0] < layer.output.zero_point
    group = 17 * steps + 2 * ((steps - 1) // 8) + 30 + (4 if ties else 0)
    row = 45 + -(-units // 8) * group + (10 * steps if depth % 16 else 0)
    return 90 + rows * row + (0.6 * rows * units if is_clamped(layer) else 0.0)
