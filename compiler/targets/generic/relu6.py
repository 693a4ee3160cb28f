# SPDX-License-Identifier: Apache-2.0
"""RELU6 in portable C: a table."""

from ...ops.relu6 import values
from ._lookup import lookup_kernel

KERNELS = (lookup_kernel("RELU6", values),)
