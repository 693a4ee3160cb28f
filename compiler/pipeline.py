# SPDX-License-Identifier: Apache-2.0
"""The compiler as a list of stages. Who has read `compile_model` knows the compiler."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from . import __version__, reference
from .accelerators import accelerator_warnings, check_board, refuse, used_by
from .boards import Board, load_board
from .choose import Limits, choose
from .dump import graph_text, plan_text, program_text
from .emit import Port, emit, ports
from .emit.preprocess import preprocess_files
from .errors import DoesNotFitError, ModelError, ToolError, UsageError, suggestion
from .evaluation import Evaluation, evaluate
from .graph import DTYPES, Array, Graph
from .lower import OPTIMIZE, lower
from .measure import Measurement, measure
from .memory import MemoryMap, plan_memory
from .model import DataSource, Model, Quantizing, load_model, read_evaluation
from .output import REPORT, manifest, write_files
from .passes import run_passes
from .placement import Placement, inputs_apart, outside_bytes, place
from .plan import Arena
from .program import Program
from .projects import KINDS, ProjectInfo, TensorInfo, Vector, default_kind, wrap
from .quantize.analysis import analyse
from .report import Flash, LayerRow, Report, Stack, layer_rows, needs, ram, stream_rows
from .report.fit import Budget, Needs, check_fit, fit
from .report.html import PAGE, page
from .report.plan import plan
from .report.quantization import QuantizationReport, quantization_report
from .report.quantization_html import page as quantization_page
from .targets.cpus import find_cpu
from .verification import EngineResult, choose_engines, run_image, verify
from .verification.renode import verify_in_renode
from .verification.vectors import load_inputs, make_inputs

#: The page on quantization, of builds that quantized their model.
QUANTIZATION_PAGE = "quantization.html"

VERIFY = ("auto", "none", "host", "unicorn", "qemu", "renode")


@dataclass(frozen=True)
class Options:
    """What a build is asked for. `inputs` are extra input sets to verify with, besides `count` made ones; `input_files` are such sets
    in files (see `vectors.load_inputs`).

    `profile` asks for the estimate of cycles too. With `stream_input` the input's rows come one by one. `place` says which memory
    holds the arena or the tables (see `placement.place`), where tinyc's own choice is not wanted. `quantizing` is for float models;
    `evaluate` are samples, mostly with labels, on which the compiled C is measured, read as `quantizing.data` says. `outputs` are names
    of tensors at which the network ends, where that is not at its own outputs.
    """

    board: str
    name: str | None = None
    format: str | None = None
    framework: str | None = None
    optimize: str = "balanced"
    verify: str = "auto"
    inputs: Sequence[Sequence[Array]] = ()
    count: int = 4
    seed: int = 1
    layers: bool = False
    toolchain: str = "auto"
    flash_budget: int | None = None
    ram_budget: int | None = None
    profile: bool = False
    stream_input: bool = False
    place: Mapping[str, str] = field(default_factory=dict)
    quantizing: Quantizing = field(default_factory=Quantizing)
    evaluate: DataSource | None = None
    input_files: Sequence[Path] = ()
    outputs: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Compilation:
    """A finished build, complete in memory: `files` is what belongs on disk (path → bytes)."""

    name: str
    graph: Graph
    program: Program
    memory: MemoryMap
    library: Mapping[str, bytes]
    info: ProjectInfo
    files: Mapping[str, bytes]
    report: Report

    @property
    def sources(self) -> Mapping[str, bytes]:
        """The model library: file name → bytes."""
        return self.library

    @property
    def plan(self) -> Arena:
        """The arena with its offsets and certificate."""
        return self.memory.arena

    def run(self, inputs: Array) -> Array:
        """Runs the generated C natively on many samples (with portable kernels, which give the same bytes).

        Args:
            inputs: array [n, ...] of the model's input dtype (single-input models); each sample has the input's elements.

        Returns:
            array [n, ...] of output 0, computed by the C that this build generated.
        """
        return run_native(self, inputs)

    def write(self, folder: Path | str, *, force: bool = False) -> list[str]:
        """Writes `files` into `folder`, all or nothing; see `tinyc.output.write_files`."""
        return write_files(self.files, Path(folder), force=force)


def compile_model(
    model: Path | str, options: Options, progress: Callable[[str], None] = lambda text: None
) -> Compilation:
    """From a file to a finished build in memory. Every stage takes a value and returns a value."""
    _check_options(options)
    board = load_board(options.board)
    cpu = find_cpu(board.cpu)
    kind = options.format or default_kind(board)
    progress("reading the model")
    source = load_model(Path(model), options.quantizing, progress, options.outputs)
    graph = run_passes(source.graph)
    check_board(graph, board)
    _check_accelerator(graph, options)
    options = replace(options, inputs=[*options.inputs, *load_inputs(graph, options.input_files)], input_files=())
    name = model_name(options.name, Path(model))
    built = _build(graph, board, name, options, progress)
    budget = built.budget
    program, memory = built.program, built.memory
    library = {**built.library, **_input_files(name, source)}
    rows = layer_rows(program, memory)
    flash, stack = _figures(rows, built.measurement)
    needed = _needs(built, board)
    check_fit(board, program, memory, options.optimize, needed, budget)
    info = _project(name, graph, board, memory, built.placement, Path(model).name, options)
    files = {**wrap(kind, library, info), f"{name}.tflite" if kind == "c" else f"model/{name}.tflite": source.data}
    if options.verify == "renode":
        engines, not_verified = [verify_in_renode(files, board.name, info.vectors[0].output, progress)], ""
    else:
        engines, not_verified = _verification(name, program, library, options, progress)
    instructions = next((engine.layers for engine in engines if engine.layers), None)
    cycles = next((engine.layer_cycles for engine in engines if engine.layer_cycles), None)
    used = next((engine.stack for engine in engines if engine.stack is not None), None)
    report = Report(
        tinyc=__version__,
        name=name,
        model=Path(model).name,
        sha256=graph.source.sha256,
        board=board.name,
        cpu=cpu.name,
        optimize=options.optimize,
        format=kind,
        seed=options.seed,
        macs=sum(row.macs for row in rows),
        layers=layer_rows(program, memory, instructions, cycles),
        streams=stream_rows(program),
        ram=ram(program, memory),
        memories=built.placement.places,
        warnings=(*source.warnings, *built.placement.warnings, *accelerator_warnings(graph)),
        plan=plan(program, memory),
        flash=flash,
        stack=replace(stack, measured=used),
        fit=fit(board, needed, built.placement.arena.available if built.placement.arena.kind == "psram" else None),
        verification=tuple(engines),
        not_verified=not_verified,
        files={},
        preprocessing=None if source.preprocessing is None else source.preprocessing.to_json(),
    )
    built_c = Compilation(name, graph, program, memory, library, info, files, report)
    report = replace(report, evaluation=_evaluation(built_c, source, options, progress))
    if source.quantized is not None:
        quantization = _quantization(name, source, report.evaluation, progress)
        files[QUANTIZATION_PAGE] = quantization_page(quantization).encode()
        report = replace(report, quantization=quantization.to_json())
    files[PAGE] = page(report).encode()
    report = replace(report, files=manifest(files))
    files[REPORT] = (json.dumps(report.to_json(), indent=2) + "\n").encode()
    return replace(built_c, files=files, report=report)


@dataclass(frozen=True, eq=False)
class _Built:
    program: Program
    memory: MemoryMap
    placement: Placement
    library: Mapping[str, bytes]
    measurement: Measurement | None
    budget: Budget


def _build(graph: Graph, board: Board, name: str, options: Options, progress: Callable[[str], None]) -> _Built:
    """The library within the chip's own RAM; or with an arena outside of the chip, where the board has RAM there and nothing else fits."""
    framework, kind = options.framework or board.frameworks[0], options.format or default_kind(board)
    flash, ram = options.flash_budget or board.flash_bytes, options.ram_budget or board.ram_bytes
    outside = 0 if options.ram_budget else outside_bytes(board, framework, kind)
    try:
        built = _build_within(graph, board, name, options, Budget(flash, ram), progress)
        if outside <= ram or _needs(built, board).within(built.budget):
            return built
    except DoesNotFitError:
        if outside <= ram:
            raise
    return _build_within(graph, board, name, options, Budget(flash, outside), progress)


