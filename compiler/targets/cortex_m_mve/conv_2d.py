# SPDX-License-Identifier: Apache-2.0
"""CONV_2D for Helium."""

from __future__ import annotations

from functools import partial

from ...graph import Array, Layer
from ...ops._convolution import axes, multipliers
from ...program import Binding
from .. import Kernel
from . import _channels, _gemm, _taps


def _weights(layer: Layer) -> Array:
    """[output channels, ky * kx * i]."""
    data = layer.input(1).data
    assert data is not None
    return data.reshape(data.shape[0], -1)


def _geometry(layer: Layer, apart: bool = False) -> _gemm.Geometry:
    height, width = _channels.lengthwise(layer)
    source, filters = layer.input(0), layer.output.shape[3]
    return _gemm.Geometry(source.shape[0], height, width, source.shape[3], filters, apart)


def _applies(layer: Layer) -> bool:
    dense = layer.input(1).shape[3] == layer.input(0).shape[3]
    adjacent = all(axis.dilation == 1 or axis.taps == 1 for axis in axes(layer))
    return dense and adjacent and _channels.takes(layer, multipliers)


def _applies_apart(layer: Layer) -> bool:
    """Where the output may then start at the input's address."""
    if not _applies(layer) or _geometry(layer).spare:
        return False
    return _gemm.lead(layer, _geometry(layer, apart=True)) == 0 < _gemm.lead(layer, _geometry(layer))


def _bind(layer: Layer, apart: bool) -> Binding:
    weights = _weights(layer)
    return _gemm.bind(layer, _geometry(layer, apart), weights, _channels.channels(layer, weights, *multipliers(layer)))


def _cost(layer: Layer, apart: bool) -> float:
    return _gemm.cost(layer, _geometry(layer, apart))


def _gemm_kernel(apart: bool) -> Kernel:
    bind, cost = partial(_bind, apart=apart), partial(_cost, apart=apart)
    applies = _applies_apart if apart else _applies
    return Kernel("tinyc_conv_2d_s8_mve", "CONV_2D", bind, cost, applies, isa="cortex_m_mve")


def _applies_3x3(layer: Layer) -> bool:
    return _applies(layer) and _taps.fits(_geometry(layer))


def _bind_3x3(layer: Layer) -> Binding:
    data = layer.input(1).data
    assert data is not None
    numbers = _channels.channels(layer, _weights(layer), *multipliers(layer))
    return _taps.bind(layer, _geometry(layer), data, numbers)


def _cost_3x3(layer: Layer) -> float:
    return _taps.cost(layer, _geometry(layer))


KERNELS = (
    _gemm_kernel(apart=False),
    _gemm_kernel(apart=True),
    Kernel("tinyc_conv_3x3_s8_mve", "CONV_2D", _bind_3x3, _cost_3x3, _applies_3x3, isa="cortex_m_mve"),
)
