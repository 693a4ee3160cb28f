# SPDX-License-Identifier: Apache-2.0
"""AVERAGE_POOL_2D for the DSP extension."""

from __future__ import annotations

from ...graph import Layer
from .. import Kernel
from ._pool import Rates, bind, cost, largest_window

#: Sums of so many int8 values fit into 16 bits.
WINDOW_LIMIT = 256


def _applies(layer: Layer) -> bool:
    return largest_window(layer) <= WINDOW_LIMIT


def _cost(layer: Layer) -> float:
    return cost(layer, Rates(50.0, 167.0, 14.0, 22.0, 10.0, 7.0))


KERNELS = (Kernel("tinyc_average_pool_2d_s8_dsp", "AVERAGE_POOL_2D", bind, _cost, _applies, isa="cortex_m_dsp"),)
