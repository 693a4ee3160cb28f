# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED for Helium: a kernel for few rows, and that of convolutions with the rows as pixels."""

from __future__ import annotations

import numpy as np

from ...graph import Array, Layer
from ...ops import fully_connected
from ...ops._convolution import Axis
from ...program import Binding
from .. import Kernel
from . import _channels, _gemm, _rows


def _row_count(layer: Layer) -> int:
    return layer.output.elements // layer.input(1).shape[0]


def _weights(layer: Layer) -> Array:
    data = layer.input(1).data
    assert data is not None
    return data


def _multipliers(layer: Layer) -> tuple[Array, Array]:
    """One per output channel, also where the layer has one for all."""
    multiplier, shift = fully_connected.multipliers(layer)
    units = layer.input(1).shape[0]
    return np.broadcast_to(multiplier, units), np.broadcast_to(shift, units)


def _channels_of(layer: Layer) -> _channels.Channels:
    return _channels.channels(layer, _weights(layer), *_multipliers(layer))


def _geometry(layer: Layer) -> _gemm.Geometry:
    units, depth = layer.input(1).shape
    rows = _row_count(layer)
    return _gemm.Geometry(1, Axis(1, 1, 1, 1, 1, 0), Axis(rows, 1, 1, 1, rows, 0), depth, units)


def _applies(layer: Layer) -> bool:
    return layer.input(1).zero_point == 0 and _channels.takes(layer, _multipliers)


def _bind(layer: Layer) -> Binding:
    return _rows.bind(layer, _row_count(layer), _weights(layer), _channels_of(layer))


def _cost(layer: Layer) -> float:
    units, depth = layer.input(1).shape
    return _rows.cost(layer, _row_count(layer), units, depth)


def _bind_many(layer: Layer) -> Binding:
    return _gemm.bind(layer, _geometry(layer), _weights(layer), _channels_of(layer))


def _cost_many(layer: Layer) -> float:
    return _gemm.cost(layer, _geometry(layer))


KERNELS = (
    Kernel("tinyc_fully_connected_s8_mve", "FULLY_CONNECTED", _bind, _cost, _applies, isa="cortex_m_mve"),
    Kernel("tinyc_conv_2d_s8_mve", "FULLY_CONNECTED", _bind_many, _cost_many, _applies, isa="cortex_m_mve"),
)
