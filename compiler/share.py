# SPDX-License-Identifier: Apache-2.0
"""Several models in one firmware: each a library of its own, in one project, with one memory that they use in turn if asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import __version__
from .boards import Board, load_board
from .errors import DoesNotFitError, UsageError
from .lower import OPTIMIZE
from .output import REPORT, manifest, write_files
from .pipeline import Compilation, Options, compile_model, model_name, native
from .projects import Firmware, Model, wrap_firmware
from .report import Flash, Stack
from .report.fit import Budget, Needs, bar, fit
from .report.html import PAGE
from .report.totals import TotalReport
from .targets.cpus import Cpu, find_cpu
from .toolchains import compile_objects
from .verification import EngineResult, choose_engines
from .verification.alternate import HEADER, Part, merged, naming, turns, verify_in_turn

#: The folder of the models' own reports, each in a folder of the model's name.
REPORTS = "reports"


@dataclass(frozen=True, eq=False)
class Together:
    """A finished build of several models, complete in memory: `files` is what belongs on disk (path → bytes)."""

    models: tuple[Compilation, ...]
    files: Mapping[str, bytes]
    report: TotalReport

    def write(self, folder: Path | str, *, force: bool = False) -> list[str]:
        """Writes `files` into `folder`, all or nothing; see `tinyc.output.write_files`."""
        return write_files(self.files, Path(folder), force=force)


def compile_models(
    models: Sequence[Path],
    names: Sequence[str],
    options: Options,
    share_arena: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Together:
    """Compiles and verifies every model as `compile_model` does, joins them in one project, and runs all of them in turn.

    Args:
        models: two files or more. `names`: a C prefix for each, or none: then the file names are taken.
        options: for all models; `options.name` and `options.inputs` are those of a single model.

    Raises UsageError for names that clash, DoesNotFitError when all together do not fit, and the errors of `compile_model`.
    """
    prefixes = model_names(models, names)
    if options.verify == "renode":
        raise UsageError("--verify", "renode runs projects with one model", expected="unicorn, qemu or host")
    board = load_board(options.board)
    built = _compile_within(models, prefixes, options, share_arena, board, progress)
    firmware = Firmware(tuple(Model(model.library, model.info) for model in built), share_arena)
    kind = built[0].report.format
    files = {**wrap_firmware(kind, firmware), **_model_files(built)}
    verification, not_verified = _verification(built, files, options, share_arena, progress)
    needed, flash, stack = _totals(built, share_arena, board, options)
    report = TotalReport(
        tinyc=__version__,
        name=firmware.name,
        board=board.name,
        cpu=built[0].report.cpu,
        optimize=options.optimize,
        format=kind,
        seed=options.seed,
        models={model.name: f"{REPORTS}/{model.name}/{REPORT}" for model in built},
        share_arena=share_arena,
        arena=sum(model.memory.size for model in _arenas(built, share_arena)),
        flash=flash,
        stack=stack,
        fit=fit(board, needed),
        verification=tuple(verification),
        not_verified=not_verified,
        files=manifest(files),
    )
    files[REPORT] = (json.dumps(report.to_json(), indent=2) + "\n").encode()
    return Together(tuple(built), files, report)


def model_names(models: Sequence[Path], names: Sequence[str]) -> list[str]:
    """A C prefix for every model, all different; UsageError when there are not as many names as models, or two are equal."""
    if names and len(names) != len(models):
        raise UsageError(
            "--name", f"given {len(names)} times for {len(models)} models", expected="once per model, or not"
        )
    found = [model_name(names[index] if names else None, model) for index, model in enumerate(models)]
    for index, name in enumerate(found):
        if name.lower() == Path(HEADER).stem:
            raise UsageError("--name", f"'{name}' is the header of all models", hint=f"--name {name}_1")
        if name.lower() in (earlier.lower() for earlier in found[:index]):
            hint = " ".join(f"--name {prefix}_{position}" for position, prefix in enumerate(found))
            raise UsageError(f"model '{models[index]}'", f"a second model is called '{name}'", hint=f"such as {hint}")
    return found


def _compile_within(
    models: Sequence[Path],
    names: Sequence[str],
    options: Options,
    share_arena: bool,
    board: Board,
    progress: Callable[[str], None],
) -> list[Compilation]:
    """Every model as if it were alone; where all together do not fit, each within its part of the budget, and out of a fast memory
    that only some have room in."""
    budget = Budget(options.flash_budget or board.flash_bytes, options.ram_budget or board.ram_bytes)

    def compile_all(every: Sequence[Options]) -> list[Compilation]:
        made = []
        for model, name, wanted in zip(models, names, every, strict=True):
            with naming(name):
                made.append(compile_model(model, replace(wanted, name=name, inputs=()), progress))
        return made

    built = compile_all([options] * len(models))
    full = _full_memories(built, share_arena, board)
    if full and not full <= set(options.place):
        main = {what: board.main_memory("ram" if what == "arena" else "flash").name for what in full}
        options = replace(options, place={**main, **options.place})
        built = compile_all([options] * len(models))
    needed = _totals(built, share_arena, board, options)[0]
    if not needed.within(budget):
        try:
            built = compile_all(_parts(built, options, needed, budget, share_arena))
        except DoesNotFitError:
            raise _does_not_fit(built, board, needed, budget, share_arena) from None
        needed = _totals(built, share_arena, board, options)[0]
    if not needed.within(budget):
        raise _does_not_fit(built, board, needed, budget, share_arena)
    if full := _full_memories(built, share_arena, board):
        raise DoesNotFitError(
            f"board {board.name}",
            f"the {' and the '.join(sorted(full))} of all models do not fit in the memory that holds them",
            hint="another memory by --place, or --share-arena",
        )
    return built


def _arenas(built: Sequence[Compilation], share_arena: bool) -> list[Compilation]:
    """The models whose arenas are the memory: with a shared one it is that of the largest, where that would be."""
    return [max(built, key=lambda model: model.memory.size)] if share_arena else list(built)


def _full_memories(built: Sequence[Compilation], share_arena: bool, board: Board) -> set[str]:
    """What (`arena`, `tables`) is in a memory that has no room for all of it. The main flash also holds code: it is the budget's."""
    bytes_in: dict[str, int] = {}
    things: dict[str, set[str]] = {}
    holders = _arenas(built, share_arena)
    for model in built:
        for place in model.report.memories:
            if place.memory != board.main_memory("flash").name and (place.what != "arena" or model in holders):
                bytes_in[place.memory] = bytes_in.get(place.memory, 0) + place.bytes
                things.setdefault(place.memory, set()).add("arena" if place.what == "arena" else "tables")
    room = {memory.name: memory.usable_by_app for memory in board.memory}
    return {thing for name, size in bytes_in.items() if size > room[name] for thing in things[name]}


