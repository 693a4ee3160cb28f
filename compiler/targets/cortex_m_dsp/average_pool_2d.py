# SPDX-License-Identifier: Apache-2.0
"""AVERAGE_POOL_2D for the DSP extension."""

from __future__ import annotations

from ...graph import Layer
from .. import Kernel
from ..generic.average_pool_2d import bind_rows
from ._pool import Rates, bind, cost, largest_window

#: Sums of so many int8 values fit into 16 bits.
WINDOW_LIMIT = 256


def _applies(layer: Layer) -> bool:
    return largest_window(layer) <= WINDOW_LIMIT


def _cost(layer: Layer) -> float:
    return cost(layer, Rates(50.0, 167.0, 14.0, 22.0, 10.0, 7.0))


def _rows_apply(layer: Layer) -> bool:
    _, height, width, depth = layer.input(0).shape
    return depth % 4 == 0 and height * width <= WINDOW_LIMIT


def _cost_of_rows(layer: Layer) -> float:
    first, last = (int(end) for end in layer.attributes["partial"][:2])
    values, depth = layer.input(0).elements, layer.output.elements
    return 25.0 + 1.5 * values + depth * (4.25 + 2.0 * first + 15.0 * last)


KERNELS = (
    Kernel("tinyc_average_pool_2d_s8_dsp", "AVERAGE_POOL_2D", bind, _cost, _applies, isa="cortex_m_dsp"),
    Kernel(
        "tinyc_average_pool_rows_s8_dsp",
        "AVERAGE_POOL_2D",
        bind_rows,
        _cost_of_rows,
        _rows_apply,
        isa="cortex_m_dsp",
        partial=True,
    ),
)
