# SPDX-License-Identifier: Apache-2.0
"""Projects for a model that uses the Edge TPU: a program over libusb, or a folder for Google's coralmicro."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..accelerators import all_accelerators
from ..errors import UsageError
from ._render import copy, render, values
from .info import Firmware

_DRIVER = "edgetpu"

#: A file that only a folder for coralmicro has.
CORALMICRO = "tinyc_edgetpu_coralmicro.cc"


def wrap(kind: str, firmware: Firmware) -> Mapping[str, bytes]:
    """The files of a project of `kind` `c` or `cmake`.

    Raises:
        UsageError: another kind, or several models.
    """
    if kind not in ("c", "cmake"):
        raise UsageError("--format", kind, expected="cmake or c for a model that uses the Edge TPU")
    if firmware.several:
        raise UsageError(
            "several models", "one of them uses the Edge TPU", hint="build them one by one: they link together"
        )
    linux = firmware.info.board.cpu == "host"
    known = values(firmware) | {
        "sources": sorted(path for path in firmware.library if path.endswith(".c")),
        "proves": next(one.proves for one in all_accelerators().values() if one.name == firmware.info.accelerator),
        "tables": sum(place.bytes for place in firmware.info.placement.places if "tables" in place.what)
        if firmware.info.placement
        else 0,
    }
    glue = _glue("libusb.c", "libusb.h") if linux else _glue("coralmicro.cc", "coralmicro.h")
    if kind == "c":
        return {**firmware.library, **glue}
    return _linux(firmware, known, glue) if linux else _coralmicro(firmware, known, glue)


def _glue(*endings: str) -> dict[str, bytes]:
    """The transport's files."""
    names = [f"tinyc_edgetpu_{ending}" for ending in endings]
    return {name: copy(f"{_DRIVER}/{name}", "runtime_c") for name in names}


def _linux(firmware: Firmware, known: Mapping[str, Any], glue: Mapping[str, bytes]) -> dict[str, bytes]:
    folder = f"lib/{firmware.info.name}"
    return {
        "CMakeLists.txt": render("edgetpu/CMakeLists_linux.txt.j2", **known),
        "README.md": render("edgetpu/README_linux.md.j2", **known),
        ".gitignore": render("console/gitignore.j2"),
        "src/main.c": render("edgetpu/main_linux.c.j2", **known),
        **{f"src/{name}": data for name, data in glue.items()},
        f"{folder}/CMakeLists.txt": render("cmake/library_CMakeLists.txt.j2", **known),
        **{f"{folder}/{name}": data for name, data in firmware.library.items()},
    }


def _coralmicro(firmware: Firmware, known: Mapping[str, Any], glue: Mapping[str, bytes]) -> dict[str, bytes]:
    return {
        "CMakeLists.txt": render("edgetpu/CMakeLists_coralmicro.txt.j2", **known),
        "README.md": render("edgetpu/README_coralmicro.md.j2", **known),
        "main.cc": render("edgetpu/coralmicro.cc.j2", **known),
        **glue,
        **firmware.library,
    }
