# SPDX-License-Identifier: Apache-2.0
"""MAX_POOL_2D in portable C."""

from __future__ import annotations

from .. import Kernel
from . import _pool

KERNELS = (
    Kernel("tinyc_max_pool_2d_s8", "MAX_POOL_2D", _pool.bind, lambda layer: _pool.cost(layer, 30.0)),
    Kernel(
        "tinyc_max_pool_2d_s16", "MAX_POOL_2D", _pool.bind, lambda layer: _pool.cost(layer, 34.0, 8.7), dtype="int16"
    ),
    Kernel(
        "tinyc_max_pool_2d_f32",
        "MAX_POOL_2D",
        _pool.bind_float32,
        lambda layer: _pool.cost(layer, 37.0, 9.7),
        dtype="float32",
    ),
)
