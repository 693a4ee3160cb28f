# SPDX-License-Identifier: Apache-2.0
"""What all commands share: `-h` works like `--help`, also when a command is used without the group."""

from __future__ import annotations

from typing import Any

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
