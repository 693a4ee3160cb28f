# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D for Helium: a kernel for filters up to 3x3, one for all others, and that of convolutions for one input channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...graph import Array, Layer
from ...ops._convolution import axes, multipliers
from ...program import Binding
from .. import Kernel
from . import _channels, _gemm, _lanes, _patches


def _weights(layer: Layer) -> Array:
    """[ky, kx, channel]."""
    data = layer.input(1).data
    assert data is not None
    weights: Array = data[0]
    return weights


def _by_channel(layer: Layer) -> Array:
    """[channel, ky * kx]."""
    weights = _weights(layer)
    by_channel: Array = weights.reshape(-1, weights.shape[-1]).T
    return by_channel


def _orientations(layer: Layer) -> list[_patches.Lines]:
    source = layer.input(0)
    if source.shape[3] != layer.output.shape[3]:
        return []
    height, width = axes(layer)
    return _patches.orientations(source.shape[0], height, width, source.shape[3])


def _fastest(layer: Layer) -> _patches.Lines | None:
    return min(_orientations(layer), key=lambda lines: _patches.cost(layer, lines), default=None)


def _rows(layer: Layer) -> _patches.Lines | None:
    """Strips of rows of 16 channels: they can overlap their input. None where the fastest way does, and takes no more scratch."""
    fastest = _fastest(layer)
    found = (replace(lines, small=True, kept=False) for lines in _orientations(layer) if lines.by_rows)
    return next((lines for lines in found if fastest is not None and not _as_good(fastest, lines)), None)


def _as_good(fastest: _patches.Lines, rows: _patches.Lines) -> bool:
    anywhere = not fastest.kept or fastest.pass_channels == fastest.channels
    return fastest.by_rows and anywhere and fastest.scratch <= rows.scratch


def _least(layer: Layer) -> _patches.Lines | None:
    """The least scratch of those that work in place. None where that is the fastest way."""
    fastest = _fastest(layer)
    kept = [replace(lines, small=True) for lines in _orientations(layer) if lines.kept]
    found = min(kept, key=lambda lines: (lines.scratch, _patches.cost(layer, lines)), default=None)
    return None if fastest is None or found is None or found.scratch >= fastest.scratch else found


def _patches_kernel(lines_of: Callable[[Layer], _patches.Lines | None]) -> Kernel:
    def applies(layer: Layer) -> bool:
        return lines_of(layer) is not None and _channels.takes(layer, multipliers)

    def bind(layer: Layer) -> Binding:
        numbers = _channels.channels(layer, _by_channel(layer), *multipliers(layer))
        lines = lines_of(layer)
        assert lines is not None
        return _patches.bind(layer, lines, _weights(layer), numbers)

    def cost(layer: Layer) -> float:
        lines = lines_of(layer)
        assert lines is not None
        return _patches.cost(layer, lines)

    return Kernel("tinyc_depthwise_conv_3x3_s8_mve", "DEPTHWISE_CONV_2D", bind, cost, applies, isa="cortex_m_mve")


def _applies_any(layer: Layer) -> bool:
    return layer.input(0).shape[3] <= _lanes.CHANNEL_LIMIT and _channels.takes(layer, multipliers)


def _bind_any(layer: Layer) -> Binding:
    weights = _weights(layer)
    unfolded = np.zeros((weights.shape[-1], 1), np.int8)
    return _lanes.bind(layer, weights, _channels.channels(layer, unfolded, *multipliers(layer)))


def _geometry_one(layer: Layer) -> _gemm.Geometry:
    height, width = _channels.lengthwise(layer)
    return _gemm.Geometry(layer.input(0).shape[0], height, width, 1, layer.output.shape[3])


def _applies_one(layer: Layer) -> bool:
    """One input channel: then it is a convolution like any other."""
    adjacent = all(axis.dilation == 1 or axis.taps == 1 for axis in axes(layer))
    return layer.input(0).shape[3] == 1 and adjacent and _channels.takes(layer, multipliers)


def _bind_one(layer: Layer) -> Binding:
    weights = _by_channel(layer)
    return _gemm.bind(layer, _geometry_one(layer), weights, _channels.channels(layer, weights, *multipliers(layer)))


def _cost_one(layer: Layer) -> float:
    return _gemm.cost(layer, _geometry_one(layer))


KERNELS = (
    _patches_kernel(_fastest),
    _patches_kernel(_rows),
    _patches_kernel(_least),
    Kernel("tinyc_conv_2d_s8_mve", "DEPTHWISE_CONV_2D", _bind_one, _cost_one, _applies_one, isa="cortex_m_mve"),
    Kernel(
        "tinyc_depthwise_conv_2d_s8_mve", "DEPTHWISE_CONV_2D", _bind_any, _lanes.cost, _applies_any, isa="cortex_m_mve"
    ),
)
