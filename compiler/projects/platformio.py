# SPDX-License-Identifier: Apache-2.0
"""`--format platformio`: a project that people open in VS Code and build with `pio run`."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UsageError
from ._link import memories_files
from ._render import console_files, render, values
from .info import Firmware
from .renode import has_renode, renode_files

MEBIBYTE = 1 << 20


def wrap(firmware: Firmware) -> Mapping[str, bytes]:
    """platformio.ini, src/, lib/<name>/, README.md, and for one model renode/ where Renode has the board's core and UART."""
    info, board = firmware.info, firmware.info.board
    if board.platformio is None:
        raise UsageError(
            "--format",
            f"board '{board.name}' ({board.title}) is no board that PlatformIO knows",
            expected="a real board for --format platformio",
            hint="use --format cmake for it, or a real board such as --board esp32 (`tinyc boards` lists them)",
        )
    idf = info.framework == "espidf"
    known, renode = values(firmware), has_renode(firmware)
    options = board.platformio.framework_options.get(info.framework, {})
    known |= {
        "env": board.name,
        "options": list(options.items()),
        "extension": "c" if idf else "cpp",
        "renode": renode,
        "own_sections": firmware.own_sections,
    }
    files = {
        "platformio.ini": render("platformio/platformio.ini.j2", **known),
        "README.md": render("platformio/README.md.j2", **known),
        ".gitignore": render("console/gitignore.j2"),
        **console_files(firmware, "src"),
    }
    for model, its in zip(firmware.models, known["models"], strict=True):
        folder = f"lib/{model.info.name}"
        description = f"{its['model_file']} compiled to C by tinyc {info.version}"
        files[f"{folder}/library.json"] = render("platformio/library.json.j2", **its, description=description)
        files |= {f"{folder}/src/{path}": data for path, data in model.library.items()}
    if idf:
        files |= _espidf_files(firmware, known)
    else:
        files["src/main.cpp"] = render("platformio/main.cpp.j2", **known)
    if firmware.own_sections:
        files |= memories_files(board)
    if renode:
        files |= renode_files(firmware, model_path=f"../lib/{info.name}/src", console_path="../src")
    return files


def _uses_psram(firmware: Firmware) -> bool:
    placements = [model.info.placement for model in firmware.models if model.info.placement is not None]
    return any(place.kind == "psram" for placement in placements for place in placement.places)


def _espidf_files(firmware: Firmware, known: Mapping[str, object]) -> Mapping[str, bytes]:
    board = firmware.info.board
    flash = board.main_memory("flash")
    return {
        "CMakeLists.txt": render("espidf/CMakeLists.txt.j2", **known),
        "sdkconfig.defaults": render(
            "espidf/sdkconfig.defaults.j2",
            env=board.name,
            mhz=board.clock_hz // 1_000_000,
            flash_mb=flash.size // MEBIBYTE,
            psram=_uses_psram(firmware),
        ),
        "partitions.csv": render("espidf/partitions.csv.j2", app_bytes=flash.usable_by_app),
        "src/CMakeLists.txt": render("espidf/src_CMakeLists.txt.j2", **known),
        "src/main.c": render("espidf/main.c.j2", **known),
    }
