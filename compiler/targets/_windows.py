# SPDX-License-Identifier: Apache-2.0
"""The fields of `tinyc_conv_2d_patches_params` that describe a layer; its kernels add how they compute it."""

from __future__ import annotations

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
