# SPDX-License-Identifier: Apache-2.0
"""The processor cores that tinyc compiles for. How to compile for one is in `toolchains/`, where it runs in `emulators/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UsageError, suggestion


@dataclass(frozen=True)
class Cpu:
    """One core. `features` name what kernels may rely on: `dsp` (Armv7E-M/Armv8-M DSP), `mve` (Helium), `fpu`; `armv7m` and
    `armv6m` are Arm cores without SIMD, whose kernels suit their few instructions and registers; `riscv` is RV32 with
    multiplication, `xtensa` has MAC16 and zero-overhead loops. Portable kernels take
    `portable` times the instructions of the Cortex-M3, on which their costs were measured."""

    name: str
    title: str
    family: str
    features: frozenset[str] = frozenset()
    portable: float = 1.0


def _cpu(name: str, title: str, family: str, *features: str, portable: float = 1.0) -> tuple[str, Cpu]:
    return name, Cpu(name, title, family, frozenset(features), portable)


CPUS: Mapping[str, Cpu] = dict(
    [
        _cpu("cortex-m0plus", "Arm Cortex-M0+", "cortex-m", "armv6m", portable=1.9),
        _cpu("cortex-m3", "Arm Cortex-M3", "cortex-m", "armv7m"),
        _cpu("cortex-m4", "Arm Cortex-M4 with FPU", "cortex-m", "dsp", "fpu"),
        _cpu("cortex-m7", "Arm Cortex-M7 with FPU", "cortex-m", "dsp", "fpu"),
        _cpu("cortex-m33", "Arm Cortex-M33 with DSP and FPU", "cortex-m", "dsp", "fpu"),
        _cpu("cortex-m55", "Arm Cortex-M55 with Helium (MVE) and FPU", "cortex-m", "dsp", "mve", "fpu"),
        _cpu("rv32imc", "RISC-V RV32IMC", "riscv", "riscv", portable=1.4),
        _cpu("rv32imac", "RISC-V RV32IMAC", "riscv", "riscv", portable=1.4),
        _cpu("xtensa-lx6", "Xtensa LX6 (ESP32)", "xtensa", "xtensa", "fpu", portable=1.9),
        _cpu("xtensa-lx7", "Xtensa LX7 (ESP32-S3)", "xtensa", "xtensa", "fpu", portable=1.9),
        _cpu("host", "This computer", "host", "fpu"),
    ]
)


def find_cpu(name: str) -> Cpu:
    """The core called `name`; raises UsageError with a suggestion."""
    if name not in CPUS:
        raise UsageError("cpu", f"unknown core '{name}'", hint=suggestion(name, CPUS))
    return CPUS[name]
