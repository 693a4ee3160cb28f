# SPDX-License-Identifier: Apache-2.0
"""`tinyc verify`: the byte comparison on a finished build's own files, or on a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import __version__, reference
from .boards import load_board
from .choose import choose
from .emit import emit
from .errors import ModelError, ToolError, UsageError
from .graph import Array, Graph
from .importers.tflite import from_bytes, read_model
from .lower import OPTIMIZE, Run, assemble, computed, streamed
from .memory import plan_memory
from .output import REPORT
from .passes import run_passes
from .pipeline import model_name
from .program import Program
from .select import candidates
from .streaming.slabs import choices
from .targets.cpus import Cpu, find_cpu
from .verification import EngineResult, choose_engines, verify
from .verification.renode import verify_in_renode
from .verification.vectors import make_inputs


@dataclass(frozen=True, eq=False)
class Subject:
    """What is to be checked: the library's files and the program they were generated from."""

    name: str
    program: Program
    library: Mapping[str, bytes]
    optimize: str


def recheck(
    target: Path,
    *,
    emulator: str = "auto",
    board: str | None = None,
    seed: int = 1,
    count: int = 4,
    inputs: Sequence[Sequence[Array]] = (),
    layers: bool = False,
    toolchain: str = "auto",
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[EngineResult, ...]:
    """One result per emulator; see `tinyc.verify`."""
    if emulator == "renode":
        return (_in_renode(target, progress),)
    subject = open_subject(target, board)
    portable = subject.program.portable
    if emulator == "host" and not portable:
        title = subject.program.cpu.title
        raise UsageError("--emulator", f"these sources have kernels for {title} only", hint="use unicorn or qemu")
    names, why_not = choose_engines(emulator, subject.program.cpu)
    names = [name for name in names if name != "host" or portable]
    if not names:
        why_not = why_not or f"these sources run on {subject.program.cpu.title} only, and no emulator of it is ready"
        raise ToolError("--emulator", why_not, hint="`tinyc doctor` shows what is missing")
    sets = [*inputs, *make_inputs(subject.program.graph, count, seed)]
    progress("computing the reference")
    expected = [reference.run(subject.program.graph, row) for row in sets]
    return tuple(
        verify(
            subject.name,
            subject.program,
            subject.library,
            sets,
            expected,
            emulator=name,
            layers=layers,
            optimize=subject.optimize,
            toolchain=toolchain,
            progress=progress,
        )
        for name in names
    )


def _in_renode(folder: Path, progress: Callable[[str], None]) -> EngineResult:
    """The robot test of a project folder as it is now."""
    if not folder.is_dir():
        raise UsageError(
            "--emulator", f"renode runs a project, '{folder}' is a file", hint="build it first, then verify the folder"
        )
    subject, board = _from_folder(folder), str(_report(folder)["board"])
    outputs = reference.outputs(
        subject.program.graph, make_inputs(subject.program.graph, 1, _report(folder)["seed"])[0]
    )
    paths = [
        path for path in sorted(folder.rglob("*")) if path.is_file() and "build" not in path.relative_to(folder).parts
    ]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return verify_in_renode(files, board, b"".join(array.tobytes() for array in outputs), progress)


def open_subject(target: Path, board: str | None) -> Subject:
    """A build's folder with the C that is in it now, or a model compiled on the spot (for `board`, this computer by default)."""
    if not target.is_dir():
        return _from_model(target, board)
    if board is not None:
        raise UsageError("--board", f"'{target}' is a build, which has its board already", hint="leave --board away")
    return _from_folder(target)


def _from_model(model: Path, board: str | None) -> Subject:
    graph = run_passes(from_bytes(read_model(model), model.name))
    name = model_name(None, model)
    chosen = choose(graph, find_cpu(load_board(board or "host").cpu), "balanced")
    return Subject(name, chosen.program, emit(chosen.program, chosen.memory, name), OPTIMIZE["balanced"])


def _report(folder: Path) -> dict[str, Any]:
    """report.json of a build; ModelError when there is none."""
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        return {
            key: report[key]
            for key in ("name", "format", "optimize", "board", "seed", "cpu", "layers", "streams", "tinyc")
        }
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(
            str(folder), f"no readable {REPORT} in it", expected="a folder that `tinyc build` wrote, or a .tflite file"
        ) from None


def _from_folder(folder: Path) -> Subject:
    report = _report(folder)
    try:
        name, kind, optimize = str(report["name"]), str(report["format"]), str(report["optimize"])
        flag = OPTIMIZE[optimize]
        cpu, version = find_cpu(str(report["cpu"])), str(report["tinyc"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(
            str(folder), f"no readable {REPORT} in it", expected="a folder that `tinyc build` wrote, or a .tflite file"
        ) from None
    source = folder / (f"{name}.tflite" if kind == "c" else f"model/{name}.tflite")
    graph = run_passes(from_bytes(read_model(source), source.name))
    program = _rebuilt(graph, cpu, report)
    if program is None:
        raise ModelError(
            str(folder),
            f"was built by tinyc {version}, whose kernels differ from those of tinyc {__version__}",
            hint="build it again with this version, or verify it with the version that built it",
        )
    return Subject(name, program, read_library(folder, name, emit(program, plan_memory(program), name)), flag)


def _rebuilt(graph: Graph, cpu: Cpu, report: Mapping[str, Any]) -> Program | None:
    """The program that a report tells of; None when this version has no such kernels."""
    layers, rows = computed(graph), report["layers"]
    if len(rows) != len(layers):
        return None
    runs = []
    streamed_layers: set[int] = set()
    for stream in report["streams"]:
        steps = range(stream["first"], stream["last"] + 1)
        named = [
            [s for s in choices(layers[n], chunk, cpu) if (s.kernel.function, s.scratch) == _kernel(rows[n])]
            for n, chunk in zip(steps, stream["rows"], strict=True)
        ]
        if not all(named):
            return None
        fed = graph.inputs[0] if stream["fed"] else None
        runs.append(Run(steps.start, tuple(found[0] for found in named), tuple(stream["rows"]), fed))
        streamed_layers.update(steps)
    chosen = []
    for n, layer in enumerate(layers):
        found = candidates(layer, cpu)
        fitting = [c for c in found if (c.kernel.function, c.binding.scratch) == _kernel(rows[n])]
        if not fitting and n not in streamed_layers:
            return None
        chosen.append((fitting or found)[0])
    return streamed(assemble(graph, cpu, chosen), runs)


def _kernel(row: Mapping[str, Any]) -> tuple[str, int]:
    return str(row["kernel"]), int(row["scratch"])


def read_library(folder: Path, name: str, expected: Iterable[str]) -> dict[str, bytes]:
    """The model library's files as they are in the project now, wherever its kind of project keeps them."""
    home = next(
        (
            path.parent
            for path in (folder / f"{name}.c", *sorted(folder.glob(f"lib/{name}/**/{name}.c")))
            if path.is_file()
        ),
        None,
    )
    if home is None:
        raise ModelError(str(folder), f"{name}.c is not in it", hint="build it again")
    missing = [file for file in expected if not (home / file).is_file()]
    if missing:
        raise ModelError(str(home), f"{missing[0]} is missing", hint="build it again")
    return {path.name: path.read_bytes() for path in sorted(home.iterdir()) if path.suffix in (".c", ".h")}
