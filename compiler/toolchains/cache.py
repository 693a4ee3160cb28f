# SPDX-License-Identifier: Apache-2.0
"""The folder of things that are slow to make and safe to lose: compiled objects and emulator hooks."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ..errors import ToolError

#: When the cache grows over this many bytes, the entries used longest ago go, down to half.
LIMIT = 512 << 20


def folder() -> Path:
    """The cache folder, made if needed: $TINYC_CACHE_DIR, $XDG_CACHE_HOME/tinyc or ~/.cache/tinyc.

    A user without a home that can be written, as in many containers, gets a folder of their own among the temporary ones.
    """
    own = os.environ.get("TINYC_CACHE_DIR")
    shared = os.environ.get("XDG_CACHE_HOME")
    place = Path(own) if own else (Path(shared) if shared else Path.home() / ".cache") / "tinyc"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if not own and (temporary := _temporary_folder()) is not None:
            return temporary
        raise ToolError(
            "cache",
            f"cannot make the folder {place}: {error.strerror or error}",
            hint="set TINYC_CACHE_DIR to a folder that can be written",
        ) from error
    return place


def _temporary_folder() -> Path | None:
    """A folder among the temporary ones that only this user can write; None where there are no users."""
    if not hasattr(os, "getuid"):
        return None
    place = Path(tempfile.gettempdir()) / f"tinyc-cache-{os.getuid()}"
    with contextlib.suppress(OSError):
        place.mkdir(mode=0o700, exist_ok=True)
        facts = place.lstat()
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o077:
            return place
    return None


def key(parts: Iterable[bytes]) -> str:
    """A name that differs whenever any part differs, also when bytes move from one part to the next."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def load(name: str) -> bytes | None:
    """The entry, or None."""
    path = folder() / name
    try:
        data = path.read_bytes()
        os.utime(path)
    except OSError:
        return None
    return data


def store(name: str, data: bytes) -> Path:
    """Writes the entry in one step: another process sees all of it or nothing. Raises ToolError on a full disk."""
    place = folder()
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=place)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, place / name)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise ToolError(
            "cache",
            f"cannot write to {place}: {error.strerror or error}",
            hint="free some space, or set TINYC_CACHE_DIR to another folder",
        ) from error
    return place / name


def prune(limit: int = LIMIT) -> None:
    """Removes the entries used longest ago when all together exceed `limit` bytes."""
    entries = []
    for path in folder().iterdir():
        with contextlib.suppress(OSError):
            stat = path.stat()
            entries.append((stat.st_mtime_ns, stat.st_size, path))
    total = sum(size for _, size, _ in entries)
    if total <= limit:
        return
    for _, size, path in sorted(entries):
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
        if total <= limit // 2:
            return