def _parts(
    built: Sequence[Compilation], options: Options, needed: Needs, budget: Budget, share_arena: bool
) -> list[Options]:
    """The options with the budget of each model: its part of flash and, where contexts lie side by side, of RAM without the one stack."""
    ram, parts = budget.ram - needed.stack, []
    scarce = needed.ram > budget.ram and not share_arena
    for model in built:
        own = model.report.fit
        flash = budget.flash * own.flash_used // sum(other.report.fit.flash_used for other in built)
        arena = ram * model.memory.size // sum(other.memory.size for other in built)
        stack = model.report.stack.bound or 0
        own_ram = max(arena + stack, 1) if scarce else options.ram_budget
        parts.append(replace(options, flash_budget=max(flash, 1), ram_budget=own_ram))
    return parts


def _does_not_fit(
    built: Sequence[Compilation], board: Board, needed: Needs, budget: Budget, share_arena: bool
) -> DoesNotFitError:
    problems = []
    if needed.flash > budget.flash:
        each = ", ".join(f"{model.name} {model.report.fit.flash_used:,} B" for model in built)
        numbers = f"{needed.flash:,} B needed, {budget.flash:,} B available {bar(needed.flash, budget.flash)}"
        problems.append(f"flash: {numbers}; alone: {each}")
    if needed.ram > budget.ram:
        each = ", ".join(f"{model.name} {model.memory.size:,} B" for model in built)
        stack = f" and {needed.stack:,} B stack" if needed.stack else ""
        numbers = f"{needed.ram:,} B needed ({needed.arena:,} B arena{stack}), {budget.ram:,} B available"
        problems.append(f"RAM: {numbers} {bar(needed.ram, budget.ram)}; {each}")
    shared = replace(needed, arena=_inside(_arenas(built, True), board))
    if not share_arena and shared.within(budget):
        hint = f"--share-arena would fit: {shared.ram:,} B of RAM for models that do not run at the same time"
    else:
        hint = "`--optimize size` or `--optimize ram`, a larger board (`tinyc boards`), or fewer models"
    return DoesNotFitError(
        f"board {board.name}", f"{len(built)} models do not fit together\n    " + "\n    ".join(problems), hint=hint
    )


