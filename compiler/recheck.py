# SPDX-License-Identifier: Apache-2.0
"""`tinyc verify`: the byte comparison on a finished build's own files, or on a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from .passes import check_order, run_passes
from .passes.order_operators import in_order
from .pipeline import model_name
from .program import Program
from .select import candidates
from .streaming.slabs import choices
from .targets.cpus import Cpu, find_cpu
from .verification import EngineResult, choose_engines, verify
from .verification.alternate import HEADER, Part, naming, turns, verify_in_turn
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
    """One result per emulator; see `tinyc.verify`. For a build of several models those of each, then those of all in turn."""
    several = _models(target)
    if emulator == "renode":
        if several:
            raise UsageError("--emulator", "renode runs projects with one model", hint="use unicorn, qemu or host")
        return (_in_renode(target, progress),)
    if several and board is not None:
        raise _has_board(target)
    options = _Options(emulator, seed, count, inputs, layers, toolchain, progress)
    if not several:
        return _check(open_subject(target, board), options)
    if inputs:
        raise _one_model_only(target)
    subjects = [_from_folder(target, report) for report in several.values()]
    results = []
    for subject in subjects:
        with naming(subject.name):
            found = _check(subject, options)
        results += [replace(result, proves=f"Model {subject.name}. {result.proves}") for result in found]
    return (*results, *_check_in_turn(target, subjects, options))


@dataclass(frozen=True)
class _Options:
    """How to check; see `tinyc.verify`."""

    emulator: str
    seed: int
    count: int
    inputs: Sequence[Sequence[Array]]
    layers: bool
    toolchain: str
    progress: Callable[[str], None]


def _engines(emulator: str, program: Program) -> list[str]:
    """The emulators for sources that cannot be exchanged for portable ones."""
    portable = program.portable
    if emulator == "host" and not portable:
        title = program.cpu.title
        raise UsageError("--emulator", f"these sources have kernels for {title} only", hint="use unicorn or qemu")
    names, why_not = choose_engines(emulator, program.cpu)
    names = [name for name in names if name != "host" or portable]
    if not names:
        why_not = why_not or f"these sources run on {program.cpu.title} only, and no emulator of it is ready"
        raise ToolError("--emulator", why_not, hint="`tinyc doctor` shows what is missing")
    return names


def _check(subject: Subject, options: _Options) -> tuple[EngineResult, ...]:
    """One result per emulator for one model."""
    names = _engines(options.emulator, subject.program)
    sets = [*options.inputs, *make_inputs(subject.program.graph, options.count, options.seed)]
    options.progress("computing the reference")
    expected = [reference.run(subject.program.graph, row) for row in sets]
    return tuple(
        verify(
            subject.name,
            subject.program,
            subject.library,
            sets,
            expected,
            emulator=name,
            layers=options.layers,
            optimize=subject.optimize,
            toolchain=options.toolchain,
            progress=options.progress,
        )
        for name in names
    )


def _check_in_turn(folder: Path, subjects: Sequence[Subject], options: _Options) -> list[EngineResult]:
    """One result per emulator for all models in turn, in the memory that the folder's models.h defines if they share one."""
    parts = [Part(subject.name, subject.program, subject.library) for subject in subjects]
    header = None
    if _read_json(folder / REPORT).get("share_arena"):
        path = next((path for path in (folder / HEADER, folder / "src" / HEADER) if path.is_file()), None)
        if path is None:
            raise ModelError(str(folder), f"{HEADER} is missing", hint="build it again")
        header = path.read_bytes()
    order = turns(parts, options.count, options.seed)
    uneven = next((part.program for part in parts if not part.program.portable), parts[0].program)
    return [
        verify_in_turn(
            parts,
            order,
            header=header,
            emulator=name,
            cpu=parts[0].program.cpu,
            optimize=subjects[0].optimize,
            toolchain=options.toolchain,
            progress=options.progress,
        )
        for name in _engines(options.emulator, uneven)
    ]


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
        raise _has_board(target)
    if _models(target):
        raise _one_model_only(target)
    return _from_folder(target)


def _has_board(target: Path) -> UsageError:
    return UsageError("--board", f"'{target}' is a build, which has its board already", hint="leave --board away")


def _one_model_only(target: Path) -> UsageError:
    return UsageError("--input", f"'{target}' has several models", expected="a build of one model")


def _models(target: Path) -> dict[str, str]:
    """Name → path of the report, for a build of several models; else nothing."""
    if not target.is_dir():
        return {}
    models = _read_json(target / REPORT).get("models")
    if not isinstance(models, dict):
        return {}
    paths = {str(name): str(path) for name, path in models.items()}
    inside = {
        name: path for name, path in paths.items() if not Path(path).is_absolute() and ".." not in Path(path).parts
    }
    return inside if len(inside) == len(paths) else {}


def _from_model(model: Path, board: str | None) -> Subject:
    graph = run_passes(from_bytes(read_model(model), model.name))
    name = model_name(None, model)
    chosen = choose(graph, find_cpu(load_board(board or "host").cpu), "balanced")
    return Subject(name, chosen.program, emit(chosen.program, chosen.memory, name), OPTIMIZE["balanced"])


def _read_json(path: Path) -> Mapping[str, Any]:
    """A report as it is; nothing when there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _report(folder: Path, path: str = REPORT) -> dict[str, Any]:
    """The report of a build of one model, or of one of several; ModelError when there is none."""
    try:
        report = _read_json(folder / path)
        return {
            key: report[key]
            for key in ("name", "format", "optimize", "board", "seed", "cpu", "layers", "streams", "tinyc")
        }
    except (KeyError, TypeError):
        raise ModelError(
            str(folder), f"no readable {path} in it", expected="a folder that `tinyc build` wrote, or a .tflite file"
        ) from None


def _from_folder(folder: Path, path: str = REPORT) -> Subject:
    report = _report(folder, path)
    try:
        name, kind, optimize = str(report["name"]), str(report["format"]), str(report["optimize"])
        flag = OPTIMIZE[optimize]
        cpu, version = find_cpu(str(report["cpu"])), str(report["tinyc"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(
            str(folder), f"no readable {path} in it", expected="a folder that `tinyc build` wrote, or a .tflite file"
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
    nodes, rows = {layer.node.index: layer.node for layer in computed(graph)}, report["layers"]
    if sorted(nodes) != sorted(row["node"] for row in rows):
        return None
    graph = in_order(graph, [nodes[row["node"]] for row in rows])
    check_order(graph)
    layers = computed(graph)
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
