# SPDX-License-Identifier: Apache-2.0
"""3x3 convolutions for tinyc_conv_3x3_s8_mve: the taps of a filter row share the columns that they load."""

from __future__ import annotations

import numpy as np

from ...graph import Array, Layer
from ...program import Binding, Params
from ._channels import Channels, call, clamps, is_clamped, padded, words
from ._gemm import ORDER, Geometry


def fits(geometry: Geometry) -> bool:
    """Whether the kernel takes such a convolution."""
    height, width = geometry.height, geometry.width
    same = height.stride == width.stride and height.dilation == width.dilation == 1
    return height.taps == width.taps == 3 and same and width.stride in (1, 2) and width.output >= 4


def scratch(geometry: Geometry) -> int:
    """Three padded rows, and a block's output where its words are not aligned."""
    columns = (geometry.width.output - 1) * geometry.width.stride + 3
    rows = 3 * -(-geometry.depth // 16) * 16 * columns
    return rows + (-(-geometry.filters // 4) * 16 if geometry.filters % 4 else 0)


def pack(weights: Array, channels: Channels, stride: int) -> Array:
    """The stream of int32 words that tinyc_kernels.h describes, from int8 `weights` [output channel, ky, kx, input channel]."""
    filters, _, _, depth = weights.shape
    groups, planes = -(-filters // 4), -(-depth // 16)
    lanes = np.zeros((groups * 4, 3, 3, planes * 16), np.int8)
    lanes[:filters, :, :, :depth] = weights
    if stride == 2:
        lanes = lanes[:, :, (0, 2, 1)]
    # [group, half, channel of the half, ky, tap, plane, lane] → [group, half, plane, ky, tap, channel, lane]
    halves = lanes.reshape(groups, 4, 3, 3, planes, 16)[:, ORDER].reshape(groups, 2, 2, 3, 3, planes, 16)
    products = (
        np.ascontiguousarray(halves.transpose(0, 1, 5, 3, 4, 2, 6)).view(np.int32).reshape(groups, 2, planes * 72)
    )
    records = np.stack([channels.bias, channels.multiplier, channels.shift], axis=1)
    ordered = words(padded(records, groups * 4)).reshape(groups, 4, 3)[:, ORDER].reshape(groups, 2, 6)
    fixes = padded(((channels.shift < 0) & channels.ties).astype(np.int32), groups * 4)
    parts = [products, ordered, fixes.reshape(groups, 4)[:, ORDER].reshape(groups, 2, 2)]
    return np.concatenate(parts, axis=2).reshape(-1)


def bind(layer: Layer, geometry: Geometry, weights: Array, channels: Channels) -> Binding:
    """The call of tinyc_conv_3x3_s8_mve."""
    g, (low, high) = geometry, clamps(layer)
    params = Params(
        "tinyc_conv_3x3_mve_params",
        {
            "batches": g.batches,
            "input_height": g.height.input,
            "input_width": g.width.input,
            "input_depth": g.depth,
            "output_height": g.height.output,
            "output_width": g.width.output,
            "output_depth": g.filters,
            "stride": g.width.stride,
            "pad_height": g.height.pad,
            "pad_width": g.width.pad,
            "input_zero_point": layer.input(0).zero_point,
            "output_zero_point": layer.output.zero_point,
            "activation_min": low,
            "activation_max": high,
        },
    )
    return call(params, pack(weights, channels, g.width.stride), scratch(g), {0: _lead(layer, g)})


def _lead(layer: Layer, g: Geometry) -> int:
    """A row of outputs comes from three rows in scratch; rows are read once, as late as possible."""
    row = layer.output.bytes // (g.batches * g.height.output)
    source = g.width.input * g.depth
    last = g.height.output - 1
    found = 0
    for batch in range(g.batches):
        for output in range(g.height.output):
            read = g.height.input if output == last else max(output * g.height.stride - g.height.pad + 3, 0)
            line = batch * g.height.input + min(read, g.height.input)
            if line < g.batches * g.height.input:
                found = max(found, (batch * g.height.output + output + 1) * row - line * source)
    return min(found, layer.output.bytes)


def cost(layer: Layer, geometry: Geometry) -> float:
    """Instructions of tinyc_conv_3x3_s8_mve; those of the assembly are counted, the rest fitted."""
    g = geometry
    planes, stride = -(-g.depth // 16), g.width.stride
    block = -(-g.filters // 4) * (2 * ((108 if stride == 1 else 117) * planes + 4 * (planes - 1) + 20) + 6) + 13
    blocks = -(-g.width.output // 4)
    row = 60 + blocks * block + (70 if g.width.output % 4 else 0)
    if g.filters % 4:
        row += blocks * (130 + 40 * -(-g.filters // 16))
    load = 35 + planes * (12 + 5 * g.width.input + 4 * ((g.width.output - 1) * stride + 3))
    rows = (g.height.output - 1) * stride + 3
    total = g.batches * (g.height.output * row + rows * load)
    return 80 + total + (0.6 * layer.output.elements if is_clamped(layer) else 0.0)
