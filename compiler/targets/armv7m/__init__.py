# SPDX-License-Identifier: Apache-2.0
"""Kernels for Armv7-M without the DSP extension, which is the Cortex-M3 (MLA, SMULL, SSAT, LDM)."""

REQUIRES: frozenset[str] = frozenset({"armv7m"})
