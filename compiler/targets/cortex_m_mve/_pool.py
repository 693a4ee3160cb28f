# SPDX-License-Identifier: Apache-2.0
"""The instructions of both pooling kernels."""

from __future__ import annotations

from ...graph import Layer
from ...ops._pool import axes


def largest_window(layer: Layer) -> int:
    """Most pixels of a window that are inside the image."""
    height, width = axes(layer)
    return min(height.window, height.input) * min(width.window, width.input)


def cost(layer: Layer, per_pixel: float, per_group: float) -> float:
    """`per_pixel` of a window and `per_group` of outputs, for each 16 channels."""
    height, width = axes(layer)
    rows = sum(end - start for start, end in height.ranges())
    columns = sum(end - start for start, end in width.ranges())
    batch, _, _, depth = layer.output.shape
    groups = -(-depth // 16)
    inner = rows * columns * per_pixel + rows * width.output * 7 + height.output * width.output * per_group
    return batch * (groups * inner + height.output * (15 + 30 * width.output)) + 40