def _needs(built: _Built, board: Board) -> Needs:
    flash, stack = _figures(layer_rows(built.program, built.memory), built.measurement)
    return needs(built.memory, flash, stack, built.placement.copied(board))


def _build_within(
    graph: Graph, board: Board, name: str, options: Options, budget: Budget, progress: Callable[[str], None]
) -> _Built:
    """The library that the goal asks for, within the budget if kernels can be chosen so.

    The budget also has to hold the calls, parameters and stack, which only the compiler can measure: what they took goes into
    the next try.
    """
    left, cpu, stack = budget, find_cpu(board.cpu), 0
    framework, kind = options.framework or board.frameworks[0], options.format or default_kind(board)
    for attempt in (1, 2, 3):
        progress("choosing kernels and planning memory")
        chosen = choose(graph, cpu, options.optimize, Limits(left.flash, left.ram), options.stream_input)
        program = chosen.program
        memory = inputs_apart(program, chosen.memory, board, framework, kind, options.place, stack)
        figures = _figures(layer_rows(program, memory), None)
        check_fit(board, program, memory, options.optimize, needs(memory, *figures), budget)
        placement = place(program, memory, board, framework, kind, options.place, stack)
        progress("writing C")
        library = emit(program, memory, name, options.optimize, placement)
        measurement = _measurement(library, program, name, options, progress)
        if measurement is None:
            break
        stack = measurement.stack
        over_flash = measurement.code + measurement.constants + measurement.data - budget.flash
        room = budget.ram if placement.arena.kind == "psram" else min(budget.ram, board.ram_bytes)
        over_ram = memory.size + measurement.stack + placement.copied(board) - room
        if attempt == 3 or (over_flash <= 0 and over_ram <= 0):
            break
        left = Budget(left.flash - max(over_flash, 0), left.ram - max(over_ram, 0))
    return _Built(program, memory, placement, library, measurement, budget)


