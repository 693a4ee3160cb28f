# SPDX-License-Identifier: Apache-2.0
"""Linked images: the context and the tables are at the addresses of the memories that the report names, and the bytes are right."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from machines import board_file, large_input
from tinyc.boards import Memory, load_board
from tinyc.pipeline import Compilation, Options, compile_model
from tinyc.toolchains.elf import Symbol, read_symbols

KWS = ROOT / "examples" / "kws" / "kws.tflite"
DIGITS = ROOT / "examples" / "digits" / "digits.tflite"


def need(*tools: str) -> None:
    for name in tools:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")


def write(files: dict[str, bytes] | object, folder: Path) -> None:
    assert isinstance(files, dict)
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def linked_and_run(built: Compilation, folder: Path) -> tuple[dict[str, Symbol], str]:
    need("cmake", "arm-none-eabi-gcc", "qemu-system-arm")
    write(dict(built.files), folder)
    said = ""
    for command in (["-B", "build"], ["--build", "build"], ["--build", "build", "--target", "run"]):
        result = subprocess.run(
            ["cmake", *command], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
        said += result.stdout + result.stderr
        assert result.returncode == 0, said
    assert "warning" not in said
    return dict(read_symbols(folder / "build" / "firmware.elf")[0]), said


def inside(symbol: Symbol, memory: Memory) -> bool:
    return memory.origin <= symbol.address and symbol.address + symbol.size <= memory.origin + memory.size


def check(built: Compilation, board: str, folder: Path) -> None:
    """Every symbol where the report says, and the emulator's output equal to the reference."""
    symbols, said = linked_and_run(built, folder)
    memories = {region.name: region for region in load_board(board).memory}
    arena, *others = built.report.memories
    tables = [place for place in others if place.what != "input"]
    for place in others:
        if place.what == "input":
            memory = symbols[f"{built.name}_input_memory"]
            assert inside(memory, memories[place.memory])
            assert memory.size == place.bytes
    assert inside(symbols["context"], memories[arena.memory])
    assert symbols["context"].size == arena.bytes == built.memory.size
    for place in tables:
        names = [name for name in symbols for layer in place.layers if name.startswith(f"{built.name}_{layer}_")]
        names = [name for name in names if not name.endswith("_params")]
        assert bool(names) == bool(place.bytes)
        for name in names:
            assert inside(symbols[name], memories[place.memory]), (name, place.memory)
        assert sum(symbols[name].size for name in names) == place.bytes
    vector = built.info.vectors[0]
    assert f"O {vector.output.hex()} " in said, "the bytes, not the program's own verdict, are the proof"


PLACES: list[dict[str, str]] = [
    {},
    {"arena": "sram2", "tables": "dtcm"},
    {"arena": "dtcm", "tables": "sram2"},
    {"arena": "dtcm", "tables": "sram"},
]


@pytest.mark.parametrize("places", PLACES, ids=lambda places: "-".join(places.values()) or "default")
def test_tightly_coupled_memories(places: dict[str, str], tmp_path: Path) -> None:
    """ITCM and code SRAM for constants, DTCM and data SRAM for the rest; tables in RAM are copied by the startup."""
    built = compile_model(KWS, Options("mps3-an547", verify="none", place=places))
    found = {place.what: place.memory for place in built.report.memories if place.bytes}
    if not places:
        assert found == {"arena": "dtcm", "hot tables": "itcm"}
    else:
        assert found["arena"] == places["arena"]
        assert found.get("hot tables", found.get("tables")) == places["tables"]
    check(built, "mps3-an547", tmp_path)


def test_a_part_of_the_tables(tmp_path: Path) -> None:
    """The fast memory has room for some layers' tables only."""
    rows = [
        ("flash", "flash", 0, 1 << 20, 5, 0),
        ("ram", "ram", 0x20000000, 1 << 20, 0, 0),
        ("fast", "ram", 0x60000000, 4096, 0, 0),
    ]
    board = board_file(tmp_path, rows)
    built = compile_model(KWS, Options(board, verify="none"))
    assert [place.memory for place in built.report.memories] == ["ram", "fast", "flash"]
    assert all(place.bytes > 1000 for place in built.report.memories)
    check(built, board, tmp_path)


def test_psram_when_nothing_else_has_room(tmp_path: Path) -> None:
    rows = [
        ("flash", "flash", 0, 1 << 20, 0, 0),
        ("ram", "ram", 0x20000000, 1500, 0, 0),
        ("psram", "psram", 0x60000000, 1 << 20, 4, 0),
    ]
    board = board_file(tmp_path, rows)
    built = compile_model(KWS, Options(board, verify="none"))
    assert built.report.memories[0].memory == "psram"
    assert "outside of the chip" in built.report.warnings[0]
    assert built.report.fit.ram_available == 1 << 20
    check(built, board, tmp_path)


def test_the_input_apart(tmp_path: Path) -> None:
    """A large input in PSRAM lets the rest stay inside; the run and the console reach it by the usual accessor."""
    rows = [
        ("flash", "flash", 0, 1 << 20, 0, 0),
        ("ram", "ram", 0x20000000, 8192, 0, 0),
        ("psram", "psram", 0x60000000, 1 << 20, 4, 0),
    ]
    board = board_file(tmp_path, rows)
    built = compile_model(large_input(tmp_path), Options(board, verify="host", layers=True))
    found = [(place.what, place.memory, place.bytes) for place in built.report.memories]
    assert found == [("arena", "ram", 1024), ("input", "psram", 16384), ("tables", "flash", 0)]
    assert built.report.fit.ram_available == 8192
    assert built.report.flash.total == built.report.flash.constants + (built.report.flash.code or 0) < 2000
    assert built.report.verification[0].layers_compared == 2
    assert built.report.warnings == ()
    check(built, board, tmp_path / "project")


