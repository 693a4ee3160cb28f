# SPDX-License-Identifier: Apache-2.0
"""MAX_POOL_2D for Helium."""

from __future__ import annotations

from ...graph import Layer
from .. import Kernel
from ._pool import bind, cost


def _cost(layer: Layer) -> float:
    return cost(layer, 6.0, 20.0)


KERNELS = (Kernel("tinyc_max_pool_2d_s8_mve", "MAX_POOL_2D", bind, _cost, isa="cortex_m_mve"),)
