# SPDX-License-Identifier: Apache-2.0
"""Accelerators beside the processor: one folder each. A model compiled for one is an operator of its own in the graph."""
