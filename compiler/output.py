# SPDX-License-Identifier: Apache-2.0
"""Writes a finished build to disk: all or nothing, and never over a user's own work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .errors import ToolError, UsageError

#: The file that lists what tinyc wrote, with its hashes.
REPORT = "report.json"


def write_files(files: Mapping[str, bytes], folder: Path, *, force: bool = False) -> list[str]:
    """Writes `files` (path → bytes) into `folder`, which appears complete or stays as it was.

    An earlier build in the same folder is replaced. Files that the user changed since then are kept when they are the project's
    own (`src/main.cpp`, `platformio.ini`): they are returned. A changed file of the model library is an error unless `force`.

    Raises UsageError when the folder holds something else, ToolError when it cannot be written.
    """
    existing = _existing(folder)
    kept = [] if force else _kept(files, folder, existing)
    staging = _stage({path: data for path, data in files.items() if path not in kept}, folder)
    try:
        if folder.exists():
            for path in sorted(existing - set(files)):
                (folder / path).unlink(missing_ok=True)
            for path in sorted(set(files) - set(kept)):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(staging / path, folder / path)
        else:
            os.rename(staging, folder)
    except OSError as error:
        raise _write_error(folder, error) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return kept


def manifest(files: Mapping[str, bytes]) -> dict[str, str]:
    """sha256 per file, for report.json."""
    return {path: hashlib.sha256(data).hexdigest() for path, data in sorted(files.items())}


def write_single_files(files: Mapping[Path, bytes]) -> None:
    """Writes files that a command was asked for by name: complete under temporary names first, then all in place of what was there.

    Raises UsageError for what is no regular file, ToolError when one cannot be written; then none is.
    """
    staged: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            if path.exists() and not path.is_file():
                raise UsageError("output", f"'{path}' is a folder or a device", expected="a file")
            handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.absolute().parent)
            staged[path] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            staged[path].chmod(0o644)
        for path, temporary in staged.items():
            os.replace(temporary, path)
    except OSError as error:
        place = next((path for path in files if path not in staged), path)
        raise ToolError(
            f"output file '{place}'", error.strerror or str(error), hint="nothing was written; choose another place"
        ) from None
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def _existing(folder: Path) -> set[str]:
    """The files of an earlier build in `folder`, by its report; empty for a new or empty folder."""
    if not folder.exists():
        return set()
    if not folder.is_dir():
        raise UsageError("--output", f"'{folder}' is a file", expected="a folder")
    if not any(folder.iterdir()):
        return set()
    return set(_recorded(folder)) | {REPORT}


def _recorded(folder: Path) -> Mapping[str, str]:
    """path → sha256 of what an earlier build wrote."""
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        recorded = dict(report["files"])
        assert "tinyc" in report
    except (OSError, ValueError, KeyError, TypeError, AssertionError):
        raise UsageError(
            "--output",
            f"'{folder}' is not empty and not an earlier build of tinyc",
            hint="choose another folder, or empty this one",
        ) from None
    inside = {
        path: digest for path, digest in recorded.items() if isinstance(path, str) and ".." not in Path(path).parts
    }
    return {path: digest for path, digest in inside.items() if not Path(path).is_absolute()}


def _kept(files: Mapping[str, bytes], folder: Path, existing: set[str]) -> list[str]:
    """Files that the user changed since the earlier build and that this build would replace."""
    if not existing:
        return []
    recorded = _recorded(folder)
    changed = [
        path
        for path in sorted(files)
        if path != REPORT
        and (folder / path).is_file()
        and _digest(folder / path) not in (recorded.get(path), hashlib.sha256(files[path]).hexdigest())
    ]
    library = [path for path in changed if not _belongs_to_user(path)]
    if library:
        raise UsageError(
            "--output",
            f"changed by hand since the last build: {', '.join(library[:5])}",
            hint="save your change elsewhere, then build with --force to replace it",
        )
    return changed


def _belongs_to_user(path: str) -> bool:
    """Project files are a starting point that users edit; the model library is regenerated."""
    return (
        not path.startswith("lib/") and Path(path).suffix not in (".h", ".tflite") and Path(path).parent != Path(".")
    ) or path == "platformio.ini"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stage(files: Mapping[str, bytes], folder: Path) -> Path:
    """A complete copy on the same file system as the target."""
    made: list[Path] = []
    staging: Path | None = None
    try:
        # Inside a folder that is there: its parent may be read-only or another file system (a mounted volume).
        parent = folder.absolute() if folder.is_dir() else folder.absolute().parent
        for missing in [p for p in (parent, *parent.parents) if not p.exists()]:
            made.insert(0, missing)
        parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=parent))
        staging.chmod(0o755)
        for path, data in files.items():
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).write_bytes(data)
        return staging
    except OSError as error:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        for made_folder in reversed(made):
            try:
                made_folder.rmdir()
            except OSError:
                break
        raise _write_error(folder, error) from None


def _write_error(folder: Path, error: OSError) -> ToolError:
    return ToolError(
        f"output folder '{folder}'",
        error.strerror or str(error),
        hint="nothing was written; choose another folder with -o or free some space",
    )
