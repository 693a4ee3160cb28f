# SPDX-License-Identifier: Apache-2.0
"""A file of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class File:
    """A file of a folder: `name` is its path in there with `/`, `label` its first sub-folder if it has one."""

    path: Path
    name: str
    label: str | None
