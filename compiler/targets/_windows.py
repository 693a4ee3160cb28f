# SPDX-License-Identifier: Apache-2.0
"""The fields of `tinyc_conv_2d_patches_params` that describe a layer; its kernels add how they compute it."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import Layer
from ..ops._convolution import Axis, axes
from ._filters import Filters


def is_direct(layer: Layer) -> bool:
    """Whether the patches are the input's pixels (or rows) in order."""
    if layer.op == "FULLY_CONNECTED":
        return True
    return layer.input(1).shape[1:3] == (1, 1) and tuple(layer.attributes["stride"]) == (1, 1)


def row(layer: Layer) -> int:
    """Bytes of a patch's row."""
    return layer.input(1).shape[2] * layer.input(1).shape[3] if layer.op == "CONV_2D" else layer.input(1).shape[1]


def fields(layer: Layer, f: Filters) -> dict[str, int]:
    """Geometry, channels and clamp. A FULLY_CONNECTED layer's rows are the pixels of a row."""
    if layer.op == "FULLY_CONNECTED":
        units, depth = layer.input(1).shape
        rows = layer.output.elements // units
        batches, height, width = 1, Axis(1, 1, 1, 1, 1, 0), Axis(rows, 1, 1, 1, rows, 0)
    else:
        batches, _, _, depth = layer.input(0).shape
        height, width = axes(layer)
    found = {"batches": batches, "input_depth": depth}
    for name, axis in (("height", height), ("width", width)):
        found |= {
            f"input_{name}": axis.input,
            f"filter_{name}": axis.taps,
            f"output_{name}": axis.output,
            f"stride_{name}": axis.stride,
            f"dilation_{name}": axis.dilation,
            f"pad_{name}": axis.pad,
        }
    return {
        **found,
        "output_depth": f.count,
        "live": f.live,
        "first": int(f.index[0]),
        "constants": len(f.constants),
        "input_zero_point": layer.input(0).zero_point,
        "activation_min": f.low,
        "activation_max": f.high,
        "direct": int(is_direct(layer)),
    }


@dataclass(frozen=True)
class Border:
    """How many of a layer's patches are not in the image as they are, per output pixel.

    Attributes:
        rows: rows of patches that are partly outside the image, or whose taps are apart.
        pieces: taps of those rows of them that are put together from the image.
    """

    rows: float
    pieces: float


def border(layer: Layer) -> Border:
    if is_direct(layer):
        return Border(0.0, 0.0)
    height, width = axes(layer)
    apart = 1.0 if width.dilation > 1 and width.taps > 1 else 0.0
    columns = max(_outside(width), apart)
    rows = height.taps * (1.0 - (1.0 - columns) * (1.0 - _outside(height)))
    inside = (
        sum(len(range(*height.inside(tap)[0].indices(height.output))) for tap in range(height.taps)) / height.output
    )
    return Border(rows, columns * inside * width.taps)


def _outside(axis: Axis) -> float:
    """The share of windows that are partly outside the image."""
    starts = [output * axis.stride - axis.pad for output in range(axis.output)]
    last = axis.input - 1 - (axis.taps - 1) * axis.dilation
    return sum(not 0 <= start <= last for start in starts) / axis.output
