# SPDX-License-Identifier: Apache-2.0
"""Kernels for Xtensa LX6 and LX7 with MAC16 and zero-overhead loops, as in the ESP32 and the ESP32-S3."""

REQUIRES: frozenset[str] = frozenset({"xtensa"})