def _input_files(name: str, source: Model) -> Mapping[str, bytes]:
    """C that makes the model's inputs of raw data as its calibration data were made, where that is known."""
    return (
        {} if source.preprocessing is None else preprocess_files(name, source.preprocessing, source.graph.input_tensors)
    )


def _evaluation(
    built: Compilation, source: Model, options: Options, progress: Callable[[str], None]
) -> Evaluation | None:
    """What the compiled C is worth on the user's samples, where there are some: natively, and where the build was verified in
    emulation, on the core itself, too."""
    if options.evaluate is None:
        return None
    data = read_evaluation(source, options.evaluate, options.quantizing.data, progress)
    real = None if source.quantized is None else source.quantized.real
    emulated = any(engine.emulator not in ("host", "renode") for engine in built.report.verification)
    core = built.program.cpu if emulated else None
    return evaluate(built, data.arrays, data.labels, real=real, classes=data.classes, emulate=core, progress=progress)


def _quantization(
    name: str, source: Model, measured: Evaluation | None, progress: Callable[[str], None]
) -> QuantizationReport:
    """What quantization did, layer by layer, on the samples that calibrated."""
    assert source.quantized is not None
    samples = source.calibration
    analysis = None if samples is None else analyse(source.quantized, samples.arrays, progress)
    return quantization_report(
        source.quantized,
        name,
        analysis=analysis,
        evaluation=measured,
        preprocessing=source.preprocessing,
        warnings=source.warnings,
    )


