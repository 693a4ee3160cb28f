# SPDX-License-Identifier: Apache-2.0
"""`--format cmake`: a program for an emulator machine or this computer; a library for a real board."""

from __future__ import annotations

from collections.abc import Mapping

from ..targets.cpus import CPUS
from ._cores import C_FLAGS, core_build
from ._link import link_script
from ._render import console_files, copy, render, shared_header, values
from .info import Firmware, ProjectInfo
from .renode import has_renode, renode_files

_QEMU = "-nographic -monitor none -serial null -semihosting-config enable=on,target=native -icount shift=0"


def wrap(firmware: Firmware) -> Mapping[str, bytes]:
    """A CMake project that builds with `cmake -B build && cmake --build build`."""
    files = _program(firmware) if firmware.info.board.is_emulated else _library(firmware)
    return {**files, ".gitignore": render("console/gitignore.j2")}


def _sources(library: Mapping[str, bytes]) -> list[str]:
    return sorted(path for path in library if path.endswith((".c", ".S")))


def _model_folders(firmware: Firmware) -> dict[str, bytes]:
    """lib/<name>/ with its own CMakeLists.txt, per model."""
    files = {}
    for model, known in zip(firmware.models, values(firmware)["models"], strict=True):
        folder, sources = f"lib/{model.info.name}", _sources(model.library)
        files[f"{folder}/CMakeLists.txt"] = render("cmake/library_CMakeLists.txt.j2", sources=sources, **known)
        files |= {f"{folder}/{path}": data for path, data in model.library.items()}
    return files


def _library(firmware: Firmware) -> dict[str, bytes]:
    known, renode = values(firmware), has_renode(firmware)
    files = {"README.md": render("cmake/README.md.j2", native=False, tools="", renode=renode, **known)}
    if firmware.several:
        files["CMakeLists.txt"] = render("cmake/models_CMakeLists.txt.j2", **known)
        return {**files, **_model_folders(firmware), **shared_header(firmware, "")}
    library = firmware.library
    files["CMakeLists.txt"] = render("cmake/library_CMakeLists.txt.j2", sources=_sources(library), **known)
    files |= library
    if renode:
        files |= renode_files(firmware, model_path="..", console_path=".")
        files |= console_files(firmware, "renode")
    return files


def _program(firmware: Firmware) -> dict[str, bytes]:
    info, native = firmware.info, firmware.info.board.cpu == "host"
    known = values(firmware) | {
        "native": native,
        "renode": has_renode(firmware),
        "startup": [],
        "tools": "and a C compiler",
    }
    files: dict[str, bytes] = {}
    if not native:
        known |= _machine(info)
        files |= _bare_metal_files(info, known)
    else:
        files["src/main.c"] = render("cmake/main_host.c.j2", **known)
    files |= {
        "CMakeLists.txt": render("cmake/CMakeLists.txt.j2", **known),
        "README.md": render("cmake/README.md.j2", **known),
        **_model_folders(firmware),
        **console_files(firmware, "src"),
    }
    if has_renode(firmware):
        files |= renode_files(firmware, model_path=f"../lib/{info.name}", console_path="../src")
    return files


def _machine(info: ProjectInfo) -> dict[str, object]:
    """What the templates need to know about the emulated machine."""
    board, build = info.board, core_build(info.board)
    family = CPUS[board.cpu].family
    emulator = "qemu-system-arm" if family == "cortex-m" else "qemu-system-riscv32"
    mhz = board.clock_hz // 1_000_000
    options = f"-M {board.emulator.qemu} {'-bios none ' if family == 'riscv' else ''}{_QEMU}"
    return {
        "startup": [*build.startup, "startup_bare_metal.c"],
        "family": family,
        "mhz": mhz,
        "wrap_ms": (1 << 24) // (mhz * 1000) if mhz else 0,
        "emulator": emulator,
        "emulator_options": options,
        "compiler": build.compiler,
        "flags": build.flags,
        "c_flags": C_FLAGS,
        "processor": build.processor,
        "tools": f"`{build.compiler}` and, for the `run` target, `{emulator}`",
    }


def _bare_metal_files(info: ProjectInfo, known: Mapping[str, object]) -> Mapping[str, bytes]:
    startup = [*core_build(info.board).startup, "startup_bare_metal.c", "tinyc_host.h", "tinyc_startup.h"]
    return {
        "toolchain.cmake": render("cmake/toolchain.cmake.j2", **known),
        "link.ld": link_script(info.board),
        "src/main.c": render("cmake/main_baremetal.c.j2", **known),
        **{f"startup/{name}": copy(f"startup/{name}", "runtime_c") for name in startup},
    }
