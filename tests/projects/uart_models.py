# SPDX-License-Identifier: Apache-2.0
"""The UARTs of Renode, as far as the firmware uses them, written from Renode's sources; and a unicorn machine with one.

Renode is not installable here. This runs the very ELF that the robot test boots, on the same core and memories.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from tinyc.boards import Board
from tinyc.targets.cpus import CPUS


class Uart:
    """Registers by offset; `sent` is what the firmware printed, `waiting` what it has not read yet."""

    def __init__(self, memory: Callable[[int, int], bytes], store: Callable[[int, bytes], None]) -> None:
        self.sent = bytearray()
        self.waiting: deque[int] = deque()
        self.registers: dict[int, int] = {}
        self.memory, self.store = memory, store

    def read(self, offset: int) -> int:
        return self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        self.registers[offset] = value

    def receive(self, byte: int) -> None:
        self.waiting.append(byte)

    def take(self) -> int:
        return self.waiting.popleft() if self.waiting else 0


class Stm32(Uart):
    def read(self, offset: int) -> int:
        if offset == 0x00:
            return 0xC0 | (0x20 if self.waiting else 0)
        return self.take() if offset == 0x04 else super().read(offset)

    def write(self, offset: int, value: int) -> None:
        super().write(offset, value)
        if offset == 0x04:
            assert self.registers.get(0x0C, 0) & 0x200C == 0x200C, "UE, TE and RE are on"
            self.sent.append(value & 0xFF)


class Stm32F7(Uart):
    def read(self, offset: int) -> int:
        if offset == 0x1C:
            return 0xC0 | (0x20 if self.waiting else 0)
        return self.take() if offset == 0x24 else super().read(offset)

    def write(self, offset: int, value: int) -> None:
        super().write(offset, value)
        if offset == 0x28:
            assert self.registers.get(0x00, 0) & 0x0D == 0x0D, "UE, TE and RE are on"
            self.sent.append(value & 0xFF)


class Cmsdk(Uart):
    def read(self, offset: int) -> int:
        if offset == 0x04:
            return 2 if self.waiting else 0
        return self.take() if offset == 0x00 else super().read(offset)

    def write(self, offset: int, value: int) -> None:
        super().write(offset, value)
        if offset == 0x00:
            assert self.registers.get(0x08, 0) & 3 == 3, "transmitter and receiver are on"
            self.sent.append(value & 0xFF)


class Esp32(Uart):
    """RXFIFO_CNT (in 0x1C) always reads 0, an empty FIFO reads as 0."""

    def read(self, offset: int) -> int:
        return self.take() if offset == 0x00 else 0

    def write(self, offset: int, value: int) -> None:
        assert offset == 0x00, f"nothing but the FIFO is written, not 0x{offset:x}"
        self.sent.append(value & 0xFF)


class Nrf52840(Uart):
    """EasyDMA: a character goes to memory when reception was started, the rest waits for the next start."""

    started = False

    def write(self, offset: int, value: int) -> None:
        super().write(offset, value)
        if offset == 0x008 and value:
            assert self.registers.get(0x500) == 8, "the UARTE is enabled"
            self.sent += self.memory(self.registers[0x544], self.registers[0x548])
            self.registers[0x120] = 1
        if offset == 0x000 and value:
            assert self.registers.get(0x538) == 1
            self.started = True
            self._deliver()

    def receive(self, byte: int) -> None:
        if not self.started:
            return  # lost, as in Renode and on the chip
        super().receive(byte)
        self._deliver()

    def _deliver(self) -> None:
        if self.waiting and not self.registers.get(0x110, 0):
            self.store(self.registers[0x534], bytes([self.waiting.popleft()]))
            self.registers[0x110] = 1


MODELS = {
    "UART.STM32_UART": Stm32,
    "UART.STM32F7_USART": Stm32F7,
    "UART.NRF52840_UART": Nrf52840,
    "UART.CMSDK_APB_UART": Cmsdk,
    "UART.ESP32_UART": Esp32,
}

PAGE = 0x1000


class Machine:
    """The board's core, its memories with the chip's sizes and one UART: what the .repl describes."""

    def __init__(self, board: Board, elf: Path, regions: list[tuple[int, int]]) -> None:
        import unicorn
        from unicorn import arm_const, riscv_const

        renode = board.emulator.renode
        assert renode is not None
        self.arm = CPUS[board.cpu].family == "cortex-m"
        if self.arm:
            self.engine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
            core = {"cortex-m0plus": "M0"}.get(board.cpu, board.cpu.removeprefix("cortex-").upper())
            self.engine.ctl_set_cpu_model(getattr(arm_const, f"UC_CPU_ARM_CORTEX_{core}"))
        else:
            self.engine = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
        for origin, size in regions:
            self.engine.mem_map(origin, size)
        if self.arm:
            self.engine.mem_map(0xE0000000, 0x10000)  # core peripherals: plain memory is enough
        self.uart: Uart = MODELS[renode.uart_model](self._memory, self._store)
        self.base = renode.uart_address
        self.engine.mmio_map(self.base & -PAGE, PAGE, self._read, None, self._write, None)
        self.pc = self._load(elf)
        if self.arm:
            vectors = next(region.origin for region in board.memory if region.kind == "flash")
            stack, self.pc = struct.unpack("<II", self._memory(vectors, 8))
            self.engine.reg_write(arm_const.UC_ARM_REG_SP, stack)
        self.pc_register = arm_const.UC_ARM_REG_PC if self.arm else riscv_const.UC_RISCV_REG_PC

    def _load(self, elf: Path) -> int:
        with elf.open("rb") as stream:
            image = ELFFile(stream)
            for segment in image.iter_segments("PT_LOAD"):
                if segment["p_filesz"]:
                    self._store(segment["p_paddr"], segment.data())
            return int(image["e_entry"])

    def _memory(self, address: int, size: int) -> bytes:
        return bytes(self.engine.mem_read(address, size))

    def _store(self, address: int, data: bytes) -> None:
        self.engine.mem_write(address, data)

    def _read(self, engine: Any, offset: int, size: int, data: Any) -> int:
        return self.uart.read(offset - (self.base % PAGE))

    def _write(self, engine: Any, offset: int, size: int, value: int, data: Any) -> None:
        self.uart.write(offset - (self.base % PAGE), value)

    def run_until(self, text: bytes, instructions: int = 3_000_000) -> bytes:
        """Runs until `text` and the rest of its line were printed, and returns all that was printed since the last call."""
        start = len(self.uart.sent)
        for _ in range(instructions // 20_000):
            self.engine.emu_start(self.pc, 0xFFFFFFFE, count=20_000)
            self.pc = self.engine.reg_read(self.pc_register) | (1 if self.arm else 0)
            said = bytes(self.uart.sent[start:])
            if text in said and said.endswith(b"\n"):
                return said
        raise AssertionError(f"{text!r} was not printed, but {bytes(self.uart.sent[start:])!r}")

    def type(self, data: bytes) -> None:
        for byte in data:
            self.uart.receive(byte)
