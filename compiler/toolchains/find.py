# SPDX-License-Identifier: Apache-2.0
"""Finding a compiler that works: present, answering, and able to compile a line for the core."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from ..errors import ToolError, UsageError, suggestion
from ..targets.cpus import Cpu
from .flags import FLAGS, ZIG_EXTRA

KINDS: Final = ("zig", "gcc", "clang")

#: Which kinds to try for a core, best first. GCC first: it is what the embedded frameworks use, so its sizes and
#: instruction counts are close to what a user will see.
_ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    "cortex-m": ("gcc", "zig"),
    "riscv": ("gcc", "zig"),
    "xtensa": ("clang",),
    "host": ("gcc", "zig"),
}

#: GCC-like drivers for each family, best first.
_GCC: Final[Mapping[str, tuple[str, ...]]] = {
    "cortex-m": ("arm-none-eabi-gcc",),
    "riscv": ("riscv64-unknown-elf-gcc", "riscv32-unknown-elf-gcc", "riscv-none-elf-gcc"),
    "host": ("cc", "gcc", "clang"),
}

_XTENSA_TOOLS: Final = {"clang": "clang-22", "llc": "llc-22", "mc": "llvm-mc-22", "ld": "xtensa-lx106-elf-ld"}

_INSTALL_ZIG: Final = "pip install 'tinyc[emulate]'"
_INSTALL: Final[Mapping[tuple[str, str], str]] = {
    ("gcc", "cortex-m"): "apt-get install gcc-arm-none-eabi",
    ("gcc", "riscv"): "apt-get install gcc-riscv64-unknown-elf",
    ("gcc", "host"): "apt-get install gcc libc6-dev",
    ("clang", "xtensa"): "apt-get install clang-22 llvm-22 binutils-xtensa-lx106",
}


@dataclass(frozen=True)
class Toolchain:
    """A compiler that has been tried for `cpu`.

    `tools` are the programs by role: `cc` (zig and gcc), or `clang`, `llc`, `mc`, `ld`. `version` is what the program
    says about itself.
    """

    kind: str
    cpu: Cpu
    version: str
    tools: Mapping[str, str] = field(hash=False)

    @property
    def description(self) -> str:
        """For reports: `zig 0.17.1`, `arm-none-eabi-gcc 12.2.1`."""
        return self.version


def install_line(kind: str, cpu: Cpu) -> str:
    """The command that installs this kind of compiler for this core."""
    return _INSTALL_ZIG if kind == "zig" else _INSTALL[kind, cpu.family]


def kinds(cpu: Cpu) -> tuple[str, ...]:
    """The kinds of compiler that can build for `cpu`, best first."""
    return _ORDER[cpu.family]


def find(cpu: Cpu, preferred: str = "auto") -> Toolchain:
    """The best working compiler for `cpu`, or the preferred kind ("zig", "gcc", "clang").

    Raises ToolError naming what is missing or broken and the line that installs it, UsageError for an unknown kind.
    """
    if preferred not in ("auto", *KINDS):
        raise UsageError("toolchain", f"unknown toolchain '{preferred}'", hint=suggestion(preferred, ("auto", *KINDS)))
    able = kinds(cpu)
    if preferred != "auto" and preferred not in able:
        raise ToolError(
            "toolchain",
            f"{preferred} cannot build for {cpu.title}",
            expected=" or ".join(able),
            hint=f"use --toolchain {able[0]}",
        )
    wanted = able if preferred == "auto" else (preferred,)
    problems = []
    for kind in wanted:
        found = try_kind(kind, cpu)
        if isinstance(found, Toolchain):
            return found
        problems.append(found)
    raise ToolError(
        "toolchain",
        f"no working compiler for {cpu.title}: " + "; ".join(problems),
        hint=" or ".join(dict.fromkeys(install_line(kind, cpu) for kind in wanted)),
    )


def try_kind(kind: str, cpu: Cpu) -> Toolchain | str:
    """The working toolchain of this kind, or one sentence on why there is none."""
    if kind == "zig":
        return _try_zig(cpu)
    return _try_gcc(cpu) if kind == "gcc" else _try_clang(cpu)


def _zig_program() -> str | None:
    """The zig of the Python package `ziglang`, else one on PATH."""
    spec = importlib.util.find_spec("ziglang")
    if spec is not None and spec.origin is not None:
        for name in ("zig", "zig.exe"):
            program = Path(spec.origin).parent / name
            if program.is_file():
                return str(program)
    return shutil.which("zig")


def _try_zig(cpu: Cpu) -> Toolchain | str:
    program = _zig_program()
    if program is None:
        return "zig is not installed (Python package ziglang)"
    version = ask_version(program, "version")
    if version is None:
        return f"{program} does not start"
    flags = FLAGS[cpu.name].zig
    assert flags is not None
    problem = _trial((program, "cc", *flags, *ZIG_EXTRA))
    tools = {"cc": program}
    return f"{program} cannot compile: {problem}" if problem else Toolchain("zig", cpu, f"zig {version}", tools)


def _try_gcc(cpu: Cpu) -> Toolchain | str:
    problems = [f"{_GCC[cpu.family][0]} is not on PATH"]
    flags = FLAGS[cpu.name].gcc
    assert flags is not None
    for name in _GCC[cpu.family]:
        program = shutil.which(name)
        if program is None:
            continue
        version = ask_version(program, "-dumpfullversion", "-dumpversion")
        problem = "it does not start" if version is None else _trial((program, *flags))
        if not problem:
            return Toolchain("gcc", cpu, f"{name} {version}", {"cc": program})
        problems.append(f"{program} cannot compile: {problem}")
    return problems[-1]


def _try_clang(cpu: Cpu) -> Toolchain | str:
    tools = {role: shutil.which(name) for role, name in _XTENSA_TOOLS.items()}
    missing = [_XTENSA_TOOLS[role] for role, program in tools.items() if program is None]
    if missing:
        return f"{', '.join(missing)} not on PATH"
    programs = {role: program for role, program in tools.items() if program is not None}
    version = ask_version(programs["clang"], "-dumpversion")
    if version is None:
        return f"{programs['clang']} does not start"
    broken = [program for program in programs.values() if ask_version(program, "--version") is None]
    if broken:
        return f"{broken[0]} does not start"
    problem = _trial((programs["clang"], "--target=xtensa-none-elf", "-emit-llvm"))
    if problem:
        return f"{programs['clang']} cannot compile: {problem}"
    return Toolchain("clang", cpu, f"clang {version} with llc for Xtensa", programs)


def ask_version(program: str, *arguments: str) -> str | None:
    """First line that the program prints for `arguments`, or None when it cannot be run or fails."""
    try:
        stamp = Path(program).stat()
    except OSError:
        return None
    return _ask(program, arguments, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=64)
def _ask(program: str, arguments: tuple[str, ...], _mtime: int, _size: int) -> str | None:
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, errors="replace", timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.split("\n")
    return lines[0].strip() if done.returncode == 0 and lines[0].strip() else None


def _trial(command: tuple[str, ...]) -> str:
    """Compiles one function with `command`; the problem in a few words, empty when it works."""
    stamp = Path(command[0]).stat()
    return _compile_trial(command, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=64)
def _compile_trial(command: tuple[str, ...], _mtime: int, _size: int) -> str:
    with tempfile.TemporaryDirectory(prefix="tinyc-") as folder:
        source = Path(folder, "trial.c")
        source.write_text("#include <stdint.h>\nint32_t tinyc_trial(int32_t a) { return a * 3; }\n")
        try:
            done = subprocess.run(
                [*command, "-ffreestanding", "-c", "trial.c", "-o", "trial.o"],
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=120,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        made = Path(folder, "trial.o")
        if done.returncode == 0 and made.is_file() and made.stat().st_size > 0:
            return ""
        return (done.stderr.strip().splitlines() or ["no message"])[0]
