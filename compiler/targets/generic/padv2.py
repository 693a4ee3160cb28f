# SPDX-License-Identifier: Apache-2.0
"""PADV2 in portable C."""

from __future__ import annotations

from . import _pad

KERNELS = _pad.kernels("PADV2")
