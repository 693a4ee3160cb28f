# SPDX-License-Identifier: Apache-2.0
"""`python -m tinyc` is the `tinyc` command."""

from .cli import main

main()
