# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D for the DSP extension."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...graph import Layer
from ...program import Binding
from .. import Kernel
from . import _direct, _planes

#: STEPS_MAX in tinyc_depthwise_s8_dsp.c.
STEPS_MAX = 8

#: Layouts of a layer that a kernel is offered with, from the cheapest to the one with the least scratch.
LAYOUTS = 3

#: Instructions per output of the clamp that activations other than the whole range need.
CLAMP = 2.0

Requantization = Callable[[_planes.Channels], _planes.Scaled | None]


def _fits(layer: Layer) -> bool:
    """No dilation, and weights known at build time."""
    taps, dilation = layer.input(1).shape[1:3], layer.attributes["dilation"]
    return all(t == 1 or d == 1 for t, d in zip(taps, dilation, strict=True)) and _planes.constant(layer)


def _along(layer: Layer, transposed: bool) -> tuple[int, int, int]:
    """(outputs, stride, taps) along the lines."""
    axis = 0 if transposed else 1
    return layer.output.shape[1 + axis], layer.attributes["stride"][axis], layer.input(1).shape[1 + axis]


# 3x3


@dataclass(frozen=True)
class _Rates:
    """How a 3x3 kernel transposes: channels together, bytes from line to line (TINYC_3X3_PITCH in C), instructions per quad of columns."""

    lanes: int
    pitch: int
    quad: float


FOURS = _Rates(4, 256, 25.0)
PAIRS = _Rates(2, 112, 16.0)


