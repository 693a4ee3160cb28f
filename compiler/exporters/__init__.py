# SPDX-License-Identifier: Apache-2.0
"""Graph → model file, for oracles, examples and other tools."""
