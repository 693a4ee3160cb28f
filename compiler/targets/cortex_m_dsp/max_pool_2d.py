# SPDX-License-Identifier: Apache-2.0
"""MAX_POOL_2D for the DSP extension."""

from __future__ import annotations

from ...graph import Layer
from .. import Kernel, always
from ._pool import Rates, bind, cost


def _cost(layer: Layer) -> float:
    return cost(layer, Rates(59.0, 22.0, 6.0, 20.0, 10.0, 6.0))


KERNELS = (Kernel("tinyc_max_pool_2d_s8_dsp", "MAX_POOL_2D", bind, _cost, always, isa="cortex_m_dsp"),)
