# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D with filters of up to 3x3 for RV32: nine weights in registers, swept along the image's longer side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ...graph import Layer
from ...program import Binding, Constant, Input, Output, ParamsPointer, Scratch, Table
from .. import Kernel, _lines
from .._filters import Filters, filters
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


def _plan(layer: Layer, small: bool) -> Plan | None:
    """How the kernel computes `layer`: the fastest way, or a `small` one, few rows at a time; None where it cannot."""
    f = filters(layer) if _lines.suits(layer) else None
    r = None if f is None or f.live == 0 else rounding(f)
    if f is None or r is None:
        return None
    rows = small or _lines.rows_are_lines(layer)
    lines, places = _lines.line_axes(layer, rows)
    planes = GROUP if layer.attributes["depth_multiplier"] == 1 and f.count % GROUP == 0 else 1
    line = planes * _lines.extent(places, places.output)
    room, most = (_lines.SMALL_SCRATCH, _lines.SMALL_BAND) if small else (SCRATCH, lines.output)
    band = max(1, min(lines.output, most, (room // line - _lines.TAPS) // lines.stride + 1))
    band = _lines.even(lines.output, band)
    found = Plan(f, r, rows, band, planes, line * _lines.extent(lines, band))
    return found if found.scratch <= SCRATCH_LIMIT else None


def _applies(layer: Layer) -> bool:
    return _plan(layer, False) is not None


def _applies_small(layer: Layer) -> bool:
    """Where it is not the fastest way anyhow."""
    fast, small = _plan(layer, False), _plan(layer, True)
    return (
        small is not None
        and _lines.wide(layer)
        and (fast is None or (fast.rows, fast.band) != (small.rows, small.band))
    )


def _bind(layer: Layer, small: bool) -> Binding:
    p = _plan(layer, small)
    assert p is not None
    f, r = p.filters, p.rounding
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=_lines.params(layer, p.rows, f, p.band, r.sum_shift, r.negative),
        constants=(Constant("stream", _lines.pack(layer, p.rows, f, f.bias << r.sum_shift, r.scaling(f))),),
        scratch=p.scratch,
        overlap=_lines.overlap(layer, p.rows, p.band),
    )


def _cost(layer: Layer, small: bool) -> float:
    """Instructions of tinyc_depthwise_conv_2d_s8_rv32.

    Fitted to counts with riscv64-unknown-elf-gcc 12 -O2 of 14 shapes with and without RELU, which are within 3 %. Per
    multiply-accumulate of a 3x3 filter with RELU: 25x5x64 4.1, 24x24x32 4.0, 6x6x128 5.0; stride 2 48x48x16 6.4.
    """
    p = _plan(layer, small)
    assert p is not None
    f = p.filters
    lines, places = _lines.line_axes(layer, p.rows)
    depth = layer.input(0).shape[3]
    bands = layer.input(0).shape[0] * -(-lines.output // p.band)
    output = (29.0 if lines.stride == 1 else 32.0) + (0.0 if f.clamps_negative else 3.0)
    together = p.together == GROUP
    columns = min(_lines.extent(places, places.output) - places.pad, places.input)
    copied = (2.7 if together else 4.6) * min(_lines.extent(lines, p.band), lines.input) + (5.4 if together else 7.0)
    per_band = f.count * 58.0 + depth * columns * copied + 5.7 * p.scratch
    return layer.output.elements * output + 61.0 * layer.output.elements / places.output + bands * per_band


def _any(layer: Layer, small: bool) -> tuple[Filters, Rounding] | None:
    f = filters(layer)
    r = None if f is None or f.live == 0 else rounding(f)
    return None if f is None or r is None or _lines.planes(layer, small).scratch > _lines.PLANE_LIMIT else (f, r)


def _any_applies(layer: Layer, small: bool) -> bool:
    if small and (not _lines.wide(layer) or _lines.planes(layer) == _lines.planes(layer, True)):
        return False
    return _any(layer, small) is not None


def _any_bind(layer: Layer, small: bool) -> Binding:
    found = _any(layer, small)
    assert found is not None
    f, r = found
    how = _lines.planes(layer, small)
    return _lines.bind_planes(layer, how, f, f.bias << r.sum_shift, r.scaling(f), r.sum_shift, r.negative)


#: Fitted to counts with riscv64-unknown-elf-gcc 12 -O2 of 25 shapes with and without RELU, which are within 4 %.
_PLANES = _lines.PlaneCosts(51.8, 16.2, 14.5, 40.5, 19.1, 23.1, 42.5, 16.4, 23.0, 49.4, 5.3, 3.1, 39.9)


def _any_cost(layer: Layer, small: bool) -> float:
    """Instructions of tinyc_depthwise_planes_s8_rv32."""
    found = _any(layer, small)
    assert found is not None
    return _lines.planes_cost(layer, _lines.planes(layer, small), found[0], _PLANES)


def _kernels(small: bool) -> tuple[Kernel, Kernel]:
    few = Kernel(
        "tinyc_depthwise_conv_2d_s8_rv32",
        "DEPTHWISE_CONV_2D",
        partial(_bind, small=small),
        partial(_cost, small=small),
        _applies_small if small else _applies,
        isa="rv32",
    )
    any_filter = Kernel(
        "tinyc_depthwise_planes_s8_rv32",
        "DEPTHWISE_CONV_2D",
        partial(_any_bind, small=small),
        partial(_any_cost, small=small),
        partial(_any_applies, small=small),
        isa="rv32",
    )
    return few, any_filter


KERNELS = (*_kernels(small=False), *_kernels(small=True))
