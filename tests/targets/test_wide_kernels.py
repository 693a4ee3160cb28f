# SPDX-License-Identifier: Apache-2.0
"""The int16 and float32 kernels on every core: the reference's bytes, and no fused multiply-add whatever a firmware is built with."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dsp_harness import merged
from oracle import random_array
from tinyc import reference
from tinyc.emit import emit
from tinyc.graph import Array, Graph, Tensor
from tinyc.lower import lower
from tinyc.memory import plan_memory
from tinyc.ops import all_ops
from tinyc.targets import kernels_for
from tinyc.targets.cpus import CPUS
from tinyc.verification import choose_engines, run_image

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "rv32imc", "xtensa-lx6")
RUNTIME = Path(__file__).resolve().parents[2] / "runtime_c"
FLOAT_KERNELS = sorted(
    {k.function for group in kernels_for(CPUS["host"]).values() for k in group if k.function.endswith("_f32")}
)


def cases() -> Iterator[Graph]:
    """The operators' own cases with int16 or float32 in them."""
    for op in all_ops().values():
        for _, graph in op.cases():
            types = {tensor.dtype for tensor in (*graph.input_tensors, *graph.output_tensors)}
            if not op.view and types & {"int16", "float32"}:
                yield graph


def inputs(tensor: Tensor, random: np.random.Generator) -> Array:
    """Random values; in float32 some are subnormal, huge or zero, where the values' products and sums allow it."""
    values = random_array(tensor, random)
    if tensor.dtype == "float32":
        values *= random.choice(np.float32([1, 1, 1, 1e-3, 1e-39, 1e9, 0]), tensor.shape)
    return values


@pytest.mark.parametrize("core", CORES)
def test_the_references_bytes(core: str) -> None:
    cpu = CPUS[core]
    engines, why_not = choose_engines("auto", cpu)
    engines = [name for name in engines if name != "host"]
    if not engines:
        pytest.skip(why_not)
    graph = merged(list(cases()))
    random = np.random.default_rng(5)
    values = [inputs(tensor, random) for tensor in graph.input_tensors]
    with np.errstate(all="ignore"):
        wanted = reference.outputs(graph, values)
    program = lower(graph, cpu)
    stream = run_image("m", emit(program, plan_memory(program), "m"), graph, [values], engines[-1], cpu)
    wrong = []
    for step, want in zip(program.steps, wanted, strict=True):
        got = np.frombuffer(stream[: want.nbytes], want.dtype).reshape(want.shape)
        stream = stream[want.nbytes :]
        if got.tobytes() != want.tobytes():
            at = np.flatnonzero(got.reshape(-1) != want.reshape(-1))
            shown = (got.reshape(-1)[at[:3]], want.reshape(-1)[at[:3]], at[:3]) if at.size else "the sign of a zero"
            wrong.append(f"{step.kernel.function} {step.layer.op}: {at.size} of {want.size}, {shown}")
    assert not stream
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("function", FLOAT_KERNELS)
@pytest.mark.parametrize(
    ("compiler", "flags", "fused"),
    [
        ("arm-none-eabi-gcc", "-mcpu=cortex-m7 -mfpu=fpv5-d16 -mfloat-abi=hard", r"\bvfn?m[as]"),
        ("arm-none-eabi-gcc", "-mcpu=cortex-m55 -mfloat-abi=hard", r"\bvfn?m[as]|\bq\d"),
        ("riscv64-unknown-elf-gcc", "-march=rv32imfc -mabi=ilp32f -ffreestanding", r"\bfn?m(add|sub)"),
    ],
    ids=["cortex-m7", "cortex-m55", "rv32f"],
)
@pytest.mark.parametrize("dialect", ["-std=gnu17 -O2", "-std=gnu11 -Os", "-std=gnu17 -O3"])
def test_nothing_is_fused(function: str, compiler: str, flags: str, fused: str, dialect: str, tmp_path: Path) -> None:
    """With the dialects that firmware is built with, in which GCC fuses a product and a sum unless it is told otherwise.

    `vmla` and `vmls` are no fused operations: they round the product. Vectors (`q`) are none of ours: Helium flushes subnormal numbers.
    """
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    source = RUNTIME / "kernels" / "generic" / f"{function}.c"
    assembly = tmp_path / "kernel.s"
    folders = ["-I", str(RUNTIME), "-I", str(RUNTIME / "internal")]
    command = [compiler, *flags.split(), *dialect.split(), *folders, "-S", str(source), "-o", str(assembly)]
    subprocess.run(command, check=True)
    assert not re.findall(fused, assembly.read_text())


def test_these_flags_would_fuse(tmp_path: Path) -> None:
    """The test above can fail."""
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no arm-none-eabi-gcc")
    source, assembly = tmp_path / "sum.c", tmp_path / "sum.s"
    source.write_text("float sum(float a, float b, float c) { return a * b + c; }\n")
    flags = "-mcpu=cortex-m7 -mfpu=fpv5-d16 -mfloat-abi=hard -std=gnu17 -O2 -S".split()
    subprocess.run(["arm-none-eabi-gcc", *flags, str(source), "-o", str(assembly)], check=True)
    assert re.findall(r"\bvfma", assembly.read_text())
