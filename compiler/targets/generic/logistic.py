# SPDX-License-Identifier: Apache-2.0
"""LOGISTIC in portable C: a table."""

from ...ops.logistic import values
from ._lookup import lookup_kernel

KERNELS = (lookup_kernel("LOGISTIC", values),)