def _layouts_3x3(layer: Layer, rates: _Rates) -> list[_planes.Planes]:
    """Layouts by rows and by columns, from the cheapest to the one with the least scratch."""
    found = []
    for transposed in (False, True):
        outputs, stride, _ = _along(layer, transposed)
        words = -(-outputs // 2) + 1 if stride == 1 else outputs + 1 + outputs % 2
        if stride in (1, 2):
            found += _planes.layouts(layer, transposed, words, rates.pitch, rates.lanes)
    return _planes.best(found, lambda p: _instructions_3x3(layer, p, False, rates))


def _instructions_3x3(layer: Layer, p: _planes.Planes, signed: bool, rates: _Rates) -> float:
    """Counted on Cortex-M4 with arm-none-eabi-gcc 12 -O2: within 2 % for 38 shapes."""
    w = _planes.work(layer, p)
    pair, unrolled = (23, 6) if p.columns.stride == 1 else (26, 4)
    pairs, rest = divmod(p.columns.output, 2)
    turns = -(-pairs // unrolled)
    line = 8 + (pair + 5 * signed) * pairs + (13 + 3 * signed) * rest + (5 + 3 * turns if turns > 1 else 0)
    lines = layer.output.elements // p.columns.output
    shared = 160.0 + 42.0 * w.groups + 66.0 * w.bands + 92.0 * w.calls + 9.0 * w.lines + rates.quad * w.quads
    moves = 20.0 * w.moves + 0.5 * w.moved + 6.2 * w.gathered + CLAMP * w.clamped
    return shared + moves + 46.0 * w.channels + float(lines * line)


def _kernel_3x3(function: str, requantization: Requantization, signed: bool, rates: _Rates, number: int) -> Kernel:
    """The kernel with its layout of this number."""

    def applies(layer: Layer) -> bool:
        return (
            _fits(layer)
            and layer.input(1).shape[1:3] == (3, 3)
            and len(_layouts_3x3(layer, rates)) > number
            and requantization(_planes.channels(layer, False)) is not None
        )

    def bind(layer: Layer) -> Binding:
        p = _layouts_3x3(layer, rates)[number]
        c = _planes.channels(layer, p.transposed)
        scaled = requantization(c)
        assert scaled is not None
        return _planes.bind(layer, p, _planes.records_3x3(c, scaled))

    def cost(layer: Layer) -> float:
        return _instructions_3x3(layer, _layouts_3x3(layer, rates)[number], signed, rates)

    return Kernel(function, "DEPTHWISE_CONV_2D", bind, cost, applies, isa="cortex_m_dsp")


# Any filter


def _steps(layer: Layer, transposed: bool) -> int:
    """Pairs of weights that the kernel takes for a filter line."""
    _, stride, taps = _along(layer, transposed)
    return taps // 2 + 1 if stride == 1 else (taps + 1) // 2


def _layouts_any(layer: Layer) -> list[_planes.Planes]:
    found = []
    for transposed in (False, True):
        outputs, stride, _ = _along(layer, transposed)
        turns, steps = -(-outputs // 4), _steps(layer, transposed)
        if steps <= STEPS_MAX:
            words = 2 * turns - 1 + steps if stride == 1 else -(-((4 * turns - 1) * stride) // 2) + steps
            found += _planes.layouts(layer, transposed, words, None)
    return _planes.best(found, lambda p: _instructions_any(layer, p))


def _instructions_any(layer: Layer, p: _planes.Planes) -> float:
    """Counted on Cortex-M4 with arm-none-eabi-gcc 12 -O2: within 2 % for 38 shapes."""
    w = _planes.work(layer, p)
    one, steps = p.columns.stride == 1, _steps(layer, p.transposed)
    turns = -(-p.columns.output // 4)
    line = turns * (36 + p.lines.taps * (4 + steps * (6 if one else 9))) + (10, 3, 5, 8)[p.columns.output % 4]
    lines = layer.output.elements // p.columns.output
    widened = 95.0 + p.lines.taps * (2.0 + steps * (9.0 if one else 5.0))
    shared = 90.0 + 70.0 * w.groups + 14.0 * w.lines + 25.0 * w.quads
    moves = 86.0 * w.moves + 0.5 * w.moved + 6.0 * w.gathered + CLAMP * w.clamped
    return shared + moves + widened * w.channels + float(lines * line)


def _kernel_any(number: int) -> Kernel:
    """The kernel with its layout of this number."""

    def applies(layer: Layer) -> bool:
        return (
            _fits(layer)
            and len(_layouts_any(layer)) > number
            and _planes.signed(_planes.channels(layer, False)) is not None
        )

    def bind(layer: Layer) -> Binding:
        p = _layouts_any(layer)[number]
        c = _planes.channels(layer, p.transposed)
        scaled = _planes.signed(c)
        assert scaled is not None
        steps = _steps(layer, p.transposed)
        spare = p.lines.taps * steps * (8 if p.columns.stride == 1 else 4)
        return _planes.bind(layer, p, _planes.records(c, scaled, steps), spare)

    def cost(layer: Layer) -> float:
        return _instructions_any(layer, _layouts_any(layer)[number])

    return Kernel("tinyc_depthwise_s8_dsp", "DEPTHWISE_CONV_2D", bind, cost, applies, isa="cortex_m_dsp")


# Without planes


def _direct_applies(layer: Layer) -> bool:
    return (
        layer.attributes["depth_multiplier"] == 1
        and _planes.constant(layer)
        and _direct.requantization(layer) is not None
    )


def _direct_pairs_applies(layer: Layer) -> bool:
    return _planes.constant(layer) and _direct.pairs_apply(layer)


def _direct_cost(layer: Layer) -> float:
    return _direct.cost(layer, _planes.relu(_planes.channels(layer, False)) is not None)


KERNELS = (
    *(_kernel_3x3("tinyc_depthwise_3x3_relu_s8_dsp", _planes.relu, False, FOURS, n) for n in range(LAYOUTS)),
    *(_kernel_3x3("tinyc_depthwise_3x3_s8_dsp", _planes.signed, True, FOURS, n) for n in range(LAYOUTS)),
    *(_kernel_3x3("tinyc_depthwise_3x3_pairs_relu_s8_dsp", _planes.relu, False, PAIRS, n) for n in range(LAYOUTS)),
    *(_kernel_3x3("tinyc_depthwise_3x3_pairs_s8_dsp", _planes.signed, True, PAIRS, n) for n in range(LAYOUTS)),
    *(_kernel_any(n) for n in range(LAYOUTS)),
    Kernel(
        "tinyc_depthwise_direct_s8_dsp",
        "DEPTHWISE_CONV_2D",
        _direct.bind,
        _direct_cost,
        _direct_applies,
        isa="cortex_m_dsp",
    ),
    Kernel(
        "tinyc_depthwise_direct_pairs_relu_s8_dsp",
        "DEPTHWISE_CONV_2D",
        _direct.pairs_bind,
        _direct.pairs_cost,
        _direct_pairs_applies,
        isa="cortex_m_dsp",
    ),
)
