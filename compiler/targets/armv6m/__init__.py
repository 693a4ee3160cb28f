# SPDX-License-Identifier: Apache-2.0
"""Kernels for Armv6-M, which is the Cortex-M0+ (eight general registers, no product of more than 32 bits)."""

REQUIRES: frozenset[str] = frozenset({"armv6m"})
