# SPDX-License-Identifier: Apache-2.0
"""AVERAGE_POOL_2D for Helium."""

from __future__ import annotations

from ...graph import Layer
from .. import Kernel
from ._pool import bind, cost, largest_window

#: Sums of so many int8 values fit into 16 bits.
WINDOW_LIMIT = 256


def _applies(layer: Layer) -> bool:
    return largest_window(layer) <= WINDOW_LIMIT


def _cost(layer: Layer) -> float:
    return cost(layer, 8.0, 60.0)


KERNELS = (Kernel("tinyc_average_pool_2d_s8_mve", "AVERAGE_POOL_2D", bind, _cost, _applies, isa="cortex_m_mve"),)
