# SPDX-License-Identifier: Apache-2.0
"""The data folders are found in an editable install and in a wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tinyc.resources
from tinyc.errors import ToolError, UsageError
from tinyc.resources import KINDS, resource


@pytest.mark.parametrize("kind", KINDS)
def test_found_here(kind: str) -> None:
    assert resource(kind).is_dir()
    assert resource(kind).name == kind


@pytest.mark.parametrize("kind", KINDS)
def test_found_in_a_wheel(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "tinyc"
    shutil.copytree(resource(kind), package / kind)
    monkeypatch.setattr(tinyc.resources, "__file__", str(package / "resources.py"))
    assert resource(kind) == (package / kind).resolve()


def test_missing_data_is_a_clean_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tinyc" / "boards").mkdir(parents=True)
    monkeypatch.setattr(tinyc.resources, "__file__", str(tmp_path / "tinyc" / "resources.py"))
    with pytest.raises(ToolError, match="'boards' is missing") as error:
        resource("boards")
    assert "install tinyc again" in error.value.hint


def test_unknown_kind() -> None:
    with pytest.raises(UsageError, match="unknown kind 'board'"):
        resource("board")
