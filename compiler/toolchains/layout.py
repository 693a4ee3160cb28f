# SPDX-License-Identifier: Apache-2.0
"""Memory maps of the machines that images are linked for, and the linker scripts made from them.

They are emulated machines, not boards: as roomy as QEMU models them, so that any model fits that could run anywhere.
Source of the addresses: hw/arm/mps2.c, hw/arm/mps2-tz.c, hw/arm/armsse.c and hw/riscv/virt.c of QEMU 7.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..errors import UsageError, suggestion
from ..targets.cpus import Cpu

_MIB: Final = 1 << 20


@dataclass(frozen=True)
class Region:
    """A stretch of memory: first address and bytes."""

    origin: int
    size: int


@dataclass(frozen=True)
class Machine:
    """Where code (with the vectors first), constants, and data with the stack go."""

    rom: Region
    ram: Region
    constants: Region | None = None

    @property
    def regions(self) -> tuple[Region, ...]:
        """All memory that an image may occupy."""
        return (self.rom, self.ram) if self.constants is None else (self.rom, self.constants, self.ram)


_MPS2: Final = Machine(rom=Region(0, 4 * _MIB), ram=Region(0x20000000, 4 * _MIB))

#: The Armv8-M machines run secure code, hence the secure aliases with address bit 28 set.
MACHINES: Final[Mapping[str, Machine]] = {
    "mps2-an385": _MPS2,
    "mps2-an386": _MPS2,
    "mps2-an500": _MPS2,
    "mps2-an505": Machine(rom=Region(0x10000000, 4 * _MIB), ram=Region(0x38000000, 4 * _MIB)),
    "mps3-an547": Machine(
        rom=Region(0, _MIB // 2), constants=Region(0x11000000, 2 * _MIB), ram=Region(0x31000000, 4 * _MIB)
    ),
    "virt": Machine(rom=Region(0x80000000, 16 * _MIB), ram=Region(0x81000000, 16 * _MIB)),
}

#: The machine that images for a core are linked for, unless told otherwise.
DEFAULT_MACHINE: Final[Mapping[str, str]] = {
    "cortex-m0plus": "mps2-an385",
    "cortex-m3": "mps2-an385",
    "cortex-m4": "mps2-an386",
    "cortex-m7": "mps2-an500",
    "cortex-m33": "mps2-an505",
    "cortex-m55": "mps3-an547",
    "rv32imc": "virt",
    "rv32imac": "virt",
}


def machine_for(cpu: Cpu, machine: str | None) -> str:
    """Name of the machine to link for; empty for Xtensa user mode and for this computer. Raises UsageError."""
    name = machine or DEFAULT_MACHINE.get(cpu.name, "")
    if name and name not in MACHINES:
        raise UsageError("machine", f"unknown machine '{name}'", hint=suggestion(name, MACHINES))
    return name


def linker_script(cpu: Cpu, machine: str) -> str:
    """The GNU ld and lld script for one machine; `machine` is ignored for Xtensa."""
    if cpu.family == "xtensa":
        return _XTENSA
    where = MACHINES[machine]
    constants = where.constants or where.rom
    vectors = "LONG(tinyc_stack_top)" if cpu.family == "cortex-m" else ""
    return _BARE_METAL.format(
        rom=where.rom, constants=constants, ram=where.ram, vectors=vectors, name="CONST" if where.constants else "ROM"
    )


#: .ARM.extab and .ARM.exidx come with clang's objects, whether or not anything unwinds.
_BARE_METAL = """\
MEMORY {{
  ROM (rx) : ORIGIN = {rom.origin:#x}, LENGTH = {rom.size:#x}
  CONST (r) : ORIGIN = {constants.origin:#x}, LENGTH = {constants.size:#x}
  RAM (rw) : ORIGIN = {ram.origin:#x}, LENGTH = {ram.size:#x}
}}
SECTIONS {{
  .text : {{ {vectors} KEEP(*(.vectors)) *(.text .text.*) . = ALIGN(8); }} > ROM
  .rodata : {{ . = ALIGN(16); *(.rodata .rodata.* .srodata .srodata.*) . = ALIGN(8); }} > {name}
  .ARM.extab : {{ *(.ARM.extab*) . = ALIGN(4); }} > {name}
  .ARM.exidx : {{ *(.ARM.exidx*) . = ALIGN(4); }} > {name}
  .data : {{
    . = ALIGN(8); tinyc_data_start = .;
    *(.data .data.*)
    PROVIDE(__global_pointer$ = . + 0x800);
    *(.sdata .sdata.*)
    . = ALIGN(8); tinyc_data_end = .;
  }} > RAM AT > {name}
  tinyc_data_load = LOADADDR(.data);
  tinyc_memories_start = tinyc_data_start;
  tinyc_memories_end = tinyc_data_start;
  .bss (NOLOAD) : {{
    . = ALIGN(16); tinyc_bss_start = .;
    *(.sbss .sbss.* .bss .bss.*) *(COMMON)
    . = ALIGN(16); tinyc_bss_end = .;
  }} > RAM
  tinyc_stack_top = ORIGIN(RAM) + LENGTH(RAM);
  ASSERT(tinyc_bss_end + 0x10000 <= tinyc_stack_top, "less than 64 KiB of RAM is left for the stack")
  /DISCARD/ : {{ *(.comment) *(.note*) *(.eh_frame*) }}
}}
"""

#: Literals lie below the code that loads them, because l32r only reaches back.
_XTENSA = """\
SECTIONS {
  . = 0x10000 + SIZEOF_HEADERS;
  .text : SUBALIGN(4) { *(.literal .literal.*) *(.text .text.*) }
  . = ALIGN(0x1000);
  .rodata : { *(.rodata .rodata.*) }
  . = ALIGN(0x1000);
  .data : { *(.data .data.*) }
  .bss : { *(.bss .bss.*) *(COMMON) }
  /DISCARD/ : { *(.comment) *(.note*) *(.xtensa.info) *(.xt.prop*) *(.xt.lit*) }
}
"""
