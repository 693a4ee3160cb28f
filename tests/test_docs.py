# SPDX-License-Identifier: Apache-2.0
"""The generated reference pages are those of the code."""

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = runpy.run_path(str(DOCS / "generate.py"))["pages"]


@pytest.mark.parametrize("name", ["cli.md", "ops.md", "boards.md"])
def test_reference_pages_are_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES()[name], "run `make docs`"
