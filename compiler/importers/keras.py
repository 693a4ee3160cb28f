# SPDX-License-Identifier: Apache-2.0
"""Keras file or SavedModel folder → float32 `.tflite`, by TensorFlow in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ..errors import ModelError, TinycError, ToolError, suggestion
from .schema import FILE_IDENTIFIER
from .wrong_files import explain_wrong_file

#: The interpreter that has TensorFlow, where it is not the one that runs tinyc.
PYTHON_VARIABLE = "TINYC_TENSORFLOW_PYTHON"
TIME_LIMIT = 600.0
MAX_FILE_BYTES = 2 << 30

_SUFFIXES = (".keras", ".h5", ".hdf5")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_EXPECTED = "a .keras or .h5 file with a whole model, or a SavedModel folder"
_SCRIPT = Path(__file__).with_name("_keras_convert.py")
_EXTRA = "pip install 'tinyc[tensorflow]' (tensorflow and tf_keras)"
_INTERPRETER = f"set {PYTHON_VARIABLE} to the Python interpreter of an environment that has them"


def is_keras(path: Path) -> bool:
    """Whether `path` is a Keras file or a SavedModel folder, by its name or its content. A missing file counts by its name."""
    try:
        if path.is_dir():
            return _saved_model(path)
        if path.suffix.lower() in _SUFFIXES or path.name == "saved_model.pb":
            return True
        with path.open("rb") as file:
            head = file.read(8)
        return head == _HDF5 or (head.startswith(_ZIP) and _keras_zip(path))
    except OSError:
        return False


def _saved_model(folder: Path) -> bool:
    return (folder / "saved_model.pb").is_file() or (folder / "saved_model.pbtxt").is_file()


def _keras_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"config.json", "model.weights.h5"} <= set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def _silent(text: str) -> None:
    pass


def convert(path: Path, progress: Callable[[str], None] = _silent, *, seconds: float = TIME_LIMIT) -> bytes:
    """The model at `path` as a float32 `.tflite` file with a batch of 1 and operators of TensorFlow Lite alone.

    TensorFlow runs in another process: of this Python interpreter, or of the one that TINYC_TENSORFLOW_PYTHON names.

    Args:
        path: a `.keras`, `.h5` or `.hdf5` file with a whole model, or a SavedModel folder.
        progress: is told what is being done.
        seconds: how long it may take.

    Raises:
        ModelError: the file cannot be read, or TensorFlow cannot load or convert it.
        ToolError: TensorFlow is missing, crashed, or took too long.
    """
    source = path.parent if path.name == "saved_model.pb" else path
    _check(source)
    python = _interpreter()
    progress(f"converting {path.name} with TensorFlow")
    with tempfile.TemporaryDirectory(prefix="tinyc-keras-") as name:
        folder = Path(name)
        result, error, log = folder / "model.tflite", folder / "error.json", folder / "log"
        command = [python, str(_SCRIPT), str(source.absolute()), str(result), str(error)]
        code = _run(command, folder, log, progress, seconds, str(path))
        if code == 0 and result.is_file():
            return result.read_bytes()
        _fail(path, code, error, log)


def _interpreter() -> str:
    """The Python that has TensorFlow: a path, absolute because the process runs in another folder, or a program's name."""
    python = os.path.expanduser(os.environ.get(PYTHON_VARIABLE) or sys.executable)
    return os.path.abspath(python) if os.path.dirname(python) else python


def _check(source: Path) -> None:
    """Raises ModelError when there is nothing to convert."""
    where = str(source)
    try:
        if source.is_dir():
            if not _saved_model(source):
                raise ModelError(where, "a folder without saved_model.pb", expected=_EXPECTED)
            size = sum(file.stat().st_size for file in source.rglob("*") if file.is_file())
        elif not source.exists():
            raise _missing(source)
        elif not source.is_file():
            raise ModelError(where, "not a regular file", expected=_EXPECTED)
        else:
            size = source.stat().st_size
            with source.open("rb") as file:
                _check_begin(file.read(1 << 16), where)
    except OSError as problem:
        raise ModelError(where, f"cannot be read: {problem.strerror}", expected=_EXPECTED) from problem
    if size > MAX_FILE_BYTES:
        hint = "no microcontroller holds such a model"
        raise ModelError(where, f"{size / 1e6:,.0f} MB", expected=f"at most {MAX_FILE_BYTES >> 20} MiB", hint=hint)


def _check_begin(head: bytes, where: str) -> None:
    if head.startswith((_HDF5, _ZIP)):
        return
    if head[4:8] == FILE_IDENTIFIER:
        raise ModelError(where, "a .tflite file already", expected=_EXPECTED, hint="rename it to model.tflite")
    wrong = explain_wrong_file(head, where)
    raise ModelError(where, wrong.found, expected=_EXPECTED, hint=wrong.hint)


def _missing(source: Path) -> ModelError:
    if not source.parent.is_dir():
        hint = f"the folder {source.parent} does not exist either"
    else:
        models = [entry.name for entry in source.parent.iterdir() if entry.suffix in _SUFFIXES]
        hint = suggestion(source.name, models) if models else f"there is no Keras file in the folder {source.parent}"
    return ModelError(str(source), "no such file", expected=_EXPECTED, hint=hint)


def _run(
    command: list[str], folder: Path, log: Path, progress: Callable[[str], None], seconds: float, where: str
) -> int:
    """Runs the script, passes on what it says is being done, and gives its exit code."""
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_ENABLE_ONEDNN_OPTS": "0",  # Its kernels depend on the processor, and so would the constants that are folded.
        "PYTHONIOENCODING": "utf-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    late = threading.Event()
    with log.open("wb") as errors:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as problem:
            found = f"cannot run {command[0]}: {problem.strerror or problem}"
            raise ToolError(PYTHON_VARIABLE, found, hint=_INTERPRETER) from problem

        def stop() -> None:
            if process.poll() is None:
                late.set()
                _kill(process)

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            with process:
                _follow(process, progress)
        finally:
            timer.cancel()
    if late.is_set():
        hint = "no microcontroller needs a model that large; or the computer is busy: try again"
        raise ToolError(where, f"TensorFlow did not convert it within {seconds:g} seconds", hint=hint)
    return process.returncode


def _follow(process: subprocess.Popen[str], progress: Callable[[str], None]) -> None:
    """Passes on what the script says until it ends; ends it where that fails or is interrupted."""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("tinyc: "):
                progress(line[len("tinyc: ") :].strip())
    except BaseException:
        _kill(process)
        raise


def _kill(process: subprocess.Popen[str]) -> None:
    """Ends the process, and those that it started, where the system has process groups."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _fail(path: Path, code: int, error: Path, log: Path) -> NoReturn:
    """Raises the error that the script wrote, or one that shows the end of its log."""
    try:
        fields = json.loads(error.read_text(encoding="utf-8"))
        kind: type[TinycError] = ToolError if fields["kind"] == "tool" else ModelError
        found, expected, hint = (str(fields[name]) for name in ("found", "expected", "hint"))
    except (OSError, ValueError, KeyError, TypeError):
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        last = "\n    ".join(line[:200] for line in lines[-5:])
        ended = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
        found = f"TensorFlow {ended} while converting it" + (f":\n    {last}" if last else "")
        raise ToolError(
            str(path), found, hint=f"check that `python -c 'import tensorflow'` works; {_INTERPRETER}"
        ) from None
    if kind is ToolError:
        hint = f"{_EXTRA}; or {_INTERPRETER}"
    raise kind(str(path), found, expected=expected, hint=hint)
