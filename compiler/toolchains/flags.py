# SPDX-License-Identifier: Apache-2.0
"""How each compiler is told about each core: the one table of flags.

Zig's core names are bare: `cortex_m4` has no FPU, `cortex_m33` neither FPU nor DSP, `cortex_m55` no MVE, unless it is
added. unicorn's and QEMU's M7 has single precision only, hence `fp_armv8d16sp`. Debian's RISC-V GCC takes the 64-bit
libgcc as soon as `_zicsr` is in `-march`, hence the older ISA spec, which has it implied.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: `-ffp-contract=off`: a fused multiply-add rounds once instead of twice, which would not equal the reference.
COMMON: Final = (
    "-std=c99",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-common",
    "-ffp-contract=off",
    "-fno-stack-protector",
    "-g0",
)
#: No unwind tables: nothing unwinds on bare metal, and `size` would count them.
_BARE: Final = ("-ffreestanding", "-fno-pic", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables")


@dataclass(frozen=True)
class Flags:
    """For one core: the flags of each kind of compiler, None where that compiler cannot do it.

    `zig` also goes to the linker; `gcc` selects libgcc's variant there. `llc` are the code generator's flags where
    clang only makes the intermediate form (Xtensa).
    """

    zig: tuple[str, ...] | None = None
    gcc: tuple[str, ...] | None = None
    llc: tuple[str, ...] | None = None
    bare_metal: bool = True

    @property
    def common(self) -> tuple[str, ...]:
        """What every compiler gets."""
        return (*COMMON, *_BARE) if self.bare_metal else COMMON


def _thumb(zig: str, gcc: str, fpu: str | None = None) -> Flags:
    abi, floats = ("eabi", ("-mfloat-abi=soft",)) if fpu is None else ("eabihf", ("-mfloat-abi=hard", f"-mfpu={fpu}"))
    return Flags(
        zig=("-target", f"thumb-freestanding-{abi}", f"-mcpu={zig}"),
        gcc=(f"-mcpu={gcc}", "-mthumb", *floats),
    )


def _riscv(zig: str, gcc: str) -> Flags:
    return Flags(
        zig=("-target", "riscv32-freestanding-none", f"-mcpu=generic_rv32+{zig}", "-mcmodel=medany"),
        gcc=(f"-march={gcc}", "-mabi=ilp32", "-misa-spec=2.2", "-mcmodel=medany"),
    )


#: No QEMU core has the ESP32's `mulsh`, so the 64-bit products are done by a function.
_XTENSA: Final = Flags(llc=("-mcpu=esp32", "-mattr=-mul32high"))

FLAGS: Final[Mapping[str, Flags]] = {
    "cortex-m0plus": _thumb("cortex_m0plus", "cortex-m0plus"),
    "cortex-m3": _thumb("cortex_m3", "cortex-m3"),
    "cortex-m4": _thumb("cortex_m4+vfp4d16sp", "cortex-m4", "fpv4-sp-d16"),
    "cortex-m7": _thumb("cortex_m7+fp_armv8d16sp", "cortex-m7", "fpv5-sp-d16"),
    "cortex-m33": _thumb("cortex_m33+dsp+fp_armv8d16sp", "cortex-m33", "fpv5-sp-d16"),
    "cortex-m55": _thumb("cortex_m55+mve_fp+fp_armv8d16", "cortex-m55", "auto"),
    "rv32imc": _riscv("m+c", "rv32imc"),
    "rv32imac": _riscv("m+a+c", "rv32imac"),
    "xtensa-lx6": _XTENSA,
    "xtensa-lx7": _XTENSA,
    "host": Flags(zig=("-mcpu=baseline",), gcc=(), bare_metal=False),
}

#: Zig turns clang's undefined-behaviour traps on by itself.
ZIG_EXTRA: Final = ("-fno-sanitize=all",)

#: Dropping unused sections, in the dialect of the native linker.
HOST_LINK: Final = ("-Wl,-dead_strip",) if sys.platform == "darwin" else ("-Wl,--gc-sections",)
