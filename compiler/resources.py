# SPDX-License-Identifier: Apache-2.0
"""Where the data folders are: templates, the C runtime and the boards.

In a wheel they lie inside the package (`tinyc/templates`); an editable install sees the repository, where they lie
beside `compiler/`. This is the only place that knows both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .errors import ToolError, UsageError, suggestion

#: For each kind a file pattern that only the right folder has: `tests/boards/` or an empty folder is not the data.
KINDS: Final = {"templates": "*/*.j2", "runtime_c": "*/*.h", "boards": "*.toml"}


def resource(kind: str) -> Path:
    """The folder of `kind` ("templates", "runtime_c" or "boards"); raises ToolError if the installation lacks it."""
    if kind not in KINDS:
        raise UsageError("resource", f"unknown kind '{kind}'", hint=suggestion(kind, KINDS))
    package = Path(__file__).resolve().parent
    for folder in (package / kind, package.parent / kind):
        if next(folder.glob(KINDS[kind]), None) is not None:
            return folder
    raise ToolError(
        f"installation of tinyc in {package}",
        f"the data folder '{kind}' is missing",
        expected=f"{kind}/ inside the package, or beside it in a clone of the repository",
        hint="install tinyc again: pip install --force-reinstall tinyc",
    )
