# SPDX-License-Identifier: Apache-2.0
"""Portable C99 kernels for every operator: the floor that every core can use."""

REQUIRES: frozenset[str] = frozenset()
