# SPDX-License-Identifier: Apache-2.0
"""File → Graph. The only place that knows a file format."""
