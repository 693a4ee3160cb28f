# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D with filters of up to 3x3 for Xtensa with MAC16: a line of outputs at a time from four lines of halfwords."""

from __future__ import annotations

from ...graph import Layer
from ...program import Binding, Constant, Input, Output, ParamsPointer, Scratch, Table
from .. import Kernel, _lines
from . import _mac16


def _scratch(layer: Layer) -> int:
    """Bytes: four lines of halfwords, and a line of sums; three outputs are computed at a time."""
    _, places = _lines.line_axes(layer)
    outputs = -(-places.output // 3) * 3
    return 8 * _lines.extent(places, outputs) + 4 * outputs


def _applies(layer: Layer) -> bool:
    return _lines.suits(layer) and _mac16.plan(layer) is not None and _scratch(layer) <= _mac16.SCRATCH_LIMIT


def _bind(layer: Layer) -> Binding:
    p = _mac16.plan(layer)
    assert p is not None
    table = _lines.pack(layer, p.filters, p.start, p.scaling)
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=_lines.params(layer, p.filters, 0, _mac16.SUM_SHIFT, p.rounding.negative),
        constants=(Constant("stream", table),),
        scratch=_scratch(layer),
    )


def _cost(layer: Layer) -> float:
    """Instructions of tinyc_depthwise_conv_2d_s8_xtensa."""
    return 1.0


KERNELS = (Kernel("tinyc_depthwise_conv_2d_s8_xtensa", "DEPTHWISE_CONV_2D", _bind, _cost, _applies, isa="xtensa"),)
