# SPDX-License-Identifier: Apache-2.0
"""ADD and SUB share one kernel for the DSP extension."""

from __future__ import annotations

from ...graph import Layer
from ...ops._additive import RealMultipliers
from .. import Kernel, _weighted_sum


def _cost(layer: Layer) -> float:
    """Counted in the C file: eight outputs, those left over, and the clamp of four."""
    eights, rest = divmod(layer.output.elements, 8)
    clamp = layer.output.elements * 2.0 + 20.0 if _weighted_sum.clamped(layer) else 0.0
    return 40.0 + 46.0 * eights + 11.0 * rest + clamp


def weighted_sum_kernel(op: str, multipliers: RealMultipliers, sign: int) -> Kernel:
    """`tinyc_weighted_sum_s8_dsp` for ADD (`sign` 1) or SUB (`sign` -1)."""
    return _weighted_sum.kernel("tinyc_weighted_sum_s8_dsp", "cortex_m_dsp", op, multipliers, sign, _cost)
