# SPDX-License-Identifier: Apache-2.0
"""The instructions of both pooling kernels for the DSP extension."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...graph import Layer
from ...ops._pool import axes
from ...program import Binding
from .._overlap import lead
from ..generic import _pool


@dataclass(frozen=True)
class Rates:
    """Instructions, fitted to counts: per output pixel; of each eight channels, per output pixel and row of its window; of each
    channel after them, per output pixel, row of its window, and pixel in it."""

    pixel: float
    eight: float
    eight_row: float
    channel: float
    channel_row: float
    channel_tap: float


def bind(layer: Layer) -> Binding:
    """The generic kernels' call. Values of a pixel that are already replaced are of channels that are done: it is as if copied first."""
    return replace(_pool.bind(layer), overlap={0: lead(layer, buffered=True)})


def largest_window(layer: Layer) -> int:
    """Most pixels of a window that are inside the image."""
    height, width = axes(layer)
    return max(end - start for start, end in height.ranges()) * max(end - start for start, end in width.ranges())


def cost(layer: Layer, rates: Rates) -> float:
    """Follows tinyc_pool_dsp and the functions for a pixel, which take nine instructions per window pixel and eight channels."""
    height, width = axes(layer)
    batches, _, _, depth = layer.output.shape
    eights, rest = divmod(depth, 8)
    total = 0.0
    for top, bottom in height.ranges():
        for left, right in width.ranges():
            rows, columns = bottom - top, right - left
            if columns == width.input:
                rows, columns = 1, rows * columns
            total += rates.pixel
            total += eights * (rates.eight + rows * (rates.eight_row + 9.0 * columns))
            total += rest * (rates.channel + rows * (rates.channel_row + rates.channel_tap * columns))
    return 70.0 + batches * total
