# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED for Armv7-M: row by row, eight channels at a time; or, for four rows and more, as a 1x1 convolution."""

from __future__ import annotations

import numpy as np

from ...graph import Array, Layer
from ...ops._fixed_point import activation_range
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Table
from .. import Kernel, _groups, _packed_pixels
from . import conv_2d
from ._requantize import SIGNED, record, signed_record

#: Channels at a time.
BLOCK = 8


def _stream(p: _packed_pixels.Product) -> tuple[Array, bool, bool]:
    """(the kernel's table of int32 words, as tinyc_kernels.h describes it; whether records round by sign; whether all are equal)."""
    found = [record(channel) for channel in p.channels]
    signed = any(flags & SIGNED for _, flags, _ in found)
    if signed:
        found = [signed_record(channel) for channel in p.channels]
    records = np.zeros((-(-p.count // BLOCK) * BLOCK, 3), np.int64)
    for channel, (_, flags, rest) in zip(p.channels, found, strict=True):
        records[channel.index] = flags & 0xFF, *rest
    for index, value in p.constants:
        records[index] = 1, 0, value * 2
    one = bool((records[: p.count] == records[0]).all())
    words = [
        _packed_pixels.block_words(p, [offset for offset, _, _ in found], BLOCK),
        records[[0] * BLOCK if one else slice(None)],
    ]
    table = np.concatenate([part.reshape(-1) for part in words])
    return (table & 0xFFFFFFFF).astype(np.uint32).view(np.int32), signed, one


def _rows(layer: Layer) -> int:
    return layer.output.elements // layer.input(1).shape[0]


def _applies(layer: Layer) -> bool:
    return _packed_pixels.product(layer) is not None


def _bind(layer: Layer) -> Binding:
    p = _packed_pixels.product(layer)
    assert p is not None
    table, signed, one = _stream(p)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    params = Params(
        "tinyc_fully_connected_armv7m_params",
        {
            "rows": _rows(layer),
            "input_depth": p.depth,
            "output_depth": p.count,
            "round_by_sign": int(signed),
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
    low, high = activation_range(layer.attributes["activation"], layer.output)
    clamps = 0.0 if (low, high) == (-128, 127) else 10.0 * p.count
    blocks = -(-p.count // BLOCK)
    block = 17.0 * p.depth + 2.0 * -(-p.depth // 8) + (86.0 if low >= layer.output.zero_point else 110.0)
    return 40.0 + _rows(layer) * (50.0 + blocks * block + (30.0 if p.count % BLOCK else 0.0) + clamps)


KERNELS = (
    Kernel("tinyc_fully_connected_s8_armv7m", "FULLY_CONNECTED", _bind, _cost, _applies, isa="armv7m"),
    Kernel("tinyc_conv_2d_s8_armv7m", "FULLY_CONNECTED", conv_2d.bind, conv_2d.cost, conv_2d.applies, isa="armv7m"),
)
