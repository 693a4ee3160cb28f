# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D in lines of places, along the image's longer side: filters of up to 3x3, and any."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..graph import Array, Layer
from ..ops._convolution import Axis, axes
from ..program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table
from . import _groups
from ._filters import Filters
from ._overlap import Block, blocks
from ._rounding import words

TAPS = 3

#: Most output rows of a small band, and least width of an output image that is worth it.
SMALL_BAND, SMALL_WIDTH = 4, 4

#: Most scratch of a whole image's lines, as a share of the memory that working in place saves.
WHOLE_SHARE = 0.25


class Bands(Enum):
    """How many output lines a kernel computes of one channel before it goes to the next one."""

    FAST = "as many as fit into a little scratch"
    SMALL = "few, and they are rows: the output can overlap the input"
    WHOLE = "all: the output can replace the input"


def suits(layer: Layer) -> bool:
    """Whether the filter, its strides and dilations are of the kind that the kernels take."""
    height, width = axes(layer)
    small = all(axis.taps <= TAPS and (axis.taps == 1 or axis.dilation == 1) for axis in (height, width))
    return small and height.stride == width.stride and height.stride in (1, 2)


def rows_are_lines(layer: Layer) -> bool:
    height, width = axes(layer)
    return width.output >= height.output


def wide(layer: Layer) -> bool:
    """Whether rows are long enough to be lines."""
    return layer.output.shape[2] >= SMALL_WIDTH


def line_axes(layer: Layer, rows: bool) -> tuple[Axis, Axis]:
    """(across the lines, along a line), where lines are the image's rows or its columns."""
    height, width = axes(layer)
    return (height, width) if rows else (width, height)


