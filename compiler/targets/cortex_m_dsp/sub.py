# SPDX-License-Identifier: Apache-2.0
"""SUB of equal shapes for the DSP extension: ADD with a negative sign."""

from ...ops._additive import sub_multipliers
from ._weighted_sum import weighted_sum_kernel

KERNELS = (weighted_sum_kernel("SUB", sub_multipliers, -1),)
