# SPDX-License-Identifier: Apache-2.0
"""PAD in portable C."""

from __future__ import annotations

from . import _pad

KERNELS = _pad.kernels("PAD")
