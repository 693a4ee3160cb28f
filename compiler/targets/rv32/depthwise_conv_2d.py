# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D with filters of up to 3x3 for RV32: nine weights in registers, swept along the image's longer side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ...graph import Layer
from ...program import Binding, Constant, Input, Output, ParamsPointer, Scratch, Table
from .. import Kernel, _lines
from .._filters import Filters, filters
from .._lines import Bands
from .._rounding import Rounding, rounding

#: Channels that are copied together, and the scratch memory that bands of lines should stay within, in bytes.
GROUP, SCRATCH = 4, 2048

#: Largest scratch memory, in bytes: beyond, a small board's RAM matters more than speed.
SCRATCH_LIMIT = 16 * 1024


@dataclass(frozen=True, eq=False)
class Plan:
    """A layer for the kernel. `band` output lines, which are `rows` or columns, are computed at a time, from copies of `together`
    channels in `scratch` bytes."""

    filters: Filters
    rounding: Rounding
    rows: bool
    band: int
    together: int
    scratch: int


def _plan(layer: Layer, bands: Bands) -> Plan | None:
    """How the kernel computes `layer`; None where it cannot."""
    f = filters(layer) if _lines.suits(layer) else None
    r = None if f is None or f.live == 0 else rounding(f)
    if f is None or r is None:
        return None
    rows = bands is Bands.SMALL or _lines.rows_are_lines(layer)
    lines, places = _lines.line_axes(layer, rows)
    planes = GROUP if layer.attributes["depth_multiplier"] == 1 and f.count % GROUP == 0 else 1
    if bands is Bands.WHOLE:
        image = GROUP * _lines.extent(places, places.output) * _lines.extent(lines, lines.output)
        planes = planes if _lines.pays(layer, image) else 1
    line = planes * _lines.extent(places, places.output)
    room = {Bands.FAST: SCRATCH, Bands.SMALL: _lines.SMALL_SCRATCH, Bands.WHOLE: SCRATCH_LIMIT}[bands]
    most = _lines.SMALL_BAND if bands is Bands.SMALL else lines.output
    band = max(1, min(lines.output, most, (room // line - _lines.TAPS) // lines.stride + 1))
    if bands is Bands.WHOLE and band < lines.output:
        return None
    band = _lines.even(lines.output, band)
    found = Plan(f, r, rows, band, planes, line * _lines.extent(lines, band))
    return found if found.scratch <= SCRATCH_LIMIT else None


def _applies(layer: Layer, bands: Bands) -> bool:
    fast, found = _plan(layer, Bands.FAST), _plan(layer, bands)
    if found is None:
        return False
    differs = fast is None or (fast.rows, fast.band) != (found.rows, found.band)
    return _lines.useful(layer, bands, differs, found.scratch)


def _bind(layer: Layer, bands: Bands) -> Binding:
    p = _plan(layer, bands)
    assert p is not None
    f, r = p.filters, p.rounding
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=_lines.params(layer, p.rows, f, p.band, r.sum_shift, r.negative, p.together),
        constants=(Constant("stream", _lines.pack(layer, p.rows, f, f.bias << r.sum_shift, r.scaling(f))),),
        scratch=p.scratch,
        overlap=_lines.overlap(layer, p.rows, p.band),
        in_place=_lines.in_place(layer, p.rows, p.band),
    )


def _cost(layer: Layer, bands: Bands) -> float:
    """Instructions of tinyc_depthwise_conv_2d_s8_rv32.

    Fitted to counts with riscv64-unknown-elf-gcc 12 -O2 of 14 shapes with and without RELU, which are within 3 %. Per
    multiply-accumulate of a 3x3 filter with RELU: 25x5x64 4.1, 24x24x32 4.0, 6x6x128 5.0; stride 2 48x48x16 6.4.
    """
    p = _plan(layer, bands)
    assert p is not None
    f = p.filters
    lines, places = _lines.line_axes(layer, p.rows)
    depth = layer.input(0).shape[3]
    count = layer.input(0).shape[0] * -(-lines.output // p.band)
    output = (29.0 if lines.stride == 1 else 32.0) + (0.0 if f.clamps_negative else 3.0)
    together = p.together == GROUP
    columns = min(_lines.extent(places, places.output) - places.pad, places.input)
    copied = (2.7 if together else 4.6) * min(_lines.extent(lines, p.band), lines.input) + (5.4 if together else 7.0)
    per_band = f.count * 58.0 + depth * columns * copied + 5.7 * p.scratch
    return layer.output.elements * output + 61.0 * layer.output.elements / places.output + count * per_band


def _any(layer: Layer, bands: Bands) -> tuple[Filters, Rounding] | None:
    f = filters(layer)
    r = None if f is None or f.live == 0 else rounding(f)
    return None if f is None or r is None or _lines.planes(layer, bands).scratch > _lines.PLANE_LIMIT else (f, r)


def _any_applies(layer: Layer, bands: Bands) -> bool:
    how = _lines.planes(layer, bands)
    useful = _lines.useful(layer, bands, how != _lines.planes(layer), how.scratch)
    return useful and _any(layer, bands) is not None


def _any_bind(layer: Layer, bands: Bands) -> Binding:
    found = _any(layer, bands)
    assert found is not None
    f, r = found
    how = _lines.planes(layer, bands)
    return _lines.bind_planes(layer, how, f, f.bias << r.sum_shift, r.scaling(f), r.sum_shift, r.negative)


#: Fitted to counts with riscv64-unknown-elf-gcc 12 -O2 of 25 shapes with and without RELU, which are within 4 %.
_PLANES = _lines.PlaneCosts(51.8, 16.2, 14.5, 40.5, 19.1, 23.1, 42.5, 16.4, 23.0, 49.4, 5.3, 3.1, 39.9)


def _any_cost(layer: Layer, bands: Bands) -> float:
    """Instructions of tinyc_depthwise_planes_s8_rv32."""
    found = _any(layer, bands)
    assert found is not None
    return _lines.planes_cost(layer, _lines.planes(layer, bands), found[0], _PLANES)


def _kernels(bands: Bands) -> tuple[Kernel, Kernel]:
    few = Kernel(
        "tinyc_depthwise_conv_2d_s8_rv32",
        "DEPTHWISE_CONV_2D",
        partial(_bind, bands=bands),
        partial(_cost, bands=bands),
        partial(_applies, bands=bands),
        isa="rv32",
    )
    any_filter = Kernel(
        "tinyc_depthwise_planes_s8_rv32",
        "DEPTHWISE_CONV_2D",
        partial(_any_bind, bands=bands),
        partial(_any_cost, bands=bands),
        partial(_any_applies, bands=bands),
        isa="rv32",
    )
    return few, any_filter


KERNELS = tuple(kernel for bands in Bands for kernel in _kernels(bands))
