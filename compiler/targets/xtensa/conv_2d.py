# SPDX-License-Identifier: Apache-2.0
"""CONV_2D for Xtensa with MAC16."""

from __future__ import annotations

from functools import partial

from .. import Kernel
from . import _mac16

KERNELS = (
    Kernel("tinyc_conv_2d_s8_xtensa", "CONV_2D", _mac16.bind, _mac16.cost, _mac16.applies, isa="xtensa"),
    Kernel(
        "tinyc_conv_2d_s8_xtensa",
        "CONV_2D",
        partial(_mac16.bind, small=True),
        partial(_mac16.cost, small=True),
        _mac16.applies_small,
        isa="xtensa",
    ),
)
