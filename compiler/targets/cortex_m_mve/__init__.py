# SPDX-License-Identifier: Apache-2.0
"""Kernels for Helium, the M-profile vector extension of Cortex-M55 and M85 (VMLADAV, VQRDMULH, VRSHL, gathers)."""

REQUIRES: frozenset[str] = frozenset({"mve"})
