# SPDX-License-Identifier: Apache-2.0
"""`--format platformio`: a project that people open in VS Code and build with `pio run`."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UsageError
from ._render import console_files, render, values
from .info import ProjectInfo
from .renode import renode_files

MEBIBYTE = 1 << 20


def wrap(library: Mapping[str, bytes], info: ProjectInfo) -> Mapping[str, bytes]:
    """platformio.ini, src/, lib/<name>/, README.md, and renode/ where Renode has the board's core and UART."""
    board = info.board
    if board.platformio is None:
        raise UsageError(
            "--format",
            f"board '{board.name}' ({board.title}) is no board that PlatformIO knows",
            expected="a real board for --format platformio",
            hint="use --format cmake for it, or a real board such as --board esp32 (`tinyc boards` lists them)",
        )
    idf = info.framework == "espidf"
    known = values(info)
    options = board.platformio.framework_options.get(info.framework, {})
    known |= {
        "env": board.name,
        "options": list(options.items()),
        "extension": "c" if idf else "cpp",
        "renode": board.emulator.renode is not None,
        "description": f"{known['model_file']} compiled to C by tinyc {info.version}",
    }
    folder = f"lib/{info.name}"
    files = {
        "platformio.ini": render("platformio/platformio.ini.j2", **known),
        "README.md": render("platformio/README.md.j2", **known),
        ".gitignore": render("console/gitignore.j2"),
        f"{folder}/library.json": render("platformio/library.json.j2", **known),
        **{f"{folder}/src/{path}": data for path, data in library.items()},
        **console_files(info, "src"),
    }
    if idf:
        files |= _espidf_files(info, known)
    else:
        files["src/main.cpp"] = render("platformio/main.cpp.j2", **known)
    if board.emulator.renode is not None:
        files |= renode_files(info, model_path=f"../{folder}/src", console_path="../src")
    return files


def _espidf_files(info: ProjectInfo, known: Mapping[str, object]) -> Mapping[str, bytes]:
    flash = info.board.main_memory("flash")
    return {
        "CMakeLists.txt": render("espidf/CMakeLists.txt.j2", **known),
        "sdkconfig.defaults": render(
            "espidf/sdkconfig.defaults.j2",
            env=info.board.name,
            mhz=info.board.clock_hz // 1_000_000,
            flash_mb=flash.size // MEBIBYTE,
        ),
        "partitions.csv": render("espidf/partitions.csv.j2", app_bytes=flash.usable_by_app),
        "src/CMakeLists.txt": render("espidf/src_CMakeLists.txt.j2", **known),
        "src/main.c": render("espidf/main.c.j2", **known),
    }
