# SPDX-License-Identifier: Apache-2.0
"""Writing a build: all or nothing, never over a user's work."""

import json
import os
from pathlib import Path

import pytest
from tinyc.errors import ToolError, UsageError
from tinyc.output import manifest, write_files

LIBRARY = "lib/kws/src/kws.c"


def build(**changed: bytes) -> dict[str, bytes]:
    files = {LIBRARY: b"int x;", "src/main.cpp": b"main", "platformio.ini": b"[env]", **changed}
    files["report.json"] = json.dumps({"tinyc": "0", "files": manifest(files)}).encode()
    return files


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_new_folder_holds_exactly_the_files(tmp_path: Path) -> None:
    assert write_files(build(), tmp_path / "out") == []
    assert contents(tmp_path / "out") == build()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_missing_parents_are_made(tmp_path: Path) -> None:
    write_files(build(), tmp_path / "a" / "b")
    assert contents(tmp_path / "a" / "b") == build()


def test_rebuild_replaces_and_removes(tmp_path: Path) -> None:
    write_files(build(extra=b"old"), tmp_path / "out")
    write_files(build(**{LIBRARY: b"int y;"}), tmp_path / "out")
    assert contents(tmp_path / "out") == build(**{LIBRARY: b"int y;"})


def test_users_own_files_survive(tmp_path: Path) -> None:
    write_files(build(), tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (tmp_path / "out" / "src" / "main.cpp").write_text("edited")
    assert write_files(build(**{LIBRARY: b"int y;"}), tmp_path / "out") == ["src/main.cpp"]
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "out" / "src" / "main.cpp").read_text() == "edited"
    assert (tmp_path / "out" / LIBRARY).read_bytes() == b"int y;"


def test_edited_library_is_refused_then_forced(tmp_path: Path) -> None:
    write_files(build(), tmp_path / "out")
    (tmp_path / "out" / LIBRARY).write_text("patched")
    with pytest.raises(UsageError, match=r"changed by hand.*kws\.c"):
        write_files(build(**{LIBRARY: b"int y;"}), tmp_path / "out")
    assert (tmp_path / "out" / LIBRARY).read_text() == "patched"
    write_files(build(**{LIBRARY: b"int y;"}), tmp_path / "out", force=True)
    assert (tmp_path / "out" / LIBRARY).read_bytes() == b"int y;"


def test_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not an earlier build"):
        write_files(build(), tmp_path)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        write_files(build(), tmp_path / "out")


def test_hostile_report_cannot_delete_outside(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("keep")
    write_files(build(), tmp_path / "out")
    report = {"tinyc": "0", "files": {"../victim.txt": "0", str(victim): "0"}}
    (tmp_path / "out" / "report.json").write_text(json.dumps(report))
    write_files(build(), tmp_path / "out", force=True)
    assert victim.read_text() == "keep"


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "main.cpp":
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ToolError, match="No space left"):
        write_files(build(), tmp_path / "a" / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_parent(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ToolError, match="Permission denied"):
            write_files(build(), tmp_path / "out")
        assert list(tmp_path.iterdir()) == []
    finally:
        tmp_path.chmod(0o700)
