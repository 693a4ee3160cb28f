# SPDX-License-Identifier: Apache-2.0
"""The instructions of both pooling kernels."""

from __future__ import annotations

from dataclasses import replace

from ...graph import Layer
from ...ops._pool import axes
from ...program import Binding
from .. import _groups
from ..generic import _pool


def largest_window(layer: Layer) -> int:
    """Most pixels of a window that are inside the image."""
    height, width = axes(layer)
    return min(height.window, height.input) * min(width.window, width.input)


def bind(layer: Layer) -> Binding:
    """The generic call; 16 channels of a pixel are read before they are written."""
    return replace(_pool.bind(layer), overlap={0: _groups.lead(layer, 16, multiplier=1)})


def cost(layer: Layer, per_pixel: float, per_group: float) -> float:
    """`per_pixel` of a window and `per_group` of outputs, for each 16 channels."""
    height, width = axes(layer)
    rows = sum(end - start for start, end in height.ranges())
    columns = sum(end - start for start, end in width.ranges())
    batch, _, _, depth = layer.output.shape
    groups = -(-depth // 16)
    inner = rows * columns * per_pixel + rows * width.output * 7 + height.output * width.output * per_group
    return batch * (groups * inner + height.output * (15 + 30 * width.output)) + 40
