# SPDX-License-Identifier: Apache-2.0
"""The program that the emulation tests run, and where it can run here."""

import shutil
from pathlib import Path

import pytest
from tinyc.emulators import EMULATORS
from tinyc.emulators.cores import CORES, QEMU_PACKAGES
from tinyc.targets.cpus import CPUS, Cpu
from tinyc.toolchains import Image, Toolchain, build_image, install_line, kinds, try_kind

FOLDER = Path(__file__).parent / "program"
SOURCES = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
MARKS = ("mix_a", "mix_b", "mix_f")

#: Five inputs of 64 bytes.
STDIN = bytes((i * 37 + 11) % 256 for i in range(5 * 64))

BUILDS = [(cpu, kind) for cpu in CPUS for kind in kinds(CPUS[cpu])]
BARE_METAL = [(cpu, kind) for cpu, kind in BUILDS if CPUS[cpu].family in ("cortex-m", "riscv")]


def need_compiler(cpu: Cpu, kind: str) -> None:
    """Skips the test, naming the package, when this compiler does not work here."""
    if not isinstance(try_kind(kind, cpu), Toolchain):
        pytest.skip(f"no {kind} for {cpu.name}: {install_line(kind, cpu)}")


def need_qemu(cpu: Cpu) -> None:
    """Skips the test, naming the package, when QEMU for this core is missing."""
    program = CORES[cpu.name].qemu
    if shutil.which(program) is None:
        pytest.skip(f"no {program}: apt-get install {QEMU_PACKAGES[program]}")


def need_emulator(name: str, cpu: Cpu) -> None:
    """Skips the test when this emulator cannot run the core here."""
    if name == "qemu":
        need_qemu(cpu)
    reason = EMULATORS[name].unavailable(cpu)
    if reason is not None:
        pytest.skip(reason)


def build(cpu: Cpu, kind: str, work: Path, sources: dict[str, bytes] | None = None) -> Image:
    """The test program, or other sources, for one core with one kind of compiler."""
    need_compiler(cpu, kind)
    return build_image(sources or SOURCES, cpu, work, toolchain=kind)
