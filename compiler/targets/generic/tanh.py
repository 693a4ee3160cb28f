# SPDX-License-Identifier: Apache-2.0
"""TANH in portable C: a table."""

from ...ops.tanh import values
from ._lookup import lookup_kernel

KERNELS = (lookup_kernel("TANH", values),)
