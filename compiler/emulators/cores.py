# SPDX-License-Identifier: Apache-2.0
"""Which core runs in which emulator, and what such a run proves: the one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..targets.cpus import Cpu


@dataclass(frozen=True)
class Runs:
    """Where code for one core runs; an empty name means: nowhere.

    Attributes:
        unicorn: unicorn's name of the core (`UC_CPU_ARM_<name>`), or `RISCV32`.
        qemu: QEMU program. Its machine is the image's; for user mode (Xtensa) `qemu_core` is the core.
        title: what the emulated core is, where it is only a relative of the chip's.
        qemu_caveat: what a run there leaves open besides memory map and time; ends the sentence of `proves`.
    """

    unicorn: str = ""
    qemu: str = ""
    qemu_core: str = ""
    title: str = ""
    qemu_caveat: str = ""


_ESP32 = Runs(
    qemu="qemu-xtensa",
    qemu_core="de233_fpu",
    title="a little-endian windowed Xtensa core with hardware float (de233_fpu), the nearest to {cpu}",
    qemu_caveat="ESP-IDF's compiler, the chip's memory map, its mulsh instruction and SIMD",
)

CORES: Final[Mapping[str, Runs]] = {
    "cortex-m0plus": Runs(
        unicorn="CORTEX_M0",
        qemu="qemu-system-arm",
        qemu_caveat="that the code keeps to Armv6-M (the compiler sees to that; the machine's core is a Cortex-M3)",
    ),
    "cortex-m3": Runs(unicorn="CORTEX_M3", qemu="qemu-system-arm"),
    "cortex-m4": Runs(unicorn="CORTEX_M4", qemu="qemu-system-arm"),
    "cortex-m7": Runs(unicorn="CORTEX_M7", qemu="qemu-system-arm"),
    "cortex-m33": Runs(unicorn="CORTEX_M33", qemu="qemu-system-arm"),
    "cortex-m55": Runs(qemu="qemu-system-arm"),
    "rv32imc": Runs(unicorn="RISCV32", qemu="qemu-system-riscv32"),
    "rv32imac": Runs(unicorn="RISCV32", qemu="qemu-system-riscv32"),
    "xtensa-lx6": _ESP32,
    "xtensa-lx7": _ESP32,
    "host": Runs(),
}

#: Debian package of each QEMU program.
QEMU_PACKAGES: Final[Mapping[str, str]] = {
    "qemu-system-arm": "qemu-system-arm",
    "qemu-system-riscv32": "qemu-system-misc",
    "qemu-xtensa": "qemu-user",
}


def proves(cpu: Cpu, emulator: str) -> str:
    """One sentence: what equal bytes of a run in `emulator` prove about code for `cpu`, and what they do not."""
    runs = CORES[cpu.name]
    if emulator == "host" or cpu.name == "host":
        return (
            "Proves that the generated C computes the right bytes on this computer; "
            "it does not prove the target's compiler or instructions, its memory map or any timing."
        )
    if emulator == "renode":
        return (
            f"Proves that the firmware for {cpu.title} boots on a model of the board and prints the right bytes; "
            "it does not prove cycles or flash wait states, nor that the chip has every instruction used."
        )
    core = runs.title.format(cpu=cpu.title) if runs.title else f"an emulated core that runs {cpu.title} code"
    caveat = runs.qemu_caveat if emulator == "qemu" else ""
    left = f"the board's memory map or any timing, nor {caveat}" if caveat else "the board's memory map or any timing"
    return f"Proves that the compiled code computes the right bytes on {core}; it does not prove {left}."
