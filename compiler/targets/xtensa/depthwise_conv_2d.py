# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D with filters of up to 3x3 for Xtensa with MAC16: a line of outputs at a time from four lines of halfwords."""

from __future__ import annotations

from functools import partial

from ...graph import Layer
from ...program import Binding, Constant, Input, Output, ParamsPointer, Scratch, Table
from .. import Kernel, _groups, _lines, _overlap
from . import _mac16


def _rows(layer: Layer, small: bool) -> bool:
    return small or _lines.rows_are_lines(layer)


def _band(layer: Layer, small: bool) -> int:
    """Lines that a channel is computed for before the next one is: all of them, or few, an even number."""
    lines, _ = _lines.line_axes(layer, _rows(layer, small))
    return min(_lines.SMALL_BAND, lines.output) if small else lines.output


def _scratch(layer: Layer, small: bool) -> int:
    """Bytes: four lines of halfwords, and a line of sums; three outputs are computed at a time."""
    _, places = _lines.line_axes(layer, _rows(layer, small))
    outputs = -(-places.output // 3) * 3
    return 8 * _lines.extent(places, outputs) + 4 * outputs


def _applies(layer: Layer, small: bool) -> bool:
    if not _lines.suits(layer) or _mac16.plan(layer) is None or _scratch(layer, small) > _mac16.SCRATCH_LIMIT:
        return False
    known = _lines.rows_are_lines(layer) and _band(layer, False) == _band(layer, True)
    return not small or (_lines.wide(layer) and not known)


def _overlap_of(layer: Layer, rows: bool, band: int) -> dict[int, int]:
    """Of a band, an output channel's lines are read and written before the next one's are read. One step after the other, lines are read
    before those outputs are written that need them; conservative where there is a single output channel."""
    if not rows:
        return {}
    multiplier = layer.attributes["depth_multiplier"]
    found = _groups.lead(layer, 1, _lines.bands(layer, band), multiplier=multiplier)
    step = _lines.bands(layer, 2 if layer.attributes["stride"][0] == 1 else 1)
    return {0: max(found, _overlap.lead(layer, step, buffered=True))}


def _bind(layer: Layer, small: bool) -> Binding:
    p = _mac16.plan(layer)
    assert p is not None
    rows, band = _rows(layer, small), _band(layer, small)
    table = _lines.pack(layer, rows, p.filters, p.start, p.scaling)
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=_lines.params(layer, rows, p.filters, band, _mac16.SUM_SHIFT, p.rounding.negative),
        constants=(Constant("stream", table),),
        scratch=_scratch(layer, small),
        overlap=_overlap_of(layer, rows, band),
    )


def _cost(layer: Layer, small: bool) -> float:
    """Instructions of tinyc_depthwise_conv_2d_s8_xtensa.

    Fitted to counts in QEMU with clang 22 of 14 shapes with and without RELU, which are within 4 %. Per multiply-accumulate of a
    3x3 filter with RELU: 25x5x64 5.5, 24x24x32 4.7, 6x6x128 6.4; stride 2 48x48x16 7.9.
    """
    p = _mac16.plan(layer)
    assert p is not None
    f = p.filters
    lines, places = _lines.line_axes(layer, _rows(layer, small))
    channels = layer.input(0).shape[0] * f.count
    bands = -(-lines.output // _band(layer, small))
    steps = channels * ((-(-lines.output // 2) if lines.stride == 1 else lines.output) + bands)
    columns = min(_lines.extent(places, places.output) - places.pad, places.input)
    line = -(-places.output // 3) * (21.0 if lines.stride == 1 else 32.0) + 40.0
    outputs = layer.output.elements * (26.5 if f.clamps_negative else 38.0)
    copies = steps * (30.0 + 14.4 * columns)
    return (
        channels * lines.output * line
        + outputs
        + copies
        + 158.0 * bands * layer.input(0).shape[0] * layer.input(0).shape[3]
    )


def _any_applies(layer: Layer, small: bool) -> bool:
    how = _lines.planes(layer, small)
    if small and (not _lines.wide(layer) or how == _lines.planes(layer)):
        return False
    return _mac16.plan(layer) is not None and how.scratch <= _lines.PLANE_LIMIT


def _any_bind(layer: Layer, small: bool) -> Binding:
    p = _mac16.plan(layer)
    assert p is not None
    how = _lines.planes(layer, small)
    return _lines.bind_planes(layer, how, p.filters, p.start, p.scaling, _mac16.SUM_SHIFT, p.rounding.negative)


#: Fitted to counts in QEMU with clang 22 of 25 shapes with and without RELU, which are within 4 %.
_PLANES = _lines.PlaneCosts(74.3, 20.3, 26.2, 58.2, 29.9, 31.9, 63.1, 15.8, 28.2, 60.8, 9.3, 5.4, 34.2)


def _any_cost(layer: Layer, small: bool) -> float:
    """Instructions of tinyc_depthwise_planes_s8_xtensa."""
    p = _mac16.plan(layer)
    assert p is not None
    return _lines.planes_cost(layer, _lines.planes(layer, small), p.filters, _PLANES)


def _kernels(small: bool) -> tuple[Kernel, Kernel]:
    few = Kernel(
        "tinyc_depthwise_conv_2d_s8_xtensa",
        "DEPTHWISE_CONV_2D",
        partial(_bind, small=small),
        partial(_cost, small=small),
        partial(_applies, small=small),
        isa="xtensa",
    )
    any_filter = Kernel(
        "tinyc_depthwise_planes_s8_xtensa",
        "DEPTHWISE_CONV_2D",
        partial(_any_bind, small=small),
        partial(_any_cost, small=small),
        partial(_any_applies, small=small),
        isa="xtensa",
    )
    return few, any_filter


KERNELS = (*_kernels(small=False), *_kernels(small=True))
