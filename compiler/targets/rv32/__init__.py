# SPDX-License-Identifier: Apache-2.0
"""Kernels for RV32 with multiplication: no SIMD, 31 registers."""

REQUIRES: frozenset[str] = frozenset({"riscv"})
