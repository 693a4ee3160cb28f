# SPDX-License-Identifier: Apache-2.0
"""CONV_2D for Xtensa with MAC16."""

from __future__ import annotations

from functools import partial

from .. import Kernel
from . import _mac16

KERNELS = tuple(
    Kernel(
        "tinyc_conv_2d_s8_xtensa",
        "CONV_2D",
        partial(_mac16.bind, room=room),
        partial(_mac16.cost, room=room),
        partial(_mac16.applies, room=room),
        isa="xtensa",
    )
    for room in _mac16.PASS_SCRATCH
)
