# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D with filters of up to 3x3 for Xtensa with MAC16: a line of outputs at a time from four lines of halfwords."""

from __future__ import annotations

from functools import partial

from ...graph import Layer
from ...program import Binding, Constant, Input, Output, ParamsPointer, Scratch, Table
from .. import Kernel, _groups, _lines, _overlap
from .._lines import Bands
from . import _mac16


def _rows(layer: Layer, bands: Bands) -> bool:
    return bands is Bands.SMALL or _lines.rows_are_lines(layer)


def _band(layer: Layer, bands: Bands) -> int:
    """Lines that a channel is computed for before the next one is: all of them, or few, an even number."""
    lines, _ = _lines.line_axes(layer, _rows(layer, bands))
    return min(_lines.SMALL_BAND, lines.output) if bands is Bands.SMALL else lines.output


def _scratch(layer: Layer, bands: Bands) -> int:
    """Bytes: four lines of halfwords, and a line of sums; three outputs are computed at a time."""
    _, places = _lines.line_axes(layer, _rows(layer, bands))
    outputs = -(-places.output // 3) * 3
    return 8 * _lines.extent(places, outputs) + 4 * outputs


def _applies(layer: Layer, bands: Bands) -> bool:
    if not _lines.suits(layer) or _mac16.plan(layer) is None or _scratch(layer, bands) > _mac16.SCRATCH_LIMIT:
        return False
    fast, found = ((_rows(layer, b), _band(layer, b)) for b in (Bands.FAST, bands))
    return _lines.useful(layer, bands, found != fast, _scratch(layer, bands))


def _overlap_of(layer: Layer, rows: bool, band: int) -> dict[int, int]:
    """Of a band, an output channel's lines are read and written before the next one's are read. One step after the other, lines are read
    before those outputs are written that need them; conservative where there is a single output channel."""
    if not rows:
        return {}
    multiplier = layer.attributes["depth_multiplier"]
    found = _groups.lead(layer, 1, _lines.bands(layer, band), multiplier=multiplier)
    step = _lines.bands(layer, 2 if layer.attributes["stride"][0] == 1 else 1)
    return {0: max(found, _overlap.lead(layer, step, buffered=True))}


def _bind(layer: Layer, bands: Bands) -> Binding:
    p = _mac16.plan(layer)
    assert p is not None
    rows, band = _rows(layer, bands), _band(layer, bands)
    table = _lines.pack(layer, rows, p.filters, p.start, p.scaling)
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=_lines.params(layer, rows, p.filters, band, _mac16.SUM_SHIFT, p.rounding.negative),
        constants=(Constant("stream", table),),
        scratch=_scratch(layer, bands),
        overlap=_overlap_of(layer, rows, band),
        in_place=_lines.in_place(layer, rows, band),
    )


def _cost(layer: Layer, bands: Bands) -> float:
    """Instructions of tinyc_depthwise_conv_2d_s8_xtensa.

    Fitted to counts in QEMU with clang 22 of 14 shapes with and without RELU, which are within 4 %. Per multiply-accumulate of a
    3x3 filter with RELU: 25x5x64 5.5, 24x24x32 4.7, 6x6x128 6.4; stride 2 48x48x16 7.9.
    """
    p = _mac16.plan(layer)
    assert p is not None
    f = p.filters
    lines, places = _lines.line_axes(layer, _rows(layer, bands))
    channels = layer.input(0).shape[0] * f.count
    count = -(-lines.output // _band(layer, bands))
    steps = channels * ((-(-lines.output // 2) if lines.stride == 1 else lines.output) + count)
    columns = min(_lines.extent(places, places.output) - places.pad, places.input)
    line = -(-places.output // 3) * (21.0 if lines.stride == 1 else 32.0) + 40.0
    outputs = layer.output.elements * (26.5 if f.clamps_negative else 38.0)
    copies = steps * (30.0 + 14.4 * columns)
    return (
        channels * lines.output * line
        + outputs
        + copies
        + 158.0 * count * layer.input(0).shape[0] * layer.input(0).shape[3]
    )


def _any_applies(layer: Layer, bands: Bands) -> bool:
    how = _lines.planes(layer, bands)
    if not _lines.useful(layer, bands, how != _lines.planes(layer), how.scratch):
        return False
    return _mac16.plan(layer) is not None and how.scratch <= _lines.PLANE_LIMIT


def _any_bind(layer: Layer, bands: Bands) -> Binding:
    p = _mac16.plan(layer)
    assert p is not None
    how = _lines.planes(layer, bands)
    return _lines.bind_planes(layer, how, p.filters, p.start, p.scaling, _mac16.SUM_SHIFT, p.rounding.negative)


#: Fitted to counts in QEMU with clang 22 of 25 shapes with and without RELU, which are within 4 %.
_PLANES = _lines.PlaneCosts(74.3, 20.3, 26.2, 58.2, 29.9, 31.9, 63.1, 15.8, 28.2, 60.8, 9.3, 5.4, 34.2)


def _any_cost(layer: Layer, bands: Bands) -> float:
    """Instructions of tinyc_depthwise_planes_s8_xtensa."""
    p = _mac16.plan(layer)
    assert p is not None
    return _lines.planes_cost(layer, _lines.planes(layer, bands), p.filters, _PLANES)


def _few(bands: Bands) -> Kernel:
    return Kernel(
        "tinyc_depthwise_conv_2d_s8_xtensa",
        "DEPTHWISE_CONV_2D",
        partial(_bind, bands=bands),
        partial(_cost, bands=bands),
        partial(_applies, bands=bands),
        isa="xtensa",
    )


def _any_filter(bands: Bands) -> Kernel:
    return Kernel(
        "tinyc_depthwise_planes_s8_xtensa",
        "DEPTHWISE_CONV_2D",
        partial(_any_bind, bands=bands),
        partial(_any_cost, bands=bands),
        partial(_any_applies, bands=bands),
        isa="xtensa",
    )


#: The fastest way with few taps takes all lines of a channel anyhow.
KERNELS = (_few(Bands.FAST), _few(Bands.SMALL), *(_any_filter(bands) for bands in Bands))