def _inside(arenas: Sequence[Compilation], board: Board) -> int:
    """Bytes of those arenas that are in the chip's own RAM."""
    outside = {memory.name for memory in board.memory if memory.kind == "psram"}
    return sum(
        model.memory.size
        for model in arenas
        if not any(place.what == "arena" and place.memory in outside for place in model.report.memories)
    )


def _totals(
    built: Sequence[Compilation], share_arena: bool, board: Board, options: Options
) -> tuple[Needs, Flash, Stack]:
    """What all models take: every kernel once, one memory or all, and the deepest stack."""
    arena = _inside(_arenas(built, share_arena), board)
    flash = Flash(sum(model.report.flash.constants for model in built))
    if all(model.report.flash.total is not None for model in built):
        objects = compile_objects(
            merged([_part(model) for model in built]),
            find_cpu(built[0].report.cpu),
            toolchain=options.toolchain,
            optimize=OPTIMIZE[options.optimize],
        )
        sizes = objects.sections.values()
        code, constants = sum(size.code for size in sizes), sum(size.rodata for size in sizes)
        flash = Flash(constants, code, code + constants + sum(size.data for size in sizes), objects.toolchain)
    bounds = [model.report.stack.bound for model in built if model.report.stack.bound is not None]
    seen = [model.report.stack.measured for model in built if model.report.stack.measured is not None]
    stack = Stack(max(bounds, default=None), max(seen, default=None))
    code = flash.total - flash.constants if flash.total is not None else 0
    return Needs(flash.constants, arena, code, stack.bound or 0), flash, stack


def _part(model: Compilation) -> Part:
    return Part(model.name, model.program, model.library)


def _model_files(built: Sequence[Compilation]) -> dict[str, bytes]:
    """The models themselves, and the report of each."""
    files: dict[str, bytes] = {}
    for model in built:
        files |= {path: data for path, data in model.files.items() if path.endswith(".tflite")}
        report = replace(model.report, files={})
        files[f"{REPORTS}/{model.name}/{PAGE}"] = model.files[PAGE]
        files[f"{REPORTS}/{model.name}/{REPORT}"] = (json.dumps(report.to_json(), indent=2) + "\n").encode()
    return files


def _verification(
    built: Sequence[Compilation],
    files: Mapping[str, bytes],
    options: Options,
    share_arena: bool,
    progress: Callable[[str], None],
) -> tuple[list[EngineResult], str]:
    """Results of all models in turn on every engine, and one line that says why there are none, if so."""
    if options.verify == "none":
        return [], built[0].report.not_verified
    cpu = built[0].program.cpu
    names, why_not = choose_engines(options.verify, cpu)
    header = next(data for path, data in files.items() if Path(path).name == HEADER) if share_arena else None
    parts = [_part(model) for model in built]
    return [_in_turn(parts, header, name, cpu, options, progress) for name in names], why_not


def _in_turn(
    parts: Sequence[Part],
    header: bytes | None,
    emulator: str,
    cpu: Cpu,
    options: Options,
    progress: Callable[[str], None],
) -> EngineResult:
    portable = all(part.program.portable for part in parts)
    if emulator == "host" and not portable:
        parts = [Part(part.name, *native(part.name, part.program, part.library)) for part in parts]
    result = verify_in_turn(
        parts,
        turns(parts, options.count, options.seed),
        header=header,
        emulator=emulator,
        cpu=cpu,
        optimize=OPTIMIZE[options.optimize],
        toolchain=options.toolchain,
        progress=progress,
    )
    if emulator == "host" and not portable:
        note = f"With portable kernels in place of those for {cpu.title}. "
        result = replace(result, proves=note + result.proves)
    return result
