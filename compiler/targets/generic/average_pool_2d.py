# SPDX-License-Identifier: Apache-2.0
"""AVERAGE_POOL_2D in portable C."""

from __future__ import annotations

from .. import Kernel
from . import _pool

KERNELS = (Kernel("tinyc_average_pool_2d_s8", "AVERAGE_POOL_2D", _pool.bind, lambda layer: _pool.cost(layer, 60.0)),)
