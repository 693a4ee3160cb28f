# SPDX-License-Identifier: Apache-2.0
"""PADV2 in portable C."""

from __future__ import annotations

from .. import Kernel
from . import _pad

KERNELS = (Kernel("tinyc_pad", "PADV2", _pad.bind, _pad.cost),)
