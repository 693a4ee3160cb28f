# SPDX-License-Identifier: Apache-2.0
"""From the generated C library to a project that a person builds: one file per kind of project."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..boards import Board
from ..errors import UsageError, suggestion
from . import c, cmake, edgetpu, platformio
from .info import Firmware, Model, ProjectInfo, TensorInfo, Vector

__all__ = [
    "KINDS",
    "Firmware",
    "Model",
    "ProjectInfo",
    "TensorInfo",
    "Vector",
    "default_kind",
    "next_step",
    "wrap",
    "wrap_firmware",
]

_WRAPPERS: Final = {"platformio": platformio.wrap, "cmake": cmake.wrap, "c": c.wrap}
_NEXT_STEPS: Final = {
    "platformio": "cd {folder} && pio run -t upload && pio device monitor",
    "cmake": "cd {folder} && cmake -B build && cmake --build build",
    "coralmicro": "put {folder} into coralmicro's examples/, as its README.md says",
    "c": "copy {folder} into your project and #include its header",
}

KINDS: Final = tuple(_WRAPPERS)


def default_kind(board: Board) -> str:
    """PlatformIO for a board that it knows, CMake for an emulator machine, this computer, and other boards."""
    return "cmake" if board.platformio is None else "platformio"


def next_step(kind: str, folder: Path | str) -> str:
    """What to type (or do) next with a project of `kind` in `folder`."""
    if kind == "cmake" and (Path(folder) / edgetpu.CORALMICRO).is_file():
        kind = "coralmicro"
    return _NEXT_STEPS[kind].format(folder=shlex.quote(str(folder)))


def wrap(kind: str, library: Mapping[str, bytes], info: ProjectInfo) -> Mapping[str, bytes]:
    """The files of a project with one model; see `wrap_firmware`."""
    return wrap_firmware(kind, Firmware((Model(library, info),)))


def wrap_firmware(kind: str, firmware: Firmware) -> Mapping[str, bytes]:
    """The files of a project, path (with `/`) to content, sorted by path; `kind` is one of KINDS.

    Raises:
        UsageError: an unknown kind, or one that the board cannot have.
    """
    if kind not in _WRAPPERS:
        raise UsageError("--format", f"unknown kind of project '{kind}'", hint=suggestion(kind, KINDS))
    if any(model.info.accelerator for model in firmware.models):
        return dict(sorted(edgetpu.wrap(kind, firmware).items()))
    return dict(sorted(_WRAPPERS[kind](firmware).items()))
