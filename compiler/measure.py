# SPDX-License-Identifier: Apache-2.0
"""What the compiled library takes: code and constants in flash, stack frames."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .program import Program
from .targets.cpus import Cpu
from .toolchains import Objects, compile_objects

#: Stack for the compiler's own helpers under a kernel (64-bit multiply, shift or division on small cores), in bytes.
HELPER_STACK = 128


@dataclass(frozen=True)
class Measurement:
    """Bytes as `size` prints them for the library's objects: `code` is .text, `constants` is .rodata.

    `data` are tables that the startup copies to RAM, and `bss` are inputs that have memory of their own; else both are 0.

    `stack` bounds the stack below `<name>_run` (or `<name>_push_row`), itself included.
    """

    code: int
    constants: int
    data: int
    bss: int
    stack: int
    toolchain: str


def measure(
    library: Mapping[str, bytes], program: Program, name: str, cpu: Cpu, optimize: str, toolchain: str = "auto"
) -> Measurement:
    """Compiles the library for `cpu` and adds up its sections. Raises ToolError when no compiler is there."""
    objects = compile_objects(library, cpu, toolchain=toolchain, optimize=optimize)
    return Measurement(
        code=sum(sizes.code for sizes in objects.sections.values()),
        constants=sum(sizes.rodata for sizes in objects.sections.values()),
        data=sum(sizes.data for sizes in objects.sections.values()),
        bss=sum(sizes.bss for sizes in objects.sections.values()),
        stack=stack_bound(objects, library, name, [step.kernel.function for step in program.steps]),
        toolchain=objects.toolchain,
    )


def stack_bound(objects: Objects, library: Mapping[str, bytes], name: str, kernels: Sequence[str]) -> int:
    """Frames of the generated file plus the deepest kernel: all functions of its file at once, plus the compiler's helpers."""
    frames = objects.stack_usage
    run = sum(frames[f"{name}.c"].values())
    deepest = max(
        (sum(frames[f"{kernel}.c"].values()) + assembly_stack(library, f"{kernel}.c") for kernel in kernels), default=0
    )
    return run + deepest + (HELPER_STACK if kernels else 0)


def assembly_stack(library: Mapping[str, bytes], file: str) -> int:
    """Bytes that the assembly of `file` and of the headers it includes takes from the stack: every push in it at once.

    Compilers report nothing for naked functions.
    """
    pending, seen = [file], set[str]()
    total = 0
    while pending:
        path = pending.pop()
        if path in seen or path not in library:
            continue
        seen.add(path)
        text = library[path].decode(errors="replace")
        pending += re.findall(r'^\s*#include "([\w.]+)"', text, re.MULTILINE)
        total += sum(_registers(group) for group in re.findall(r"\b(?:push|stmdb\s+sp!,)\s*\{([^}]*)\}", text))
        total += sum(2 * _registers(group) for group in re.findall(r"\bvpush\s*\{([^}]*)\}", text))
        total += sum(int(size) for size in re.findall(r"\bsub\s+sp,\s*(?:sp,\s*)?#(\d+)", text))
        total += sum(int(size) for size in re.findall(r"\baddi\s+sp,\s*sp,\s*-(\d+)", text))
    return total


def _registers(group: str) -> int:
    """Bytes of a register list such as `r4-r11, lr`, four each."""
    count = 0
    for part in group.split(","):
        ends = re.findall(r"\d+", part)
        count += int(ends[1]) - int(ends[0]) + 1 if len(ends) == 2 else 1
    return 4 * count
