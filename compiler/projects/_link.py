# SPDX-License-Identifier: Apache-2.0
"""The linker script of a bare-metal build, from the board's memories."""

from __future__ import annotations

from ..boards import Board, Memory
from ..targets.cpus import CPUS
from ._render import render

STACK_BYTES = 2048


def _region(name: str, access: str, memory: Memory, origin: int) -> dict[str, object]:
    return {"name": name, "access": access, "origin": origin, "length": memory.usable_by_app}


def link_script(board: Board, *, code_origin: int = 0) -> bytes:
    """Code in the first flash region, constants in the largest, data and stack in the largest RAM.

    `code_origin` replaces the flash address where code runs from another window than constants are read from; then
    constants go there too.
    """
    code = next(region for region in board.memory if region.kind == "flash" and region.usable_by_app)
    largest, ram = board.main_memory("flash"), board.main_memory("ram")
    regions = [_region("FLASH", "rx", code, code_origin or code.origin), _region("RAM", "rw", ram, ram.origin)]
    if largest is not code:
        regions.insert(1, _region("CONSTANTS", "r", largest, largest.origin))
    return render(
        "cmake/link.ld.j2",
        board=board,
        regions=regions,
        constants="FLASH" if largest is code else "CONSTANTS",
        vector_stack=CPUS[board.cpu].family == "cortex-m",
        stack=min(STACK_BYTES, ram.usable_by_app // 8),
    )
