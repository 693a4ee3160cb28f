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
    """Instructions of tinyc_depthwise_conv_2d_s8_xtensa.

    Fitted to counts in QEMU with clang 22 of 14 shapes with and without RELU, which are within 4 %. Per multiply-accumulate of a
    3x3 filter with RELU: 25x5x64 5.5, 24x24x32 4.7, 6x6x128 6.4; stride 2 48x48x16 7.9.
    """
    p = _mac16.plan(layer)
    assert p is not None
    f = p.filters
    lines, places = _lines.line_axes(layer)
    channels = layer.input(0).shape[0] * f.count
    steps = channels * ((-(-lines.output // 2) if lines.stride == 1 else lines.output) + 1)
    columns = min(_lines.extent(places, places.output) - places.pad, places.input)
    line = -(-places.output // 3) * (21.0 if lines.stride == 1 else 32.0) + 40.0
    outputs = layer.output.elements * (26.5 if f.clamps_negative else 38.0)
    copies = steps * (30.0 + 14.4 * columns)
    return channels * lines.output * line + outputs + copies + 158.0 * layer.input(0).shape[0] * layer.input(0).shape[3]


def _any_applies(layer: Layer) -> bool:
    return _mac16.plan(layer) is not None and _lines.planes(layer).scratch <= _lines.PLANE_LIMIT


def _any_bind(layer: Layer) -> Binding:
    p = _mac16.plan(layer)
    assert p is not None
    return _lines.bind_planes(layer, p.filters, p.start, p.scaling, _mac16.SUM_SHIFT, p.rounding.negative)


#: Fitted to counts in QEMU with clang 22 of 25 shapes with and without RELU, which are within 4 %.
_PLANES = _lines.PlaneCosts(74.3, 20.3, 26.2, 58.2, 29.9, 31.9, 63.1, 15.8, 28.2, 60.8, 9.3, 5.4, 34.2)


def _any_cost(layer: Layer) -> float:
    """Instructions of tinyc_depthwise_planes_s8_xtensa."""
    p = _mac16.plan(layer)
    assert p is not None
    return _lines.planes_cost(layer, p.filters, _PLANES)


KERNELS = (
    Kernel("tinyc_depthwise_conv_2d_s8_xtensa", "DEPTHWISE_CONV_2D", _bind, _cost, _applies, isa="xtensa"),
    Kernel("tinyc_depthwise_planes_s8_xtensa", "DEPTHWISE_CONV_2D", _any_bind, _any_cost, _any_applies, isa="xtensa"),
)
