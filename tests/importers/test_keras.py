# SPDX-License-Identifier: Apache-2.0
"""Keras files and SavedModels: what can be said without TensorFlow."""

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from tinyc.errors import ModelError, ToolError
from tinyc.importers import keras
from tinyc.importers.keras import PYTHON_VARIABLE, convert, is_keras

HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(100)


def keras_zip(**members: bytes | str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return data.getvalue()


KERAS = keras_zip(config__json="{}", metadata__json="{}", **{"model__weights__h5": b""})


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def interpreter(folder: Path, body: str) -> Path:
    """A program in place of a Python interpreter: `args` are the script, the source, the result and the error file."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\nargs = sys.argv[1:]\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.keras", KERAS, True),
        ("a.h5", HDF5, True),
        ("a.HDF5", HDF5, True),
        ("renamed.bin", HDF5, True),
        ("renamed.bin", KERAS, True),
        ("a.zip", keras_zip(other=b"1"), False),
        ("a.zip", b"PK\x03\x04 cut off", False),
        ("a.tflite", b"\x1c\0\0\0TFL3" + bytes(40), False),
        ("a.txt", b"", False),
    ],
)
def test_is_keras(tmp_path: Path, name: str, data: bytes, expected: bool) -> None:
    assert is_keras(written(tmp_path, name, data)) is expected


def test_is_keras_folders_and_missing_files(tmp_path: Path) -> None:
    assert not is_keras(tmp_path)
    written(tmp_path, "saved_model.pb", b"x")
    assert is_keras(tmp_path) and is_keras(tmp_path / "saved_model.pb")
    assert is_keras(tmp_path / "missing.keras") and not is_keras(tmp_path / "missing.tflite")


@pytest.mark.parametrize(
    ("name", "data", "found", "hint"),
    [
        ("a.keras", b"", "an empty file", "convert the model again"),
        ("a.h5", b"hello, this is a text\n", "a text file", "which file was meant"),
        ("a.h5", b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer", "git lfs pull"),
        ("a.h5", b"\x1c\0\0\0TFL3" + bytes(40), "a .tflite file already", "rename it"),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, data: bytes, found: str, hint: str) -> None:
    with pytest.raises(ModelError) as error:
        convert(written(tmp_path, name, data))
    assert error.value.found.startswith(found) and hint in error.value.hint
    assert ".keras or .h5" in error.value.expected


def test_missing_file_suggests_a_name(tmp_path: Path) -> None:
    written(tmp_path, "gesture.keras", KERAS)
    with pytest.raises(ModelError, match=r"did you mean 'gesture\.keras'"):
        convert(tmp_path / "gestur.keras")
    with pytest.raises(ModelError, match="does not exist either"):
        convert(tmp_path / "nowhere" / "a.keras")


def test_folder_that_is_no_saved_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a folder without saved_model\.pb"):
        convert(tmp_path)


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras, "MAX_FILE_BYTES", 50)
    with pytest.raises(ModelError, match="no microcontroller"):
        convert(written(tmp_path, "a.h5", HDF5))


def test_without_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real interpreter with the standard library alone."""
    program = f"os.execv({sys.executable!r}, [{sys.executable!r}, '-I', '-S', *args])"
    monkeypatch.setenv(PYTHON_VARIABLE, str(interpreter(tmp_path, program)))
    with pytest.raises(ToolError) as error:
        convert(written(tmp_path, "a.keras", KERAS))
    assert "tensorflow is not installed" in error.value.found
    assert "pip install 'tinyc[tensorflow]'" in error.value.hint and PYTHON_VARIABLE in error.value.hint
    assert error.value.exit_code == 4


def test_no_such_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PYTHON_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(ToolError, match="cannot run"):
        convert(written(tmp_path, "a.keras", KERAS))


def test_time_limit_ends_what_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a process that the interpreter started and that holds its output."""
    pid = tmp_path / "pid"
    body = f"""
import subprocess
child = subprocess.Popen([{sys.executable!r}, "-c", "import time; time.sleep(60)"])
open({str(pid)!r}, "w").write(str(child.pid))
time.sleep(60)"""
    monkeypatch.setenv(PYTHON_VARIABLE, str(interpreter(tmp_path, body)))
    start = time.monotonic()
    with pytest.raises(ToolError, match="within 2 seconds"):
        convert(written(tmp_path, "a.h5", HDF5), seconds=2)
    assert time.monotonic() - start < 20
    for _ in range(100):
        if not _running(int(pid.read_text())):
            return
        time.sleep(0.05)
    pytest.fail("the process runs on")


def _running(pid: int) -> bool:
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(status.strip()) and not status.strip().startswith("Z")


def test_crash_shows_the_end_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "for k in range(50): print('line', k, file=sys.stderr)\nsys.stderr.flush(); os.kill(os.getpid(), 11)"
    monkeypatch.setenv(PYTHON_VARIABLE, str(interpreter(tmp_path, body)))
    with pytest.raises(ToolError) as error:
        convert(written(tmp_path, "a.h5", HDF5))
    assert "signal 11" in error.value.found and "line 49" in error.value.found and "line 3\n" not in error.value.found


@pytest.mark.parametrize(("kind", "error"), [("model", ModelError), ("tool", ToolError)])
def test_errors_of_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, error: type[ModelError | ToolError]
) -> None:
    fields = json.dumps({"kind": kind, "found": "bad layer", "expected": "good ones", "hint": "do this"})
    monkeypatch.setenv(
        PYTHON_VARIABLE, str(interpreter(tmp_path, f"open(args[3], 'w').write({fields!r}); sys.exit(1)"))
    )
    with pytest.raises(error) as raised:
        convert(written(tmp_path, "a.h5", HDF5))
    assert raised.value.found == "bad layer" and raised.value.expected == "good ones"


@pytest.mark.parametrize("written_by_script", ["not json", '{"kind": "model"}', "[]"])
def test_broken_error_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written_by_script: str) -> None:
    body = f"open(args[3], 'w').write({written_by_script!r}); sys.exit(3)"
    monkeypatch.setenv(PYTHON_VARIABLE, str(interpreter(tmp_path, body)))
    with pytest.raises(ToolError, match="exit code 3"):
        convert(written(tmp_path, "a.h5", HDF5))


def test_success_without_a_file_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PYTHON_VARIABLE, str(interpreter(tmp_path, "pass")))
    with pytest.raises(ToolError, match="exit code 0"):
        convert(written(tmp_path, "a.h5", HDF5))


def test_progress_and_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script gets absolute paths and an empty folder of its own; saved_model.pb stands for its folder."""
    body = """
assert os.path.isabs(args[1]) and os.path.isdir(args[1]), args
assert sorted(os.listdir(".")) == ["log"], os.listdir(".")
print("noise"); print("tinyc: converting", flush=True)
open(args[2], "wb").write(b"result")"""
    interpreter(tmp_path, body)
    monkeypatch.setenv(PYTHON_VARIABLE, os.path.join(".", "python"))
    folder = tmp_path / "model"
    folder.mkdir()
    said: list[str] = []
    monkeypatch.chdir(tmp_path)
    assert convert(Path(os.path.relpath(written(folder, "saved_model.pb", b"x"))), said.append) == b"result"
    assert said == ["converting saved_model.pb with TensorFlow", "converting"]


def test_interruption_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"
    body = f"open({str(pid)!r}, 'w').write(str(os.getpid())); print('tinyc: loading', flush=True); time.sleep(60)"
    monkeypatch.setenv(PYTHON_VARIABLE, str(interpreter(tmp_path, body)))

    def progress(text: str) -> None:
        if text == "loading":
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        convert(written(tmp_path, "a.h5", HDF5), progress)
    assert time.monotonic() - start < 20 and not _running(int(pid.read_text()))
