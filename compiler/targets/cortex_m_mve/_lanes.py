# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions of any kind for tinyc_depthwise_conv_2d_s8_mve: eight channels of one pixel at a time."""

from __future__ import annotations

import numpy as np

from ...graph import Array, Layer
from ...ops._convolution import Axis
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Table
from .. import _groups
from ._channels import Channels, clamps, is_clamped, lengthwise, padded, words
from ._rows import ORDER

#: Input channels are numbered in 16 bits where several output channels share one.
CHANNEL_LIMIT = 1 << 16


def pack(weights: Array, channels: Channels, multiplier: int) -> Array:
    """The stream of int32 words that tinyc_kernels.h describes, from int8 `weights` [ky, kx, channel]."""
    taps, count = weights.shape[0] * weights.shape[1], weights.shape[2]
    groups = -(-count // 8)
    lanes = np.zeros((groups * 8, taps), np.int8)
    lanes[:count] = weights.reshape(taps, count).T
    products = np.ascontiguousarray(lanes.reshape(groups, 8, taps).transpose(0, 2, 1)).view(np.int32)
    records = words(padded(np.stack([channels.bias, channels.multiplier, channels.shift], axis=1), groups * 8))
    bias, scale, shift = records.reshape(groups, 8, 3)[:, ORDER].transpose(2, 0, 1)
    parts = [bias, products.reshape(groups, taps * 2), scale, shift]
    if multiplier > 1:
        sources = padded((np.arange(count) // multiplier).astype(np.uint16), groups * 8)
        parts.insert(1, sources.view(np.int32).reshape(groups, 4))
    return np.concatenate(parts, axis=1).reshape(-1)


def bind(layer: Layer, weights: Array, channels: Channels) -> Binding:
    """The call of tinyc_depthwise_conv_2d_s8_mve. The biases of `channels` are the layer's own."""
    source, output = layer.input(0), layer.output
    height, width = lengthwise(layer)
    low, high = clamps(layer)
    params = Params(
        "tinyc_depthwise_conv_2d_mve_params",
        {
            "batches": source.shape[0],
            "input_height": height.input,
            "input_width": width.input,
            "input_depth": source.shape[3],
            "filter_height": height.taps,
            "filter_width": width.taps,
            "output_height": height.output,
            "output_width": width.output,
            "output_depth": output.shape[3],
            "stride_height": height.stride,
            "stride_width": width.stride,
            "dilation_height": height.dilation,
            "dilation_width": width.dilation,
            "pad_height": height.pad,
            "pad_width": width.pad,
            "input_offset": -source.zero_point,
            "output_zero_point": output.zero_point,
            "activation_min": low,
            "activation_max": high,
        },
    )
    multiplier = output.shape[3] // source.shape[3]
    stream = pack(weights, channels, multiplier)
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output()),
        params=params,
        constants=(Constant("stream", stream),),
        overlap={0: _groups.lead(layer, 8, multiplier=multiplier)},
    )


def _inside(axis: Axis) -> int:
    """Taps inside the image, over all output positions."""
    return sum(max(outputs.stop - outputs.start, 0) for outputs, _ in (axis.inside(tap) for tap in range(axis.taps)))


def cost(layer: Layer) -> float:
    """Instructions of tinyc_depthwise_conv_2d_s8_mve, fitted to 24 layers with arm-none-eabi-gcc 12 -O2; all within 2 %."""
    height, width = lengthwise(layer)
    groups = -(-layer.output.shape[3] // 8)
    rows, columns = _inside(height), _inside(width)
    pixels = height.output * width.output
    per_image = groups * (rows * columns * 9.3 + rows * width.output * 4.5 + pixels * 36) + pixels * 82
    total = 230 + layer.input(0).shape[0] * (per_image + 56 * height.output)
    return total + (0.6 * layer.output.elements if is_clamped(layer) else 0.0)
