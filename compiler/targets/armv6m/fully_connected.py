# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED for Armv6-M: row by row, eight channels at a time; or, for four rows and more, as a 1x1 convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...graph import Array, Layer
from ...ops._fixed_point import activation_range
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Table
from .. import Kernel, _groups, _packed_pixels
from .._packed_pixels import Channel
from . import conv_2d
from ._requantize import LONG, record, record_words

#: Channels at a time.
BLOCK = 8


def _stream(p: _packed_pixels.Product, words: int) -> tuple[Array, bool]:
    """(the kernel's table of int32 words, as tinyc_kernels.h describes it; whether one record is for all channels)."""
    found = [record(words)(channel) for channel in _one_range(p.channels)]
    records = np.zeros((p.count, 1 + words), np.int64)
    for channel, (_, flags, rest) in zip(p.channels, found, strict=True):
        records[channel.index] = flags, *rest
    for index, value in p.constants:
        records[index, :4] = LONG, 0, 1, value
    one = bool((records == records[0]).all())
    parts = [_packed_pixels.block_words(p, [offset for offset, _, _ in found], BLOCK), records[:1] if one else records]
    table = np.concatenate([part.reshape(-1) for part in parts])
    return (table & 0xFFFFFFFF).astype(np.uint32).view(np.int32), one


def _one_range(channels: Sequence[Channel]) -> list[Channel]:
    """Channels with one multiplier get the range of them all, so that they get one record."""
    if len({(channel.multiplier, channel.right) for channel in channels}) != 1:
        return list(channels)
    least, most = min(channel.least for channel in channels), max(channel.most for channel in channels)
    return [replace(channel, least=least, most=most) for channel in channels]


def _rows(layer: Layer) -> int:
    return layer.output.elements // layer.input(1).shape[0]


def _applies(layer: Layer) -> bool:
    return _packed_pixels.product(layer) is not None


def _bind(layer: Layer) -> Binding:
    p = _packed_pixels.product(layer)
    assert p is not None
    words = record_words(p)
    table, one = _stream(p, words)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    params = Params(
        "tinyc_fully_connected_armv6m_params",
        {
            "rows": _rows(layer),
            "input_depth": p.depth,
            "output_depth": p.count,
            "record": words,
            "one_record": int(one),
            "activation_min": low,
            "activation_max": high,
        },
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output()),
        params=params,
        constants=(Constant("stream", table),),
        overlap={0: _groups.lead(layer, BLOCK)},
    )


def _cost(layer: Layer) -> float:
    """Fitted to counts with arm-none-eabi-gcc 12 -O2."""
    p = _packed_pixels.product(layer)
    assert p is not None
    blocks = -(-p.count // BLOCK)
    result = 75.0 if any(c.low < c.zero_point for c in p.channels) else 58.5
    return 40.0 + _rows(layer) * (30.0 + blocks * (33.0 * p.depth + 90.0) + result * p.count)


KERNELS = (
    Kernel("tinyc_fully_connected_s8_armv6m", "FULLY_CONNECTED", _bind, _cost, _applies, isa="armv6m"),
    Kernel("tinyc_conv_2d_s8_armv6m", "FULLY_CONNECTED", conv_2d.bind, conv_2d.cost, conv_2d.applies, isa="armv6m"),
)
