# SPDX-License-Identifier: Apache-2.0
"""Measures the code of every kernel (.text bytes, gcc -O2, on a core of its own kind) and writes compiler/targets/code_sizes.json."""

import json
import sys
from pathlib import Path

from tinyc.emit import runtime_files
from tinyc.targets import Kernel, instruction_sets, kernels_for
from tinyc.targets.cpus import CPUS, Cpu
from tinyc.toolchains import compile_objects

TABLE = Path(__file__).resolve().parents[1] / "compiler" / "targets" / "code_sizes.json"


def kernels() -> dict[str, Kernel]:
    """Every kernel by C function."""
    return {k.function: k for cpu in CPUS.values() for group in kernels_for(cpu).values() for k in group}


def home(kernel: Kernel) -> Cpu:
    """The core that a kernel is measured on: the Cortex-M4 for portable and DSP kernels, else the first that can run it."""
    order = [CPUS["cortex-m4"], *CPUS.values()]
    return next(cpu for cpu in order if instruction_sets()[kernel.isa] <= cpu.features)


def measure(kernel: Kernel) -> int:
    """Bytes of .text of the kernel's object."""
    objects = compile_objects(runtime_files({kernel.function: kernel.isa}), home(kernel))
    return objects.sections[f"{kernel.function}.c"].code


def main() -> int:
    table = {function: measure(kernel) for function, kernel in sorted(kernels().items())}
    TABLE.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    print(f"{len(table)} kernels, {sum(table.values()):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