def _check_accelerator(graph: Graph, options: Options) -> None:
    """What cannot be had without the accelerator's arithmetic, or beside it."""
    if options.evaluate is not None:
        refuse(graph, "--evaluate", "without the chip nobody knows what it computes")
    if options.verify == "renode":
        refuse(graph, "--verify renode", "it is simulated for unicorn, qemu and host only")
    if options.stream_input:
        refuse(graph, "--stream-input", "it takes whole inputs")


def _check_options(options: Options) -> None:
    for option, value, known in (
        ("--optimize", options.optimize, tuple(OPTIMIZE)),
        ("--verify", options.verify, VERIFY),
        ("--format", options.format or KINDS[0], tuple(KINDS)),
    ):
        if value not in known:
            raise UsageError(option, f"unknown value '{value}'", hint=suggestion(value, known))
    if options.count < 1:
        raise UsageError("--count", str(options.count), expected="at least 1")


#: Prefixes that would not work: words of C, C++ and Arduino; `<name>.h` would hide a header of the C library, Arduino or the
#: project itself; a CMake target or a variable of the project is called so.
_TAKEN = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while bool true false
    main setup loop class new delete this template namespace public private protected virtual operator try catch throw
    using and or not xor tinyc
    assert complex ctype errno fenv inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic stdbool
    stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype memory unistd features endian
    malloc sched pthread arduino console model_io uart start
    all clean depend edit_cache firmware gcc help install list_install_components package package_source preinstall
    rebuild_cache run test vector
    """.split()
)


def model_name(given: str | None, model: Path) -> str:
    """The C prefix: `given` when it is a usable identifier, else one made from the file's name."""
    if given is not None:
        taken = given.lower() in _TAKEN or given.lower().startswith("tinyc_")
        if taken or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", given):
            raise UsageError(
                "--name",
                f"'{given}' cannot be a C prefix",
                expected="letters, digits and _, starting with a letter; no word of C or C++, no name of a standard header",
                hint=f"--name model_{given}" if taken else "",
            )
        return given
    name = re.sub(r"_+", "_", re.sub(r"\W", "_", model.stem, flags=re.ASCII)).strip("_").lower()
    if not name or not name[0].isalpha() or name in _TAKEN or name.startswith("tinyc_"):
        name = f"model_{name}".rstrip("_")
    return name


def _measurement(
    library: Mapping[str, bytes], program: Program, name: str, options: Options, progress: Callable[[str], None]
) -> Measurement | None:
    """Sizes from the compiler; None when nothing is to be compiled or no compiler for the core is there."""
    if options.verify == "none":
        return None
    progress(f"compiling for {program.cpu.title}")
    try:
        return measure(library, program, name, program.cpu, OPTIMIZE[options.optimize], options.toolchain)
    except ToolError:
        if options.verify == "auto":
            return None
        raise


def _figures(rows: Sequence[LayerRow], measurement: Measurement | None) -> tuple[Flash, Stack]:
    if measurement is None:
        return Flash(sum(row.constants for row in rows)), Stack()
    total = measurement.code + measurement.constants + measurement.data
    return Flash(total - measurement.code, measurement.code, total, measurement.toolchain), Stack(measurement.stack)


def _project(
    name: str, graph: Graph, board: Board, memory: MemoryMap, placement: Placement, model_file: str, options: Options
) -> ProjectInfo:
    """What the project around the library is told; its self-test is the first made input set."""

    def describe(port: Port) -> TensorInfo:
        tensor = port.tensor
        quantized = tensor.quantization is not None and tensor.dtype != "float32"
        scale, zero_point = (tensor.scale, tensor.zero_point) if quantized else (None, None)
        return TensorInfo(port.ctype, tensor.bytes, tensor.elements, port.suffix, scale, zero_point)

    inputs = make_inputs(graph, 1, options.seed)[0]
    results = reference.outputs(graph, inputs)
    return ProjectInfo(
        name=name,
        board=board,
        framework=options.framework or board.frameworks[0],
        inputs=tuple(describe(port) for port in ports(graph, graph.inputs, graph.input_names)),
        outputs=tuple(describe(port) for port in ports(graph, graph.outputs, graph.output_names)),
        arena_bytes=memory.size,
        model_file=model_file,
        version=__version__,
        optimize=OPTIMIZE[options.optimize],
        labels=graph.labels,
        vectors=(Vector(_bytes(inputs), _bytes(results), options.seed),),
        stream_input=options.stream_input,
        placement=placement,
        accelerator=accelerator.name if (accelerator := used_by(graph.nodes)) else "",
    )


