# SPDX-License-Identifier: Apache-2.0
"""Same model, same bytes: in another process, hash order, folder, home and time zone; and nothing of this machine in them."""

import getpass
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tinyc

ROOT = Path(__file__).resolve().parent.parent.parent
TINYC = (sys.executable, "-c", "from tinyc.cli import main; main()")
KWS = ROOT / "examples" / "kws" / "kws.tflite"
BOARDS = [
    ("nucleo_f446re", "platformio"),
    ("esp32", "platformio"),
    ("mps2-an386", "cmake"),
    ("pico", "cmake"),
    ("host", "c"),
]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def build(folder: Path, model: str, board: str, kind: str, output: str, **environment: str) -> dict[str, bytes]:
    """One `tinyc build` in a process of its own, started in `folder`."""
    command = [*TINYC, "build", model, "-b", board, "--format", kind, "--verify", "none", "-o", output]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, done.stderr
    return contents(folder / output)


@pytest.mark.parametrize(("board", "kind"), BOARDS[:3])
def test_two_builds_are_equal(board: str, kind: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there" / "deeper"
    here.mkdir()
    there.mkdir(parents=True)
    shutil.copy(KWS, there / "kws.tflite")
    os.utime(there / "kws.tflite", (1, 1))
    first = build(here, str(KWS), board, kind, str(here / "out"), PYTHONHASHSEED="1", TZ="UTC", LC_ALL="C")
    second = build(there, "kws.tflite", board, kind, "out", PYTHONHASHSEED="2", TZ="Asia/Tokyo", HOME=str(tmp_path))
    assert first.keys() == second.keys()
    assert [path for path in first if first[path] != second[path]] == []
    tinyc.compile(KWS, board=board, format=kind, verify="none").write(here / "out")
    assert contents(here / "out") == first, "a rebuild in the same folder"


@pytest.mark.parametrize(("board", "kind"), BOARDS)
def test_nothing_of_this_machine_is_in_the_files(board: str, kind: str) -> None:
    built = tinyc.compile(KWS, board=board, format=kind, verify="none")
    now = datetime.now(UTC)
    machine = {
        str(ROOT),
        str(Path.home()),
        str(ROOT.parent),
        os.getcwd(),
        socket.gethostname(),
        f"{now:%Y-%m-%d}",
        f"{now:%d %b %Y}",
        f"{now:%b %d %Y}",
    }
    words = {word for word in (getpass.getuser(),) if word not in ("root", "user")}
    for path, data in built.files.items():
        if path.endswith(".tflite"):
            continue
        text = data.decode("utf-8")
        assert [found for found in machine if len(found) > 3 and found in text] == [], path
        assert [word for word in words if re.search(rf"\b{re.escape(word)}\b", text)] == [], path
        assert not re.search(r"(?<![\w.:/])/(home|tmp|root|usr|work|Users)/", text), path
        assert "\r" not in text and text.endswith("\n"), path


def test_plain_c_has_only_the_library_and_no_main() -> None:
    built = tinyc.compile(KWS, board="nucleo_f446re", format="c", verify="none")
    others = {path for path in built.files if not path.endswith((".c", ".h"))}
    assert others == {"report.json", "report.html", "kws.tflite"}
    assert {path: built.files[path] for path in built.files if path not in others} == dict(built.sources)
    assert all("/" not in path for path in built.files)
    assert built.files["kws.tflite"] == KWS.read_bytes()
    for path in built.sources:
        assert not re.search(rb"\bmain\s*\(", built.files[path]), path
    assert re.search(rb"\bmain\s*\(", tinyc.compile(KWS, board="host", verify="none").files["src/main.c"])


@pytest.mark.parametrize(("board", "kind"), BOARDS)
def test_the_report_lists_every_file_with_its_hash(board: str, kind: str) -> None:
    files = tinyc.compile(KWS, board=board, format=kind, verify="none").files
    listed = json.loads(files["report.json"])["files"]
    assert listed == {path: hashlib.sha256(data).hexdigest() for path, data in files.items() if path != "report.json"}
