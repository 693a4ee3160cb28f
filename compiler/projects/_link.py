# SPDX-License-Identifier: Apache-2.0
"""Linker scripts from the board's memories: of a bare-metal build, and what comes on top of a framework's own."""

from __future__ import annotations

from ..boards import Board, Memory
from ..targets.cpus import CPUS
from ._render import render

STACK_BYTES = 2048


def _region(name: str, access: str, memory: Memory, origin: int) -> dict[str, object]:
    return {"name": name, "access": access, "origin": origin, "length": memory.usable_by_app}


def _others(board: Board) -> list[dict[str, object]]:
    """RAM beside the one with data and stack."""
    main = board.main_memory("ram")
    return [
        {"name": m.name, "region": m.name.upper(), "origin": m.origin, "length": m.usable_by_app}
        for m in board.memory
        if m.kind != "flash" and m != main and m.usable_by_app
    ]


def memories_files(board: Board) -> dict[str, bytes]:
    """For RAM that the framework's own linker script leaves alone: a script on top of that one, and the code that zeroes it."""
    memories = _others(board)
    return {
        "memories.ld": render("platformio/memories.ld.j2", board=board, memories=memories),
        "src/memories.c": render("platformio/memories.c.j2", memories=memories),
    }


def link_script(board: Board, *, code_origin: int = 0) -> bytes:
    """Code in the first flash region, constants in the largest, data and stack in the largest RAM.

    `code_origin` replaces the flash address where code runs from another window than constants are read from; then
    constants go there too.
    """
    code = next(region for region in board.memory if region.kind == "flash" and region.usable_by_app)
    largest, ram = board.main_memory("flash"), board.main_memory("ram")
    regions = [_region("FLASH", "rx", code, code_origin or code.origin), _region("RAM", "rw", ram, ram.origin)]
    read_only = [{"name": code.name, "region": "FLASH"}]
    if largest is not code:
        regions.insert(1, _region("CONSTANTS", "r", largest, largest.origin))
        read_only.append({"name": largest.name, "region": "CONSTANTS"})
    others = _others(board)
    regions += [{"name": o["region"], "access": "rw", "origin": o["origin"], "length": o["length"]} for o in others]
    return render(
        "cmake/link.ld.j2",
        board=board,
        regions=regions,
        read_only=read_only,
        read_write=others,
        constants="FLASH" if largest is code else "CONSTANTS",
        vector_stack=CPUS[board.cpu].family == "cortex-m",
        stack=min(STACK_BYTES, ram.usable_by_app // 8),
    )
