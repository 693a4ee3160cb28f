# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D with filters of up to 3x3 in lines of places, along the image's longer side."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Layer
from ..ops._convolution import Axis, axes
from ..program import Params
from ._filters import Filters
from ._rounding import words

TAPS = 3


def suits(layer: Layer) -> bool:
    """Whether the filter, its strides and dilations are of the kind that the kernels take."""
    height, width = axes(layer)
    small = all(axis.taps <= TAPS and (axis.taps == 1 or axis.dilation == 1) for axis in (height, width))
    return small and height.stride == width.stride and height.stride in (1, 2)


def rows_are_lines(layer: Layer) -> bool:
    height, width = axes(layer)
    return width.output >= height.output


def line_axes(layer: Layer) -> tuple[Axis, Axis]:
    """(across the lines, along a line)."""
    height, width = axes(layer)
    return (height, width) if rows_are_lines(layer) else (width, height)


def extent(axis: Axis, outputs: int) -> int:
    """Inputs that `outputs` neighbouring outputs need."""
    return (outputs - 1) * axis.stride + TAPS


def params(layer: Layer, f: Filters, band: int, sum_shift: int, negative: int) -> Params:
    """`tinyc_depthwise_conv_2d_lines_params`."""
    lines, places = line_axes(layer)
    depth, widths = layer.input(0).shape[3], (layer.input(0).shape[2], layer.output.shape[2])
    steps = [(width, 1) if rows_are_lines(layer) else (1, width) for width in widths]
    return Params(
        "tinyc_depthwise_conv_2d_lines_params",
        {
            "batches": layer.input(0).shape[0],
            "input_depth": depth,
            "multiplier": layer.attributes["depth_multiplier"],
            "stride": lines.stride,
            "input_lines": lines.input,
            "input_places": places.input,
            "input_line_step": steps[0][0] * depth,
            "input_place_step": steps[0][1] * depth,
            "output_lines": lines.output,
            "output_places": places.output,
            "output_line_step": steps[1][0] * f.count,
            "output_place_step": steps[1][1] * f.count,
            "pad_lines": lines.pad,
            "pad_places": places.pad,
            "band": band,
            "input_zero_point": layer.input(0).zero_point,
            "activation_min": f.low,
            "activation_max": f.high,
            "sum_shift": sum_shift,
            "negative": negative,
        },
    )


def pack(layer: Layer, f: Filters, start: Array, scaling: Array) -> Array:
    """The kernels' table of int32 words, from `start` of the live channels and `scaling` of all; tinyc_kernels.h describes it."""
    weights = layer.input(1)
    assert weights.data is not None
    _, rows, columns, count = weights.shape
    taps = np.zeros((TAPS, TAPS, count), np.int64)
    taps[:rows, :columns] = weights.data[0]
    by_place = taps.transpose(1, 0, 2) if rows_are_lines(layer) else taps
    table = np.zeros((count, 12), np.int8)
    table[f.index, :9] = by_place.reshape(9, count).T[f.index]
    table[:, 9] = scaling[:, 2]
    starts = np.zeros(count, np.int64)
    starts[f.index] = start
    numbers = words(np.stack([starts, scaling[:, 0], scaling[:, 1]], axis=1).reshape(-1)).reshape(count, 3)
    return np.concatenate([table.view("<i4"), numbers], axis=1).reshape(-1)
