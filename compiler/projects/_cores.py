# SPDX-License-Identifier: Apache-2.0
"""How a CMake project without a vendor framework compiles for a core with the compilers of a Linux distribution."""

from __future__ import annotations

from dataclasses import dataclass

from ..boards import Board
from ..targets.cpus import CPUS
from ..toolchains.flags import COMMON, FLAGS


@dataclass(frozen=True)
class CoreBuild:
    """Compiler, its flags, CMake's processor name and the files of runtime_c/startup."""

    compiler: str
    flags: str
    processor: str
    startup: tuple[str, ...]


#: The language level is the target's own choice, and -g0 the user's.
C_FLAGS = " ".join(flag for flag in (*COMMON, "-ffreestanding") if flag not in ("-std=c99", "-g0"))

_ARM_STARTUP = ("startup_cortex_m.c", "startup_memory.c")


def core_build(board: Board) -> CoreBuild:
    """The build of a core that is not this computer."""
    family = CPUS[board.cpu].family
    flags = " ".join(FLAGS[board.cpu].gcc or ("-mlongcalls",))
    if family == "cortex-m":
        return CoreBuild("arm-none-eabi-gcc", flags, "arm", _ARM_STARTUP)
    if family == "riscv":
        return CoreBuild("riscv64-unknown-elf-gcc", flags, "riscv32", ("startup_riscv.c", "startup_memory.c"))
    return CoreBuild("xtensa-lx106-elf-gcc", flags, "xtensa", ("startup_memory.c",))