def even(lines: int, band: int) -> int:
    """At most `band` lines at a time, such that all bands are of about the same size."""
    return -(-lines // -(-lines // band))


def bands(layer: Layer, band: int) -> list[Block]:
    """The output pixels of bands of rows, image by image."""
    batches, height, width, _ = layer.output.shape
    return [
        ((image * height + first) * width, (image * height + end) * width)
        for image in range(batches)
        for first, end in blocks(height, band)
    ]


def overlap(layer: Layer, rows: bool, band: int) -> dict[int, int]:
    """The lead of kernels that copy a band of an input channel before they write its outputs, channel after channel and band after
    band; conservative for four channels in all that are copied together. Bands of columns need the whole image to the end."""
    if not rows:
        return {}
    multiplier = layer.attributes["depth_multiplier"]
    return {0: _groups.lead(layer, multiplier, bands(layer, band), multiplier=multiplier)}


def in_place(layer: Layer, rows: bool, band: int) -> tuple[int, ...]:
    """`Binding.in_place` of kernels that copy a band of an input channel before they write its outputs."""
    return _groups.in_place(layer, band >= line_axes(layer, rows)[0].output)


def pays(layer: Layer, scratch: int) -> bool:
    """Whether so many bytes are little beside those that working in place saves."""
    return scratch <= WHOLE_SHARE * layer.output.bytes


def useful(layer: Layer, bands: Bands, differs: bool, scratch: int) -> bool:
    """Whether `bands` are worth a call of their own with `scratch` bytes, which `differs` from the fastest one."""
    if bands is Bands.SMALL:
        return differs and wide(layer)
    if bands is Bands.WHOLE:
        return differs and bool(_groups.in_place(layer, whole=True)) and pays(layer, scratch)
    return True


def extent(axis: Axis, outputs: int) -> int:
    """Inputs that `outputs` neighbouring outputs need."""
    return (outputs - 1) * axis.stride + TAPS


def steps(layer: Layer, rows: bool) -> dict[str, int]:
    """Bytes from line to line and from place to place."""
    widths = {"input": layer.input(0).shape[2], "output": layer.output.shape[2]}
    depths = {"input": layer.input(0).shape[3], "output": layer.output.shape[3]}
    found: dict[str, int] = {}
    for name, width in widths.items():
        line, place = (width, 1) if rows else (1, width)
        found |= {f"{name}_line_step": line * depths[name], f"{name}_place_step": place * depths[name]}
    return found


def params(layer: Layer, rows: bool, f: Filters, band: int, sum_shift: int, negative: int, together: int = 1) -> Params:
    """`tinyc_depthwise_conv_2d_lines_params`."""
    lines, places = line_axes(layer, rows)
    step = steps(layer, rows)
    return Params(
        "tinyc_depthwise_conv_2d_lines_params",
        {
            "batches": layer.input(0).shape[0],
            "input_depth": layer.input(0).shape[3],
            "multiplier": layer.attributes["depth_multiplier"],
            "stride": lines.stride,
            "input_lines": lines.input,
            "input_places": places.input,
            "input_line_step": step["input_line_step"],
            "input_place_step": step["input_place_step"],
            "output_lines": lines.output,
            "output_places": places.output,
            "output_line_step": step["output_line_step"],
            "output_place_step": step["output_place_step"],
            "pad_lines": lines.pad,
            "pad_places": places.pad,
            "band": band,
            "together": together,
            "input_zero_point": layer.input(0).zero_point,
            "activation_min": f.low,
            "activation_max": f.high,
            "sum_shift": sum_shift,
            "negative": negative,
        },
    )


def pack(layer: Layer, rows: bool, f: Filters, start: Array, scaling: Array) -> Array:
    """The kernels' table of int32 words, from `start` of the live channels and `scaling` of all; tinyc_kernels.h describes it."""
    weights = layer.input(1)
    assert weights.data is not None
    _, height, width, count = weights.shape
    taps = np.zeros((TAPS, TAPS, count), np.int64)
    taps[:height, :width] = weights.data[0]
    by_place = taps.transpose(1, 0, 2) if rows else taps
    table = np.zeros((count, 12), np.int8)
    table[f.index, :9] = by_place.reshape(9, count).T[f.index]
    table[:, 9] = scaling[:, 2]
    starts = np.zeros(count, np.int64)
    starts[f.index] = start
    numbers = words(np.stack([starts, scaling[:, 0], scaling[:, 1]], axis=1).reshape(-1)).reshape(count, 3)
    return np.concatenate([table.view("<i4"), numbers], axis=1).reshape(-1)


#: The scratch memory that bands of planes should stay within, that small bands of rows should, and the largest, in bytes.
PLANE_SCRATCH, SMALL_SCRATCH, PLANE_LIMIT = 3072, 1024, 16 * 1024


@dataclass(frozen=True)
class Planes:
    """How `tinyc_depthwise_planes_s8_...` computes a layer: `band` output lines at a time, which are rows or columns. Sizes of its
    scratch memory."""

    rows: bool
    places: int
    pitch: int
    band: int
    scratch: int


def planes(layer: Layer, bands: Bands = Bands.FAST) -> Planes:
    rows = bands is Bands.SMALL or rows_are_lines(layer)
    lines, places = line_axes(layer, rows)
    room = SMALL_SCRATCH if bands is Bands.SMALL else PLANE_SCRATCH
    outputs = -(-places.output // 4) * 4
    pitch = (outputs - 1) * places.stride + (places.taps - 1) * places.dilation + 1
    window = (lines.taps - 1) * lines.dilation + 1
    band = max(1, min(lines.output, ((room - 4 * outputs) // pitch - window) // lines.stride + 1))
    if bands is Bands.SMALL:
        band = min(band, SMALL_BAND)
    if bands is Bands.WHOLE:
        band = lines.output
    band = even(lines.output, band)
    plane = ((band - 1) * lines.stride + window) * pitch
    return Planes(rows, outputs, pitch, band, 4 * outputs + -(-plane // 4) * 4)


def bind_planes(
    layer: Layer, how: Planes, f: Filters, start: Array, scaling: Array, sum_shift: int, negative: int
) -> Binding:
    """The call of `tinyc_depthwise_planes_s8_...`, with `start` of the live channels and `scaling` of all."""
    lines, places = line_axes(layer, how.rows)
    fields = {
        "batches": layer.input(0).shape[0],
        "input_depth": layer.input(0).shape[3],
        "multiplier": layer.attributes["depth_multiplier"],
    }
    for name, axis in (("lines", lines), ("places", places)):
        fields |= {
            f"input_{name}": axis.input,
            f"filter_{name}": axis.taps,
            f"output_{name}": axis.output,
            f"stride_{name}": axis.stride,
            f"dilation_{name}": axis.dilation,
            f"pad_{name}": axis.pad,
        }
    fields |= {
        **steps(layer, how.rows),
        "band": how.band,
        "input_zero_point": layer.input(0).zero_point,
        "activation_min": f.low,
        "activation_max": f.high,
        "sum_shift": sum_shift,
        "negative": negative,
    }
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=Params("tinyc_depthwise_planes_params", fields),
        constants=(Constant("stream", _pack_planes(layer, how.rows, f, start, scaling)),),
        scratch=how.scratch,
        overlap=overlap(layer, how.rows, how.band),
        in_place=in_place(layer, how.rows, how.band),
    )


def _pack_planes(layer: Layer, rows: bool, f: Filters, start: Array, scaling: Array) -> Array:
    weights = layer.input(1)
    assert weights.data is not None
    taps = weights.data[0] if rows else weights.data[0].transpose(1, 0, 2)
    flat = taps.reshape(-1, f.count).T
    table = np.zeros((f.count, -(-flat.shape[1] // 4) * 4), np.int8)
    table[f.index, : flat.shape[1]] = flat[f.index]
    starts = np.zeros((f.count, 1), np.int64)
    starts[f.index, 0] = start
    numbers = words(np.concatenate([starts, scaling], axis=1).reshape(-1)).reshape(f.count, 4)
    return np.concatenate([table.view("<i4"), numbers], axis=1).reshape(-1)


@dataclass(frozen=True)
class PlaneCosts:
    """Instructions on one core, by what they are spent on.

    Attributes:
        four_taps, tap, line, group: of four outputs that are one byte apart, as the taps: for four taps; for another; for a
            line of the filter; besides.
        far_tap, far_line, far_group: of four outputs otherwise.
        relu, signed: an output where negative sums are clamped, and where not.
        output_line, copied, filled, copied_line: a line of outputs; a byte copied, a byte of padding, a line of one channel copied.
    """

    four_taps: float
    tap: float
    line: float
    group: float
    far_tap: float
    far_line: float
    far_group: float
    relu: float
    signed: float
    output_line: float
    copied: float
    filled: float
    copied_line: float


def planes_cost(layer: Layer, how: Planes, f: Filters, c: PlaneCosts) -> float:
    """Instructions of `tinyc_depthwise_planes_s8_...`."""
    lines, places = line_axes(layer, how.rows)
    batches, _, _, depth = layer.input(0).shape
    bands = batches * -(-lines.output // how.band)
    window = (how.band - 1) * lines.stride + (lines.taps - 1) * lines.dilation + 1
    output_lines = batches * f.count * lines.output
    if places.stride == 1 and places.dilation == 1:
        filter_line = c.four_taps * (places.taps // 4) + c.tap * (places.taps % 4) + c.line
        group = lines.taps * filter_line + c.group
    else:
        group = lines.taps * (c.far_tap * places.taps + c.far_line) + c.far_group
    inside = bands * depth * min(window, lines.input)
    copies = inside * (c.copied * min(places.input, how.pitch - places.pad) + c.copied_line)
    copies += bands * (c.filled * window * how.pitch + c.copied_line * f.count)
    output = places.output * (c.relu if f.clamps_negative else c.signed)
    return output_lines * (how.places / 4 * group + output + c.output_line) + copies
