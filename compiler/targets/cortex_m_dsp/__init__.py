# SPDX-License-Identifier: Apache-2.0
"""Kernels for the DSP extension of Cortex-M4, M7 and M33 (SMLAD, SXTB16, SMMLAR, SSAT)."""

REQUIRES: frozenset[str] = frozenset({"dsp"})
