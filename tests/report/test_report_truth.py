# SPDX-License-Identifier: Apache-2.0
"""The report against tools that know nothing of tinyc: size, nm and the linker's map of the project's own files."""

import json
import re
import shutil
import subprocess
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
import tinyc
from conftest import SHARED
from rich.console import Console
from tinyc.boards import load_board
from tinyc.check_plan import check_plan
from tinyc.lower import OPTIMIZE
from tinyc.pipeline import Compilation
from tinyc.report.text import render
from tinyc.targets.cpus import find_cpu
from tinyc.toolchains.flags import FLAGS
from tinyc.verification import why_unusable

ROOT = Path(__file__).resolve().parent.parent.parent
BOARD, CPU = "mps2-an386", "cortex-m4"
MLPERF = {
    path.stem: path for path in (SHARED / "mlperf_tiny" / f"{name}.tflite" for name in ("kws", "vww", "ic", "ad"))
}
MODELS = {"example": ROOT / "examples" / "kws" / "kws.tflite", **MLPERF}

#: From ../shared/ANCHORS.md: arena bytes that TFLite Micro uses, and the proved optimum of the activations alone without overlap.
TFLM_ARENA = {"kws": 22820, "vww": 100708, "ic": 54996, "ad": 2580}
ACTIVATIONS = {"kws": 16000, "vww": 55296, "ic": 49152, "ad": 768}

pytestmark = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not on PATH")
ENGINE_MISSING = why_unusable("unicorn", find_cpu(CPU))
needs_unicorn = pytest.mark.skipif(ENGINE_MISSING is not None, reason=f"unicorn: {ENGINE_MISSING}")
mlperf = pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.skipif(not MLPERF[n].is_file(), reason="shared/models is not there"))
        for n in MLPERF
    ],
)
models = pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.skipif(not p.is_file(), reason="shared/models is not there"))
        for n, p in MODELS.items()
    ],
)


@cache
def build(name: str, optimize: str, verify: str = "unicorn") -> Compilation:
    """One input set is enough: instructions hardly depend on it, bytes do not."""
    return tinyc.compile(MODELS[name], name="net", board=BOARD, optimize=optimize, verify=verify, count=1)


def measured(name: str, optimize: str) -> Compilation:
    """A build with sizes: compiled, and verified where unicorn is there."""
    return build(name, optimize, "auto" if ENGINE_MISSING else "unicorn")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_library(built: Compilation, folder: Path) -> Path:
    """The model library as the project has it."""
    built.write(folder)
    return folder / "lib" / "net"


def compile_library(library: Path, optimize: str) -> list[str]:
    flags = (*(FLAGS[CPU].gcc or ()), *FLAGS[CPU].common, OPTIMIZE[optimize])
    run("arm-none-eabi-gcc", *flags, "-c", *sorted(path.name for path in library.glob("*.c")), cwd=library)
    return sorted(path.name for path in library.glob("*.o"))


def sections(library: Path, objects: list[str]) -> dict[str, int]:
    """Bytes of all sections that go to the target, by kind, from `size -A`."""
    found = {"text": 0, "rodata": 0, "other": 0}
    for section, size in re.findall(
        r"^(\.\S+)\s+(\d+)\s+\d+$", run("arm-none-eabi-size", "-A", *objects, cwd=library), re.MULTILINE
    ):
        if not section.startswith((".comment", ".ARM.attributes", ".note", ".debug")):
            found[section.split(".")[1] if section.split(".")[1] in found else "other"] += int(size)
    return found


@models
@pytest.mark.parametrize("optimize", OPTIMIZE)
def test_flash_is_what_size_says(name: str, optimize: str, tmp_path: Path) -> None:
    built = measured(name, optimize)
    library = write_library(built, tmp_path / "out")
    objects = compile_library(library, optimize)
    found, flash = sections(library, objects), built.report.flash
    assert (found["text"], found["rodata"], found["other"]) == (flash.code, flash.constants, 0)
    lines = run("arm-none-eabi-size", *objects, cwd=library).splitlines()[1:]
    text, data, bss = (sum(int(line.split()[column]) for line in lines) for column in range(3))
    assert (text, data, bss) == (flash.total, 0, 0)
    assert flash.measured_with.startswith("arm-none-eabi-gcc ")
    tables = sum(row.constants for row in built.report.layers)
    structs = sum(len(step.variants) or 1 for step in built.program.steps)
    others = sum(len(label) + 9 for label in built.graph.labels) + 160 * structs
    assert tables <= found["rodata"] <= tables + others, (
        "tables of the layers, labels, and the calls' parameter structs"
    )


