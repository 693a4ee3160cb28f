# SPDX-License-Identifier: Apache-2.0
"""Two things that LLVM 22's Xtensa assembly needs before it is right.

* `l32r` reads a literal that is 4-byte aligned and lies below the code. LLVM prints a function's literals as `.literal`
  lines in front of it, and its assembler then puts them between instructions, misaligned. `place_literals` gathers
  those of a function in a section `.literal.<function>`, which the linker script puts in front of the code.
* llc has no stack usage report; the windowed ABI takes a function's whole frame in its `entry` instruction.
"""

from __future__ import annotations

import re

_LITERAL = re.compile(r"\s*\.literal\s+([^,]+),\s*([^#]+?)\s*(#.*)?$")
_POSITION = re.compile(r"\s*\.literal_position\b")
_CODE = re.compile(r"\s*\.section\s+\.text\.([^,\s]+)")
_LABEL = re.compile(r"([A-Za-z_][\w.]*):")
_ENTRY = re.compile(r"\s*entry\s+a1,\s*(\d+)")


def place_literals(assembly: str) -> str:
    """The same assembly with each function's literals in an aligned section of their own."""
    lines: list[str] = []
    waiting: list[str] = []
    for line in assembly.split("\n"):
        literal = _LITERAL.match(line)
        code = _CODE.match(line)
        if literal:
            waiting += [f"{literal[1]}:", f"\t.4byte {literal[2]}"]
        elif code and waiting:
            lines += [f'\t.section .literal.{code[1]},"ax",@progbits', "\t.p2align 2", *waiting, line]
            waiting = []
        elif not _POSITION.match(line):
            lines.append(line)
    if waiting:
        raise ValueError("literals without a function behind them")
    return "\n".join(lines)


def stack_usage(assembly: str) -> dict[str, int]:
    """Frame of each function in bytes, from its `entry` instruction."""
    frames: dict[str, int] = {}
    label = ""
    for line in assembly.split("\n"):
        name, entry = _LABEL.match(line), _ENTRY.match(line)
        if name:
            label = name[1]
        elif entry:
            frames[label] = int(entry[1])
    return frames
