# SPDX-License-Identifier: Apache-2.0
"""A folder as a source: images, .wav or .npy files, in class folders or not, in the order of their names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..errors import ModelError
from ..graph import Tensor
from .arrays import npy_samples
from .audio import open_audio
from .files import File
from .images import open_images
from .options import DataOptions
from .preprocessing import Preprocessing
from .select import Sample
from .source import COMMON, Source, reject_options, value_preprocessing

#: Extensions of each kind of file.
KINDS: Final = {
    "images": (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"),
    "sound": (".wav",),
    "arrays": (".npy",),
}
MAX_FILES: Final = 1_000_000


def folder_kind(path: Path) -> str:
    """What kind of files (see `KINDS`) a folder holds; `` for anything that is no folder of samples."""
    try:
        return find_files(path, labelled=True)[0] if path.is_dir() else ""
    except ModelError:
        return ""


def open_folder(folder: Path, tensor: Tensor, options: DataOptions) -> Source:
    """The samples of a folder. Raises ModelError when it has no usable files or several kinds of them."""
    kind, files = find_files(folder, labelled=options.labels is not None)
    if kind == "images":
        return open_images(folder, files, tensor, options)
    if kind == "sound":
        return open_audio(folder, files, tensor, options)
    reject_options(options, "a folder of .npy files", COMMON)
    value = value_preprocessing((tensor,), options)
    return Source(str(folder), _npy_files(files, tensor, value), value)


def _npy_files(files: list[File], tensor: Tensor, value: Preprocessing) -> Iterator[Sample]:
    for file in files:
        yield from npy_samples(file.path, tensor, value, file.name, file.label)


def find_files(folder: Path, labelled: bool) -> tuple[str, list[File]]:
    """The kind of file in a folder, and all of them sorted by name.

    Names that begin with a dot, and folders that begin with an underscore (such as `_background_noise_`), are left out.
    `labelled` is whether labels come from elsewhere; otherwise files lie all in class folders or none does.
    """
    found: dict[str, list[File]] = {kind: [] for kind in KINDS}
    others: set[str] = set()
    for path, name in _walk(folder):
        suffix = path.suffix.lower()
        kind = next((kind for kind, suffixes in KINDS.items() if suffix in suffixes), None)
        if kind is None:
            others.add(suffix or path.name)
        else:
            found[kind].append(File(path, name, name.split("/")[0] if "/" in name and not labelled else None))
    kinds = [kind for kind, files in found.items() if files]
    if not kinds:
        seen = f"files of the kinds {', '.join(sorted(others)[:6])}" if others else "no files"
        raise ModelError(str(folder), f"has {seen}", expected="images, .wav or .npy files, in class folders or not")
    if len(kinds) > 1:
        counts = ", ".join(f"{len(found[kind])} of {kind} (such as {found[kind][0].name})" for kind in kinds)
        raise ModelError(str(folder), f"several kinds of data: {counts}", expected="one kind")
    files = sorted(found[kinds[0]], key=lambda file: file.name)
    _check_classes(folder, files)
    return kinds[0], files


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """(path, path in the folder with `/`) of each file; links to folders are not followed."""
    count = 0

    def stop(error: OSError) -> None:
        raise ModelError(str(error.filename), f"cannot be read: {error.strerror}")

    for parent, folders, names in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():  # not a pipe, whose reader would wait
                yield path, path.relative_to(folder).as_posix()
                count += 1
                if count > MAX_FILES:
                    raise ModelError(str(folder), f"more than {MAX_FILES} files")


def _check_classes(folder: Path, files: list[File]) -> None:
    outside = [file for file in files if file.label is None]
    inside = [file for file in files if file.label is not None]
    if outside and inside:
        raise ModelError(
            str(folder),
            f"'{outside[0].name}' is in no class folder, '{inside[0].name}' is in one",
            expected="all files in class folders, or none",
            hint="move it, or give the labels with --labels",
        )
