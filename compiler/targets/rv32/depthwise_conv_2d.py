# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D with filters of up to 3x3 for RV32: nine weights in registers, swept along the image's longer side."""

from __future__ import annotations

from dataclasses import dataclass

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
    """A layer for the kernel. `band` output lines are computed at a time, from copies in `scratch` bytes."""

    filters: Filters
    rounding: Rounding
    band: int
    scratch: int


def _plan(layer: Layer) -> Plan | None:
    """How the kernel computes `layer`; None where it cannot."""
    f = filters(layer) if _lines.suits(layer) else None
    r = None if f is None or f.live == 0 else rounding(f)
    if f is None or r is None:
        return None
    lines, places = _lines.line_axes(layer)
    planes = GROUP if layer.attributes["depth_multiplier"] == 1 and f.count % GROUP == 0 else 1
    line = planes * _lines.extent(places, places.output)
    band = max(1, min(lines.output, (SCRATCH // line - _lines.TAPS) // lines.stride + 1))
    # Bands of about the same size.
    band = -(-lines.output // -(-lines.output // band))
    found = Plan(f, r, band, line * _lines.extent(lines, band))
    return found if found.scratch <= SCRATCH_LIMIT else None


def _applies(layer: Layer) -> bool:
    return _plan(layer) is not None


def _bind(layer: Layer) -> Binding:
    p = _plan(layer)
    assert p is not None
    f, r = p.filters, p.rounding
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=_lines.params(layer, f, p.band, r.sum_shift, r.negative),
        constants=(Constant("stream", _lines.pack(layer, f, f.bias << r.sum_shift, r.scaling(f))),),
        scratch=p.scratch,
    )


def _cost(layer: Layer) -> float:
    """Instructions of tinyc_depthwise_conv_2d_s8_rv32."""
    return 1.0


KERNELS = (Kernel("tinyc_depthwise_conv_2d_s8_rv32", "DEPTHWISE_CONV_2D", _bind, _cost, _applies, isa="rv32"),)
