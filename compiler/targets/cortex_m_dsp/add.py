# SPDX-License-Identifier: Apache-2.0
"""ADD of equal shapes for the DSP extension."""

from ...ops._additive import add_multipliers
from ._weighted_sum import weighted_sum_kernel

KERNELS = (weighted_sum_kernel("ADD", add_multipliers, 1),)