def test_the_input_apart_as_the_user_wants(tmp_path: Path) -> None:
    built = compile_model(KWS, Options("mps3-an547", verify="none", place={"input": "sram2", "arena": "dtcm"}))
    found = [(place.what, place.memory) for place in built.report.memories if place.what in ("arena", "input")]
    assert found == [("arena", "dtcm"), ("input", "sram2")]
    check(built, "mps3-an547", tmp_path)


def test_row_streaming_comes_before_psram(tmp_path: Path) -> None:
    """A chip that has room when the model is computed row by row is not left."""
    rows = [
        ("flash", "flash", 0, 1 << 20, 0, 0),
        ("ram", "ram", 0x20000000, 1700, 0, 0),
        ("psram", "psram", 0x60000000, 1 << 20, 4, 0),
    ]
    default = compile_model(DIGITS, Options("mps2-an500", verify="none"))
    assert default.memory.size > 1700
    assert not default.program.streams
    built = compile_model(DIGITS, Options(board_file(tmp_path, rows), verify="none"))
    assert built.report.memories[0].memory == "ram"
    assert built.program.streams


# ---- PlatformIO with a framework's own linker script

#: The sections and regions of stm32duino's script for the STM32H743ZI, as far as a link needs them.
STM32DUINO = """\
ENTRY(Reset_Handler)
_estack = ORIGIN(RAM_D1) + LENGTH(RAM_D1);
MEMORY {
  DTCMRAM (xrw) : ORIGIN = 0x20000000, LENGTH = 128K
  ITCMRAM (xrw) : ORIGIN = 0x00000000, LENGTH = 64K
  RAM_D1 (xrw) : ORIGIN = 0x24000000, LENGTH = LD_MAX_DATA_SIZE
  FLASH (rx) : ORIGIN = 0x8000000 + LD_FLASH_OFFSET, LENGTH = LD_MAX_SIZE - LD_FLASH_OFFSET
}
SECTIONS {
  .isr_vector : { KEEP(*(.isr_vector)) } >FLASH
  .text : { *(.text) *(.text*) } >FLASH
  .rodata : { *(.rodata) *(.rodata*) } >FLASH
  .init_array (READONLY) : { first_constructor = .; KEEP(*(.init_array*)) last_constructor = .; } >FLASH
  .data : { *(.data) *(.data*) } >RAM_D1 AT> FLASH
  .bss : { _sbss = .; *(.bss) *(.bss*) *(COMMON) _ebss = .; } >RAM_D1
}
"""

APP = """\
#include "model_io.h"
extern uint32_t _estack[];
void Reset_Handler(void);
void console_write(const char *text, size_t length) { (void)text; (void)length; }
uint32_t console_micros(void) { return 0; }
void Reset_Handler(void) { (void)console_begin(model_io()); }
__attribute__((section(".isr_vector"), used)) static const void *const vectors[] = {_estack, (const void *)&Reset_Handler};
"""


def test_a_script_on_top_of_the_frameworks(tmp_path: Path) -> None:
    need("arm-none-eabi-gcc")
    built = compile_model(KWS, Options("nucleo_h743zi", verify="none"))
    assert built.report.memories[0].memory == "dtcm"
    write(dict(built.files), tmp_path)
    (tmp_path / "framework.ld").write_text(STM32DUINO)
    (tmp_path / "app.c").write_text(APP)
    flag = next(line.strip() for line in built.files["platformio.ini"].decode().splitlines() if "memories.ld" in line)
    assert "-Wl,-T" not in flag, "PlatformIO would leave out the framework's own script"
    sources = [*tmp_path.glob("lib/kws/src/*.c"), *tmp_path.glob("src/*.c"), tmp_path / "app.c"]
    symbols = ("LD_MAX_SIZE=2097152", "LD_MAX_DATA_SIZE=524288", "LD_FLASH_OFFSET=0")
    command = [
        "arm-none-eabi-gcc", "-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", "-mfloat-abi=hard", "-O2", "-Wall", "-Wextra",
        "-ffunction-sections", "-fdata-sections", "-Isrc", "-Ilib/kws/src", *map(str, sources),
        "-nostartfiles", "--specs=nosys.specs", "-Wl,--gc-sections", *(f"-Wl,--defsym={symbol}" for symbol in symbols),
        flag.replace("$PROJECT_DIR/", ""), "-Tframework.ld", "-o", "firmware.elf",
    ]  # fmt: skip
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert "warning: memory region" not in result.stderr
    found = read_symbols(tmp_path / "firmware.elf")[0]
    dtcm = next(region for region in load_board("nucleo_h743zi").memory if region.name == "dtcm")
    assert inside(found["context"], dtcm)
    assert found["context"].size == built.memory.size
    assert found["tinyc_dtcm_start"].address == found["context"].address
    assert found["tinyc_dtcm_end"].address == found["context"].address + built.memory.size
    assert found["last_constructor"].address == found["first_constructor"].address + 4, "the one that zeroes it"
    assert found["_ebss"].address - found["_sbss"].address < built.memory.size, "no second copy"
