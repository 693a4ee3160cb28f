# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED for Armv6-M: row by row, eight channels at a time; or, for four rows and more, as a 1x1 convolution."""

from __future__ import annotations

import numpy as np

from ...graph import Array, Layer
from ...ops._fixed_point import activation_range
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Table
from .. import Kernel, _packed_pixels
from . import conv_2d
from ._requantize import LONG, record, record_words

#: Channels at a time.
BLOCK = 8


def _stream(p: _packed_pixels.Product, words: int) -> Array:
    """The kernel's table of int32 words; tinyc_kernels.h describes it."""
    blocks = -(-p.count // BLOCK)
    weights = np.zeros((blocks * BLOCK, p.depth), np.int8)
    bias = np.zeros(blocks * BLOCK, np.int64)
    records = np.zeros((blocks * BLOCK, 1 + words), np.int64)
    for channel in p.channels:
        offset, flags, rest = record(words)(channel)
        weights[channel.index] = channel.weights
        bias[channel.index] = channel.bias + offset
        records[channel.index] = flags, *rest
    for index, value in p.constants:
        records[index, :4] = LONG, 0, 1, value
    lanes = np.ascontiguousarray(weights.reshape(blocks, BLOCK, p.depth).transpose(0, 2, 1)).reshape(blocks, -1)
    table = np.concatenate([bias.reshape(blocks, -1), lanes.view("<i4"), records.reshape(blocks, -1)], axis=1)
    return (table & 0xFFFFFFFF).astype(np.uint32).view(np.int32).reshape(-1)


def _rows(layer: Layer) -> int:
    return layer.output.elements // layer.input(1).shape[0]


def _applies(layer: Layer) -> bool:
    return _packed_pixels.product(layer) is not None


def _bind(layer: Layer) -> Binding:
    p = _packed_pixels.product(layer)
    assert p is not None
    words = record_words(p)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    params = Params(
        "tinyc_fully_connected_armv6m_params",
        {
            "rows": _rows(layer),
            "input_depth": p.depth,
            "output_depth": p.count,
            "record": words,
            "activation_min": low,
            "activation_max": high,
        },
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output()),
        params=params,
        constants=(Constant("stream", _stream(p, words)),),
    )


def _cost(layer: Layer) -> float:
    """Fitted to counts with arm-none-eabi-gcc 12 -O2."""
    p = _packed_pixels.product(layer)
    assert p is not None
    blocks = -(-p.count // BLOCK)
    return 40.0 + _rows(layer) * (30.0 + blocks * (33.0 * p.depth + 90.0) + 45.0 * p.count)


KERNELS = (
    Kernel("tinyc_fully_connected_s8_armv6m", "FULLY_CONNECTED", _bind, _cost, _applies, isa="armv6m"),
    Kernel("tinyc_conv_2d_s8_armv6m", "FULLY_CONNECTED", conv_2d.bind, conv_2d.cost, conv_2d.applies, isa="armv6m"),
)
