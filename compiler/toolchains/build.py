# SPDX-License-Identifier: Apache-2.0
"""Sources to objects and images."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..errors import ToolError
from ..resources import resource
from ..targets.cpus import Cpu
from . import cache
from .compile import Object, compile_source
from .elf import Sizes, Symbol, read_symbols, section_sizes
from .find import Toolchain, find
from .layout import linker_script, machine_for
from .link import link

#: Compilers that run at a time.
_JOBS: Final = 2

_SHARED: Final = ("startup_bare_metal.c", "startup_memory.c")
_STARTUP: Final[Mapping[str, tuple[str, ...]]] = {
    "cortex-m": ("startup_cortex_m.c", *_SHARED),
    "riscv": ("startup_riscv.c", *_SHARED),
    "xtensa": ("startup_xtensa.S", "startup_xtensa.c", "startup_xtensa_arithmetic.c", "startup_memory.c"),
    "host": ("startup_host.c",),
}
_STARTUP_HEADERS: Final = ("tinyc_host.h", "tinyc_startup.h")


@dataclass(frozen=True)
class Objects:
    """Compiled, unlinked sources.

    `sections`: per source file what `size` says about its object. `stack_usage`: per source file and function the bytes
    of its frame, as the compiler reports them.
    """

    toolchain: str
    sections: Mapping[str, Sizes]
    stack_usage: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Image:
    """A linked program.

    Attributes:
        elf, map_file: in the work folder; the map file is missing where the native linker makes none.
        machine: the emulated machine that it is linked for; empty for Xtensa user mode and for this computer.
        toolchain: name and version of the compiler.
        symbols: by name. `functions`: in order of address.
        sections, stack_usage: of the given sources (not of the startup code); stack_usage by function name, in bytes.
    """

    elf: Path
    cpu: Cpu
    machine: str
    toolchain: str
    symbols: Mapping[str, Symbol] = field(repr=False)
    functions: tuple[Symbol, ...] = field(repr=False)
    sections: Mapping[str, Sizes]
    stack_usage: Mapping[str, int]
    map_file: Path

    def function_at(self, address: int) -> str | None:
        """Name of the function that contains `address`, or None."""
        for function in self.functions:
            if function.address <= address < function.address + function.size:
                return function.name
        return None


def compile_objects(
    sources: Mapping[str, bytes],
    cpu: Cpu,
    *,
    toolchain: str = "auto",
    optimize: str = "-O2",
    defines: Mapping[str, str | None] | None = None,
) -> Objects:
    """Compiles `sources` (path → bytes; .c, .h, .S) for `cpu` and measures the objects. Raises ToolError."""
    compiler = find(cpu, toolchain)
    with tempfile.TemporaryDirectory(prefix="tinyc-") as folder:
        objects = _compile_all(compiler, sources, Path(folder), [optimize, *_define_flags(defines)])
    return Objects(
        compiler.description,
        {name: section_sizes(made.data, name) for name, made in objects.items()},
        {name: made.stack for name, made in objects.items()},
    )


def build_image(
    sources: Mapping[str, bytes],
    cpu: Cpu,
    work: Path,
    *,
    toolchain: str = "auto",
    optimize: str = "-O2",
    defines: Mapping[str, str | None] | None = None,
    machine: str | None = None,
) -> Image:
    """Compiles `sources` (path → bytes; .c, .h, .S; one has main), adds the startup code and links in `work`.

    `defines` go to `sources` only: name → value, or None for a bare -DNAME. Raises ToolError when no compiler is there
    or it fails, UsageError for an unknown machine.
    """
    compiler = find(cpu, toolchain)
    machine = machine_for(cpu, machine)
    startup = _startup_sources(cpu)
    for name in ("src", "startup", "obj"):
        shutil.rmtree(work / name, ignore_errors=True)
    everything = {**{name: startup[name] for name in _STARTUP_HEADERS}, **sources}
    objects = _compile_all(compiler, everything, work / "src", [optimize, *_define_flags(defines)])
    support = _compile_all(compiler, startup, work / "startup", ["-O2"])
    paths = [_write(work, folder, made) for folder, made in (("startup", support), ("src", objects))]
    elf, map_file = link(compiler, [*paths[0], *paths[1]], _script(cpu, machine), work)
    symbols, functions = read_symbols(elf)
    frames: dict[str, int] = {}
    for made in objects.values():
        for function, size in made.stack.items():
            frames[function] = max(frames.get(function, 0), size)
    sections = {name: section_sizes(made.data, name) for name, made in objects.items()}
    return Image(elf, cpu, machine, compiler.description, symbols, functions, sections, frames, map_file)


def _script(cpu: Cpu, machine: str) -> str:
    return "" if cpu.family == "host" else linker_script(cpu, machine)


def _startup_sources(cpu: Cpu) -> dict[str, bytes]:
    folder = resource("runtime_c") / "startup"
    return {name: (folder / name).read_bytes() for name in (*_STARTUP[cpu.family], *_STARTUP_HEADERS)}


def _define_flags(defines: Mapping[str, str | None] | None) -> list[str]:
    pairs = sorted((defines or {}).items())
    return [f"-D{name}" if value is None else f"-D{name}={value}" for name, value in pairs]


def _compile_all(
    toolchain: Toolchain, files: Mapping[str, bytes], folder: Path, options: Sequence[str]
) -> dict[str, Object]:
    """Writes `files` to `folder` and compiles the .c and .S ones; objects by source, in order of name."""
    try:
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise ToolError("build folder", f"cannot write {path}: {error.strerror or error}") from error
    names = sorted(name for name in files if name.endswith((".c", ".S")))
    with ThreadPoolExecutor(_JOBS) as pool:
        made = list(pool.map(lambda name: compile_source(toolchain, name, files, folder, options), names))
    cache.prune()
    return dict(zip(names, made, strict=True))


def _write(work: Path, folder: str, objects: Mapping[str, Object]) -> list[str]:
    """Writes the objects to work/obj/<folder>/; their paths relative to `work`."""
    paths = []
    for name, made in objects.items():
        path = Path("obj", folder, f"{name}.o")
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(made.data)
        paths.append(path.as_posix())
    return paths
