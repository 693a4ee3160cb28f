# SPDX-License-Identifier: Apache-2.0
"""MAX_POOL_2D in portable C."""

from __future__ import annotations

from .. import Kernel
from . import _pool

KERNELS = (Kernel("tinyc_max_pool_2d_s8", "MAX_POOL_2D", _pool.bind, lambda layer: _pool.cost(layer, 30.0)),)
