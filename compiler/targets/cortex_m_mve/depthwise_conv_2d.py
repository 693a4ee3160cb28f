# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D for Helium."""

from __future__ import annotations

from ...graph import Array, Layer
from ...ops._convolution import axes, multipliers
from ...program import Binding
from .. import Kernel
from . import _channels, _patches


def _weights(layer: Layer) -> Array:
    """[ky, kx, channel]."""
    data = layer.input(1).data
    assert data is not None
    return data[0]


def _orientations(layer: Layer) -> list[_patches.Lines]:
    source = layer.input(0)
    if source.shape[3] != layer.output.shape[3]:
        return []
    height, width = axes(layer)
    return _patches.orientations(source.shape[0], height, width, source.shape[3])


def _best(layer: Layer) -> _patches.Lines:
    return min(_orientations(layer), key=lambda lines: _patches.cost(layer, lines))


def _applies(layer: Layer) -> bool:
    return bool(_orientations(layer)) and _channels.takes(layer, multipliers)


def _bind(layer: Layer) -> Binding:
    weights = _weights(layer)
    by_channel = weights.reshape(-1, weights.shape[-1]).T
    return _patches.bind(layer, _best(layer), weights, _channels.channels(layer, by_channel, *multipliers(layer)))


def _cost(layer: Layer) -> float:
    return _patches.cost(layer, _best(layer))


KERNELS = (Kernel("tinyc_depthwise_conv_3x3_s8_mve", "DEPTHWISE_CONV_2D", _bind, _cost, _applies, isa="cortex_m_mve"),)