@models
def test_ram_and_flash_are_what_the_map_says(name: str, tmp_path: Path) -> None:
    """Linked with a main of the test's own; unused sections are dropped, and there are none."""
    built = measured(name, "balanced")
    library = write_library(built, tmp_path / "out")
    labels = "if (net_labels[0][0]) " if built.graph.labels else ""
    statements = f"net_input(&ctx); net_run(&ctx); {labels}net_output(&ctx);"
    (library / "main.c").write_text(
        f'#include "net.h"\nnet_context ctx;\nint main(void) {{ for (;;) {{ {statements} }} }}\n'
    )
    objects = compile_library(library, "balanced")
    flags = [*(FLAGS[CPU].gcc or ()), "-nostdlib", "-Wl,--gc-sections,-Map=out.map,-e,main", "-Wl,-Ttext=0", "-lgcc"]
    run("arm-none-eabi-gcc", *objects, "-lc", *flags, "-o", "out.elf", cwd=library)
    inside = (library / "out.map").read_text().split("Linker script and memory map")[1]
    found = {"text": 0, "rodata": 0, "bss": 0}
    for section, size, place in re.findall(
        r"^ \.(text|rodata|bss)\S*\s+0x\w+\s+0x(\w+) (\S+\.o)$", inside, re.MULTILINE
    ):
        if place != "main.o" or section == "bss":
            found[section] += int(size, 16)
    report = built.report
    assert found == {"text": report.flash.code, "rodata": report.flash.constants, "bss": report.ram.arena}
    context = re.search(r"^\w+ (\w+) B ctx$", run("arm-none-eabi-nm", "-S", "out.elf", cwd=library), re.MULTILINE)
    assert context is not None and int(context[1], 16) == report.ram.arena
    header = (library / "net.h").read_text()
    assert f"#define NET_ARENA_SIZE {report.ram.arena}\n" in header


@mlperf
def test_code_is_small(name: str) -> None:
    assert (measured(name, "size").report.flash.code or 10**9) < 10_000


@mlperf
@pytest.mark.parametrize("optimize", OPTIMIZE)
def test_the_arena_is_not_larger_than_tflite_micros(name: str, optimize: str) -> None:
    assert measured(name, optimize).report.ram.arena <= TFLM_ARENA[name]


@mlperf
def test_the_plan_is_the_proved_optimum(name: str) -> None:
    """Smaller than any plan without overlap, and proved to be the smallest one with it."""
    report = tinyc.compile(MLPERF[name], board="mps2-an385", verify="none").report
    assert report.ram.activations <= ACTIVATIONS[name] and report.ram.optimal
    assert report.ram.activations <= report.ram.arena and report.ram.lower_bound <= report.ram.arena
    assert report.ram.live_at_peak
    assert "the plan is right" in check_plan(json.loads(json.dumps(report.to_json())))


@models
@needs_unicorn
@pytest.mark.parametrize("optimize", OPTIMIZE)
def test_stack_and_instructions(name: str, optimize: str) -> None:
    report = build(name, optimize).report
    (engine,) = report.verification
    assert report.stack.measured is not None and report.stack.bound is not None
    assert 0 < report.stack.measured <= report.stack.bound < 1024
    assert engine.stack == report.stack.measured and engine.instructions is not None and engine.layers is not None
    per_layer = [row.instructions for row in report.layers]
    assert per_layer == list(engine.layers) and all(per_layer)
    # One inference was run: layers from one kernel call to the next cover it, but for what <name>_run does before the first.
    assert sum(engine.layers) == engine.instructions
    assert sum(engine.functions.values()) == engine.instructions
    assert set(engine.functions) >= {row.kernel for row in report.layers} | {"net_run"}
    calls = len(build(name, optimize).program.calls)
    assert engine.functions["net_run"] < 40 * (calls + 1), "the glue is a few instructions per call"


@models
def test_totals_add_up(name: str) -> None:
    report = measured(name, "balanced").report
    assert report.macs == sum(row.macs for row in report.layers)
    flash, board = report.flash, load_board(BOARD)
    assert flash.total == flash.constants + (flash.code or 0)
    assert report.fit.flash_percent == round(100 * flash.total / board.flash_bytes, 1)
    assert report.fit.ram_percent == round(100 * (report.ram.arena + (report.stack.bound or 0)) / board.ram_bytes, 1)
    assert report.ram.input == sum(t.bytes for t in measured(name, "balanced").graph.input_tensors)
    text = json.loads(json.dumps(report.to_json()))
    assert text["ram"]["optimal"] is report.ram.optimal and len(text["layers"]) == len(report.layers)


def test_unverified_and_unmeasured_in_one_line() -> None:
    report = tinyc.compile(MODELS["example"], board=BOARD, verify="none").report
    out = StringIO()
    render(report, Console(file=out, width=140))
    line = next(line for line in out.getvalue().splitlines() if line.startswith("not verified"))
    assert "--verify none" in line and "tinyc verify" in line
    assert (report.flash.code, report.flash.total, report.stack.bound) == (None, None, None)
    assert "code not measured" in out.getvalue()
