# SPDX-License-Identifier: Apache-2.0
"""Objects to an image and its map file, with each kind of compiler."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import ToolError
from .compile import run_tool
from .find import Toolchain
from .flags import FLAGS, HOST_LINK

_SCRIPT = "image.ld"


def link(toolchain: Toolchain, objects: Sequence[str], script: str, work: Path) -> tuple[Path, Path]:
    """Links `objects` (paths in `work`) with the linker script's text; image.elf and image.map in `work`."""
    (work / _SCRIPT).write_text(script)
    if toolchain.cpu.name == "host":
        _link_host(toolchain, objects, work)
    elif toolchain.kind == "zig":
        _link_zig(toolchain, objects, work)
    elif toolchain.kind == "gcc":
        flags = FLAGS[toolchain.cpu.name].gcc or ()
        options = ["-nostdlib", "-static", f"-Wl,-T,{_SCRIPT},--gc-sections,-e,tinyc_reset,-Map=image.map"]
        _run(toolchain, [toolchain.tools["cc"], *flags, *options, *objects, "-lgcc", "-o", "image.elf"], work)
    else:
        options = ["--no-relax", "-z", "noexecstack", "-T", _SCRIPT, "--gc-sections", "-e", "tinyc_reset"]
        command = [toolchain.tools["ld"], *options, "-Map=image.map", *objects, "-o", "image.elf"]
        _run(toolchain, command, work)
    return work / "image.elf", work / "image.map"


def _run(toolchain: Toolchain, command: Sequence[str], work: Path) -> str:
    return run_tool(toolchain, command, work, "linking")


def _link_host(toolchain: Toolchain, objects: Sequence[str], work: Path) -> None:
    flags = FLAGS["host"]
    driver = [toolchain.tools["cc"], *(("cc", *(flags.zig or ())) if toolchain.kind == "zig" else ())]
    wants_map = toolchain.kind == "gcc" and sys.platform not in ("darwin", "win32")
    options = ["-Wl,-Map=image.map"] if wants_map else []
    _run(toolchain, [*driver, "-O2", *HOST_LINK, *options, *objects, "-o", "image.elf"], work)


def _link_zig(toolchain: Toolchain, objects: Sequence[str], work: Path) -> None:
    """`zig cc` builds its compiler-rt but refuses -Map, so its lld runs once more with the arguments that it shows.

    -O2 whatever the sources got: it only selects which compiler-rt is built, which takes seconds the first time.
    """
    flags = FLAGS[toolchain.cpu.name].zig or ()
    options = ["-O2", f"-Wl,-T,{_SCRIPT}", "-Wl,--gc-sections", "-Wl,-e,tinyc_reset", "-Wl,-z,max-page-size=4"]
    zig = toolchain.tools["cc"]
    shown = _run(toolchain, [zig, "cc", *flags, *options, *objects, "-v", "-o", "image.elf"], work)
    commands = [line for line in shown.splitlines() if line.startswith("ld.lld ")]
    if not commands:
        raise ToolError(toolchain.description, "zig did not show its linker command")
    arguments = shlex.split(commands[-1])[1:]
    _run(toolchain, [zig, "ld.lld", *arguments, "-Map=image.map"], work)
