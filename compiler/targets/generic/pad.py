# SPDX-License-Identifier: Apache-2.0
"""PAD in portable C."""

from __future__ import annotations

from .. import Kernel
from . import _pad

KERNELS = (Kernel("tinyc_pad", "PAD", _pad.bind, _pad.cost),)
