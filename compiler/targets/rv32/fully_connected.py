# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED for RV32: three pixels with two multiplications."""

from __future__ import annotations

from .. import Kernel
from . import _triples

KERNELS = (Kernel("tinyc_conv_2d_s8_rv32", "FULLY_CONNECTED", _triples.bind, _triples.cost, _triples.applies, isa="rv32"),)
