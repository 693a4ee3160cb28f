# SPDX-License-Identifier: Apache-2.0
"""A program that crashes, hangs or fails is reported with the place, and quickly."""

import time
from pathlib import Path

import pytest
from emulated_program import build, need_emulator
from tinyc.emulators import EMULATORS
from tinyc.errors import MismatchError, ToolError
from tinyc.targets.cpus import CPUS

MAIN = b"""
#include <stdint.h>
void faulty(volatile uint32_t *value);
int main(void) {
  static uint32_t value;
  faulty(&value);
  return (int)value;
}
"""
HEAD = b"#include <stdint.h>\nvoid faulty(volatile uint32_t *value);\nvoid faulty(volatile uint32_t *value) "
UNDEFINED = HEAD + b"{ (void)value; __builtin_trap(); }"
POINTER = HEAD + b"{ *(volatile uint32_t *)0xF0000000U = *value; }"
LOOP = HEAD + b"{ for (;;) { ++*value; } }"
STATUS = HEAD + b"{ *value = 7U; }"
STACK = (
    HEAD
    + b"""{
  volatile uint32_t frame[1000];
  frame[*value % 1000U] = *value;
  if (frame[*value % 1000U] < 0xFFFFFFFFU) { faulty(frame); }
  frame[3] = 1U;
}"""
)

PLACES = [
    ("cortex-m0plus", "unicorn"),
    ("cortex-m0plus", "qemu"),
    ("cortex-m33", "unicorn"),
    ("cortex-m33", "qemu"),
    ("cortex-m55", "qemu"),
    ("rv32imc", "unicorn"),
    ("rv32imc", "qemu"),
    ("xtensa-lx6", "qemu"),
    ("host", "host"),
]
#: Where the report knows the program counter: not for processes that a signal ended.
LOCATED = [(cpu, name) for cpu, name in PLACES if cpu not in ("xtensa-lx6", "host")]


def run(cpu: str, emulator: str, source: bytes, work: Path, timeout: float = 30) -> None:
    core = CPUS[cpu]
    need_emulator(emulator, core)
    kind = "clang" if core.family == "xtensa" else "gcc"
    image = build(core, kind, work, {"main.c": MAIN, "faulty.c": source})
    EMULATORS[emulator].run(image, b"", entry="faulty", timeout=timeout)


@pytest.mark.parametrize("source", [UNDEFINED, POINTER], ids=["undefined", "pointer"])
@pytest.mark.parametrize(("cpu", "emulator"), PLACES)
def test_a_crash_names_the_function(cpu: str, emulator: str, source: bytes, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="the program stopped") as caught:
        run(cpu, emulator, source, tmp_path)
    if (cpu, emulator) in LOCATED:
        assert " in faulty: " in caught.value.found
        assert "pc 0x" in caught.value.found


@pytest.mark.parametrize(("cpu", "emulator"), PLACES)
def test_a_stack_overflow_is_a_crash(cpu: str, emulator: str, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="the program stopped"):
        run(cpu, emulator, STACK, tmp_path)


@pytest.mark.parametrize(("cpu", "emulator"), PLACES)
def test_a_nonzero_status_is_reported(cpu: str, emulator: str, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="ended with status 7"):
        run(cpu, emulator, STATUS, tmp_path)


@pytest.mark.parametrize(
    ("cpu", "emulator"), [("cortex-m4", "unicorn"), ("cortex-m4", "qemu"), ("xtensa-lx6", "qemu"), ("host", "host")]
)
def test_a_hanging_program_is_stopped(cpu: str, emulator: str, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ToolError, match=r"did not end within 0\.5 seconds"):
        run(cpu, emulator, LOOP, tmp_path, timeout=0.5)
    assert time.monotonic() - start < 20


PARTIAL = b"""
#include "tinyc_host.h"
__attribute__((noinline)) void entry(uint8_t *data);
void entry(uint8_t *data) { __asm__ volatile("" : : "r"(data) : "memory"); }
int main(void) {
  static uint8_t data[100];
  entry(data);
  for (;;) {
    const uint32_t size = tinyc_host_read(data, sizeof data);
    const uint8_t count = (uint8_t)size;
    tinyc_host_write(&count, 1U);
    tinyc_host_write(data, size);
    if (size < sizeof data) { return 0; }
  }
}
"""


@pytest.mark.parametrize(("cpu", "emulator"), PLACES)
def test_input_that_ends_early_is_binary_and_counted(cpu: str, emulator: str, tmp_path: Path) -> None:
    core = CPUS[cpu]
    need_emulator(emulator, core)
    image = build(core, "clang" if core.family == "xtensa" else "gcc", tmp_path, {"main.c": PARTIAL})
    data = bytes([0, 10, 13, 26, 255, 4, 0, 10]) * 15  # 120 bytes with what text modes would change
    found = EMULATORS[emulator].run(image, data, entry="entry", timeout=30).output
    assert found == bytes([100]) + data[:100] + bytes([20]) + data[100:]
    empty = EMULATORS[emulator].run(image, b"", entry="entry", timeout=30).output
    assert empty == bytes([0])
