# SPDX-License-Identifier: Apache-2.0
"""RELU in portable C: a table."""

from ...ops.relu import values
from ._lookup import lookup_kernel

KERNELS = (lookup_kernel("RELU", values),)
