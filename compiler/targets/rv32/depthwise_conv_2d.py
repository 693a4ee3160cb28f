# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D with filters of up to 3x3 for RV32: nine weights in registers, swept along the image's longer side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...graph import Array, Layer
from ...ops._convolution import Axis, axes
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table
from .. import Kernel
from .._filters import Filters, filters
from .._rounding import Rounding, rounding, words

TAPS = 3

#: Channels that are copied together, and the scratch memory that bands of lines should stay within, in bytes.
GROUP, SCRATCH = 4, 2048

#: Largest scratch memory, in bytes: beyond, a small board's RAM matters more than speed.
SCRATCH_LIMIT = 16 * 1024


@dataclass(frozen=True, eq=False)
class Plan:
    """A layer for the kernel. `lines` and `places` are its axes; of `band` output lines at a time, `planes` channels are copied."""

    filters: Filters
    rounding: Rounding
    lines: Axis
    places: Axis
    rows_are_lines: bool
    planes: int
    band: int

    @property
    def scratch(self) -> int:
        return self.planes * _extent(self.places, self.places.output) * _extent(self.lines, self.band)


def _extent(axis: Axis, outputs: int) -> int:
    return (outputs - 1) * axis.stride + TAPS


def _plan(layer: Layer) -> Plan | None:
    """How the kernel computes `layer`; None where it cannot."""
    height, width = axes(layer)
    if height.stride != width.stride or height.stride not in (1, 2):
        return None
    if any(axis.taps > TAPS or (axis.taps > 1 and axis.dilation > 1) for axis in (height, width)):
        return None
    f = filters(layer)
    r = None if f is None or f.live == 0 else rounding(f)
    if f is None or r is None:
        return None
    rows_are_lines = width.output >= height.output
    lines, places = (height, width) if rows_are_lines else (width, height)
    planes = GROUP if layer.attributes["depth_multiplier"] == 1 and f.count % GROUP == 0 else 1
    band = 1
    while band < lines.output and planes * _extent(places, places.output) * _extent(lines, band + 1) <= SCRATCH:
        band += 1
    # Bands of about the same size.
    band = -(-lines.output // -(-lines.output // band))
    found = Plan(f, r, lines, places, rows_are_lines, planes, band)
    return found if found.scratch <= SCRATCH_LIMIT else None


def _applies(layer: Layer) -> bool:
    return _plan(layer) is not None


def _pack(layer: Layer, p: Plan) -> Array:
    """The kernel's table of int32 words; tinyc_kernels.h describes it."""
    weights = layer.input(1)
    assert weights.data is not None
    _, rows, columns, count = weights.shape
    taps = np.zeros((TAPS, TAPS, count), np.int64)
    taps[:rows, :columns] = weights.data[0]
    by_place = taps.transpose(1, 0, 2) if p.rows_are_lines else taps
    r, f = p.rounding, p.filters
    scaling = r.scaling(f)
    table = np.zeros((count, 12), np.int8)
    table[f.index, :9] = by_place.reshape(9, count).T[f.index]
    table[:, 9] = scaling[:, 2]
    start = np.zeros(count, np.int64)
    start[f.index] = f.bias << r.sum_shift
    numbers = words(np.stack([start, scaling[:, 0], scaling[:, 1]], axis=1).reshape(-1)).reshape(count, 3)
    return np.concatenate([table.view("<i4"), numbers], axis=1).reshape(-1)


def _bind(layer: Layer) -> Binding:
    p = _plan(layer)
    assert p is not None
    depth, count = layer.input(0).shape[3], p.filters.count
    width = layer.input(0).shape[2]
    line, place = (width, 1) if p.rows_are_lines else (1, width)
    out_width = layer.output.shape[2]
    out_line, out_place = (out_width, 1) if p.rows_are_lines else (1, out_width)
    params = Params(
        "tinyc_depthwise_conv_2d_lines_params",
        {
            "batches": layer.input(0).shape[0],
            "input_depth": depth,
            "multiplier": layer.attributes["depth_multiplier"],
            "stride": p.lines.stride,
            "input_lines": p.lines.input,
            "input_places": p.places.input,
            "input_line_step": line * depth,
            "input_place_step": place * depth,
            "output_lines": p.lines.output,
            "output_places": p.places.output,
            "output_line_step": out_line * count,
            "output_place_step": out_place * count,
            "pad_lines": p.lines.pad,
            "pad_places": p.places.pad,
            "band": p.band,
            "input_zero_point": layer.input(0).zero_point,
            "activation_min": p.filters.low,
            "activation_max": p.filters.high,
            "sum_shift": p.rounding.sum_shift,
            "negative": p.rounding.negative,
        },
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=params,
        constants=(Constant("stream", _pack(layer, p)),),
        scratch=p.scratch,
    )


def _cost(layer: Layer) -> float:
    """Instructions of tinyc_depthwise_conv_2d_s8_rv32."""
    return 1.0


KERNELS = (Kernel("tinyc_depthwise_conv_2d_s8_rv32", "DEPTHWISE_CONV_2D", _bind, _cost, _applies, isa="rv32"),)