def _bytes(arrays: Sequence[Array]) -> bytes:
    return b"".join(array.tobytes() for array in arrays)


def _verification(
    name: str, program: Program, library: Mapping[str, bytes], options: Options, progress: Callable[[str], None]
) -> tuple[list[EngineResult], str]:
    """Results of every engine asked for, and one line that says why nothing was verified, if so."""
    if options.verify == "none":
        return [], "as asked (--verify none); `tinyc verify` does it later"
    names, why_not = choose_engines(options.verify, program.cpu)
    if not names:
        return [], why_not
    inputs = [*options.inputs, *make_inputs(program.graph, options.count, options.seed)]
    progress("computing the reference")
    expected = [reference.run(program.graph, row) for row in inputs]
    results = []
    for engine in names:
        subject, files = native(name, program, library) if engine == "host" else (program, library)
        result = verify(
            name,
            subject,
            files,
            inputs,
            expected,
            emulator=engine,
            layers=options.layers,
            optimize=OPTIMIZE[options.optimize],
            toolchain=options.toolchain,
            profile=options.profile,
            progress=progress,
        )
        if subject is not program:
            note = f"With portable kernels in place of those for {program.cpu.title}. "
            result = replace(result, proves=note + result.proves)
        results.append(result)
    return results, ""


def native(name: str, program: Program, library: Mapping[str, bytes]) -> tuple[Program, Mapping[str, bytes]]:
    """The program and library as this computer can run them: with portable kernels in place of the core's own."""
    if program.portable:
        return program, library
    portable = lower(program.graph, find_cpu("host"))
    return portable, emit(portable, plan_memory(portable), name)


def run_native(built: Compilation, inputs: Array) -> Array:
    """See `Compilation.run`."""
    graph = built.graph
    refuse(graph, "Compilation.run", "without the chip nobody knows what it computes")
    if len(graph.inputs) != 1:
        raise UsageError(
            "Compilation.run", f"the model has {len(graph.inputs)} inputs", expected="a model with one input"
        )
    source, target = graph.input_tensors[0], graph.output_tensors[0]
    array = np.ascontiguousarray(inputs)
    if array.dtype != DTYPES[source.dtype] or array.size % max(source.elements, 1):
        raise ModelError(
            "inputs",
            f"{array.dtype} array of shape {list(array.shape)}",
            expected=f"{source.dtype} samples of {list(source.shape)}",
        )
    samples = array.reshape(-1, *source.shape)
    _, library = native(built.name, built.program, built.library)
    streams = run_image(built.name, library, graph, [[sample] for sample in samples], "host", find_cpu("host"))
    size = sum(tensor.bytes for tensor in graph.output_tensors)
    first = [
        np.frombuffer(streams[i * size : i * size + target.bytes], DTYPES[target.dtype]) for i in range(len(samples))
    ]
    shape = target.shape[1:] if target.shape[:1] == (1,) else target.shape
    return np.concatenate([np.empty(0, DTYPES[target.dtype]), *first]).reshape(len(samples), *shape)


def dump(model: Path, options: Options, stage: str) -> str:
    """One stage of the compiler as text: `graph` (after the passes), `program` or `plan`."""
    graph = run_passes(load_model(model, options.quantizing, outputs=options.outputs).graph)
    if stage == "graph":
        return graph_text(graph)
    board = load_board(options.board)
    limits = Limits(options.flash_budget or board.flash_bytes, options.ram_budget or board.ram_bytes)
    chosen = choose(graph, find_cpu(board.cpu), options.optimize, limits, options.stream_input)
    return program_text(chosen.program) if stage == "program" else plan_text(chosen.memory)
