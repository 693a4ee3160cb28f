# SPDX-License-Identifier: Apache-2.0
"""Calls one function of a Cortex-M image in unicorn, every buffer on pages of its own, so that any access outside is an error."""

from __future__ import annotations

from dataclasses import dataclass

import unicorn
from elftools.elf.elffile import ELFFile
from tinyc.toolchains import Image
from unicorn import arm_const as arm

PAGE = 4096
STACK = 0x3000_0000
STOP = 0x3800_0000
BUFFERS = 0x4000_0000


@dataclass
class Buffer:
    """One argument in memory. `start` puts it at the start of its pages instead of the end; the rest of them is poisoned.

    With `inside` it is `offset` bytes into that one, which comes before it: only the length of `data` counts.
    """

    data: bytes
    start: bool = False
    address: int = 0
    inside: Buffer | None = None
    offset: int = 0


def call(
    image: Image, function: str, buffers: list[Buffer], model: int = arm.UC_CPU_ARM_CORTEX_M33, first_argument: int = 0
) -> tuple[list[bytes], int]:
    """Runs `function` with pointers to `buffers`, from `first_argument` on, as its arguments, on unicorn's `model` of a core. Returns what
    they hold then, and the instructions.

    Pages around each buffer are unmapped, and the bytes between the buffer and its page's end must keep their poison.
    """
    engine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    engine.ctl_set_cpu_model(model)
    _load(engine, image)
    engine.mem_map(STACK, PAGE)
    engine.mem_map(STOP, PAGE)
    poisoned = [_place(engine, buffer, BUFFERS + 0x10_0000 * i) for i, buffer in enumerate(buffers)]
    registers = [arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3]
    stack = STACK + PAGE - 64
    for position, buffer in enumerate(buffers[first_argument:]):
        if position < 4:
            engine.reg_write(registers[position], buffer.address)
        else:
            engine.mem_write(stack + 4 * (position - 4), buffer.address.to_bytes(4, "little"))
    saved = {register: 0x5A5A_0000 + register for register in range(arm.UC_ARM_REG_R4, arm.UC_ARM_REG_R4 + 8)}
    for register, value in saved.items():
        engine.reg_write(register, value)
    engine.reg_write(arm.UC_ARM_REG_SP, stack)
    engine.reg_write(arm.UC_ARM_REG_LR, STOP | 1)
    counted = [0]
    engine.hook_add(unicorn.UC_HOOK_CODE, lambda *_: counted.__setitem__(0, counted[0] + 1))
    engine.emu_start(image.symbols[function].address | 1, STOP, timeout=20_000_000)
    assert engine.reg_read(arm.UC_ARM_REG_PC) == STOP
    assert engine.reg_read(arm.UC_ARM_REG_SP) == stack
    assert {register: engine.reg_read(register) for register in saved} == saved
    for (address, before), buffer in zip(poisoned, buffers, strict=True):
        assert bytes(engine.mem_read(address, len(before))) == before, (
            f"written outside the buffer at {buffer.address:#x}"
        )
    return [bytes(engine.mem_read(buffer.address, len(buffer.data))) for buffer in buffers], counted[0]


def _load(engine: unicorn.Uc, image: Image) -> None:
    with image.elf.open("rb") as file:
        segments = [s for s in ELFFile(file).iter_segments() if s["p_type"] == "PT_LOAD" and s["p_filesz"] > 0]
        mapped: set[int] = set()
        for segment in segments:
            first = segment["p_vaddr"] // PAGE
            for page in range(first, (segment["p_vaddr"] + segment["p_filesz"] - 1) // PAGE + 1):
                if page not in mapped:
                    engine.mem_map(page * PAGE, PAGE)
                    mapped.add(page)
            engine.mem_write(segment["p_vaddr"], segment.data())


def _place(engine: unicorn.Uc, buffer: Buffer, base: int) -> tuple[int, bytes]:
    """Maps pages at `base` and sets the buffer's address. Returns the unused part of the pages: its address and content."""
    if buffer.inside is not None:
        buffer.address = buffer.inside.address + buffer.offset
        return buffer.address, b""
    size = max(-(-len(buffer.data) // PAGE), 1) * PAGE
    engine.mem_map(base, size)
    rest = size - len(buffer.data)
    poison = bytes((i * 151 + 7) % 256 for i in range(rest))
    buffer.address = base if buffer.start else base + rest
    engine.mem_write(buffer.address, buffer.data)
    unused = base + len(buffer.data) if buffer.start else base
    engine.mem_write(unused, poison)
    return unused, poison
