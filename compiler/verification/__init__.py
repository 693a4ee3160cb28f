# SPDX-License-Identifier: Apache-2.0
"""Runs the compiled model in an emulator and compares every byte with the numpy reference, from outside the program."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from .. import __version__
from ..accelerators import Accelerator, used_by
from ..cycles import estimate
from ..emit import environment, ports
from ..emulators import Emulator, Run, find_emulator, proves
from ..emulators.unicorn import INSTALL
from ..errors import MismatchError, ToolError
from ..graph import Array, Graph, Tensor, short_name
from ..program import Program
from ..resources import resource
from ..streaming.rows import height, row_bytes
from ..streaming.schedule import calls, is_final
from ..targets.cpus import Cpu, find_cpu
from ..toolchains import Image, build_image
from ..toolchains import find as find_toolchain
from . import vectors

__all__ = ["EngineResult", "choose_engines", "harness", "run_image", "vectors", "verify", "why_unusable"]

Number = TypeVar("Number", int, float)

#: Seconds after which an emulated run counts as hung.
TIMEOUT = 600.0

#: What lies before and behind the model's context while it runs, and must still be there at the end.
GUARD = bytes([0xA5]) * 64


@dataclass(frozen=True)
class EngineResult:
    """What one emulator showed. Byte equality held, else there would be no result.

    Attributes:
        emulator: its name. `toolchain`: the compiler that built the image. `proves`: what a run on it proves, in one sentence.
        inputs: input sets that ran. `bytes_compared`: output bytes compared. `layers_compared`: layers compared per input, or 0.
        instructions: exact instructions per inference, or None where the emulator cannot count.
        layers: exact instructions per step, or None.
        stack: high-water mark of the stack in bytes, or None.
        cycles_estimate: cycles of the first input set, when asked for and the core has a table (tinyc.cycles); an estimate.
        cycles_range: the same with every range of the table at its lower and at its upper end.
        layer_cycles: cycles_estimate per step.
    """

    emulator: str
    toolchain: str
    proves: str
    inputs: int
    bytes_compared: int
    layers_compared: int
    instructions: float | None
    layers: tuple[int, ...] | None
    functions: Mapping[str, int]
    stack: int | None
    cycles_estimate: float | None = None
    cycles_range: tuple[float, float] | None = None
    layer_cycles: tuple[float, ...] | None = None


def verify(
    name: str,
    program: Program,
    library: Mapping[str, bytes],
    input_sets: Sequence[Sequence[Array]],
    expected: Sequence[Sequence[Array | None]],
    *,
    emulator: str,
    cpu: Cpu | None = None,
    layers: bool = False,
    optimize: str = "-O2",
    toolchain: str = "auto",
    profile: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> EngineResult:
    """Builds `library` for `cpu` (the program's own by default), runs `input_sets` and compares with `expected`, the
    value of every tensor for each set (`reference.run`). `profile` asks for the estimate of cycles too, which takes longer.

    Raises MismatchError naming the first differing layer, element, expected and found; ToolError when the tools are missing.
    """
    cpu = cpu or (find_cpu("host") if emulator == "host" else program.cpu)
    engine = find_emulator(emulator, cpu)
    check = _Check(name, program, library, input_sets, expected, engine, cpu, optimize, toolchain, profile, progress)
    image, run = check.outputs()
    layers_compared = check.layers() if layers else 0
    cycles = estimate(cpu, run.profile) if run.profile is not None else None
    return EngineResult(
        emulator=engine.name,
        toolchain=image.toolchain,
        proves=check.proves(),
        inputs=len(input_sets),
        bytes_compared=len(run.output) - 2 * len(GUARD),
        layers_compared=layers_compared,
        instructions=run.instructions / run.calls * entries(program)
        if run.instructions is not None and run.calls
        else None,
        layers=per_step(program, run.layers) if program.fed is None else None,
        functions=run.functions,
        stack=run.stack,
        cycles_estimate=cycles.expected if cycles else None,
        cycles_range=(cycles.least, cycles.most) if cycles else None,
        layer_cycles=per_step(program, cycles.layers) if cycles else None,
    )


def entry_of(name: str, program: Program) -> str:
    """The C function that computes."""
    return f"{name}_run" if program.fed is None else f"{name}_push_row"


def entries(program: Program) -> int:
    """How often an inference calls it."""
    return 1 if program.fed is None else height(program.tensor(program.fed))


def per_step(program: Program, counts: tuple[Number, ...] | None) -> tuple[Number, ...] | None:
    """A number per kernel call as one per step; as it is when there are not as many as calls."""
    if counts is None or len(counts) != len(program.calls):
        return counts
    found = [type(counts[0])(0)] * len(program.steps) if counts else []
    for step, count in zip(program.calls, counts, strict=True):
        found[step] += count
    return tuple(found)


@dataclass(frozen=True)
class _Chunk:
    """Bytes `first` to `end` - 1 of a tensor."""

    tensor: int
    first: int
    end: int


def _whole(program: Program, tensors: Iterable[int]) -> Iterator[_Chunk]:
    return (_Chunk(tensor, 0, program.tensor(tensor).bytes) for tensor in tensors)


def _traced(program: Program) -> Iterator[_Chunk]:
    """What a tracing build writes, in order: whole outputs, and rows of those that are computed row by row."""
    for step in program.steps:
        stream = program.stream_of(step.index)
        if stream is None:
            yield from _whole(program, step.layer.node.outputs)
        elif stream.first == step.index:
            for call in calls(stream.schedule):
                layer = stream.schedule.layers[call.layer]
                if is_final(layer, call):
                    size = row_bytes(layer.output)
                    yield _Chunk(layer.node.outputs[0], call.rows.first * size, call.rows.end * size)


def choose_engines(wanted: str, cpu: Cpu) -> tuple[list[str], str]:
    """The emulators to verify with, and one line that says why there is none.

    `auto` takes this computer when it has a compiler, and the best emulator that runs the core; any other name stands for itself.
    """
    if wanted != "auto":
        return [wanted], ""
    reasons = {name: why_unusable(name, cpu) for name in ("unicorn", "qemu", "host")}
    usable = [name for name, reason in reasons.items() if reason is None]
    emulated = [name for name in usable if name != "host"][:1] if cpu.family != "host" else []
    chosen = [*(name for name in usable if name == "host"), *emulated]
    if chosen:
        return chosen, ""
    return [], f"no compiler and no emulator works here: {INSTALL} (`tinyc doctor` shows more)"


def why_unusable(name: str, cpu: Cpu) -> str | None:
    """Why emulator `name` cannot run an image for `cpu` here (it, or a compiler, is missing); None when it can."""
    core = find_cpu("host") if name == "host" else cpu
    try:
        find_emulator(name, core)
        find_toolchain(core)
    except ToolError as error:
        return f"{error.found} ({error.hint})" if error.hint else error.found
    return None


def run_image(
    name: str,
    library: Mapping[str, bytes],
    graph: Graph,
    input_sets: Sequence[Sequence[Array]],
    emulator: str,
    cpu: Cpu,
) -> bytes:
    """Builds the library with the verification main for `cpu` and runs it: the bytes of all outputs of all input sets."""
    sources = {**library, "tinyc_verify_main.c": harness(name, graph)}
    stdin = b"".join(array.tobytes() for inputs in input_sets for array in inputs)
    with tempfile.TemporaryDirectory(prefix="tinyc-") as work:
        image = build_image(sources, cpu, Path(work))
        output = find_emulator(emulator, cpu).run(image, stdin, entry=f"{name}_run", timeout=TIMEOUT).output
    if not output.endswith(GUARD + GUARD):
        raise MismatchError(name, "the program wrote outside of its context")
    return output[: -2 * len(GUARD)]


@dataclass(frozen=True, eq=False)
class _Check:
    name: str
    program: Program
    library: Mapping[str, bytes]
    input_sets: Sequence[Sequence[Array]]
    expected: Sequence[Sequence[Array | None]]
    engine: Emulator
    cpu: Cpu
    optimize: str
    toolchain: str
    profile: bool
    progress: Callable[[str], None]

    def proves(self) -> str:
        """What a run proves, apart for an accelerator's part."""
        accelerator, proved = used_by(self.program.graph.nodes), proves(self.cpu, self.engine.name)
        if accelerator is None:
            return proved
        return f"For the operators on the processor: {proved[0].lower()}{proved[1:]} {accelerator.proves}"

    def outputs(self) -> tuple[Image, Run]:
        """Compares the outputs of the image as it is flashed; a mismatch is then located layer by layer."""
        kernels = [step.kernel.function for step in self.program.steps]
        image, run = self._run({}, marks=kernels)
        order = list(_whole(self.program, self.program.graph.outputs))
        problem = self._first_difference(run.output, [order] * len(self.input_sets), "outputs")
        if problem is not None:
            self.layers()
            raise MismatchError(*problem)
        return image, run

    def layers(self) -> int:
        """Compares every step's outputs in a tracing build; the number of steps compared."""
        _, run = self._run({"TINYC_TRACE_LAYERS": None})
        order = [*_traced(self.program), *_whole(self.program, self.program.graph.outputs)]
        problem = self._first_difference(run.output, [order] * len(self.input_sets), "layers")
        if problem is not None:
            raise MismatchError(*problem)
        return len(self.program.steps)

    def _run(self, defines: Mapping[str, str | None], marks: Sequence[str] = ()) -> tuple[Image, Run]:
        accelerator = used_by(self.program.graph.nodes)
        sources = {
            **self.library,
            **(stream_files(accelerator) if accelerator else {}),
            "tinyc_verify_main.c": harness(self.name, self.program.graph, self.program.fed is not None),
        }
        stdin = b"".join(array.tobytes() for inputs in self.input_sets for array in inputs)
        with tempfile.TemporaryDirectory(prefix="tinyc-") as work:
            self.progress(f"compiling for {self.cpu.title}")
            image = build_image(
                sources, self.cpu, Path(work), toolchain=self.toolchain, optimize=self.optimize, defines=defines
            )
            self.progress(f"running in {self.engine.name}")
            if accelerator is not None:
                return image, self._run_beside(accelerator, image, stdin, marks)
            run = self.engine.run(
                image,
                stdin,
                entry=entry_of(self.name, self.program),
                marks=marks,
                timeout=TIMEOUT,
                profile=self.profile and bool(marks) and self.program.fed is None,
            )
            return image, run

    def _run_beside(self, accelerator: Accelerator, image: Image, given: bytes, marks: Sequence[str]) -> Run:
        """With a stand-in for the accelerator at the other end of the host channel."""
        simulation = accelerator.simulate(self.program.graph, given, self.expected)
        entry = entry_of(self.name, self.program)
        try:
            run = self.engine.run(image, b"", entry=entry, marks=marks, timeout=TIMEOUT, peer=simulation.peer)
        except MismatchError as error:
            if simulation.problem():
                raise MismatchError(f"{accelerator.title} protocol", simulation.problem()) from error
            raise
        return replace(run, output=simulation.outputs())

    def _first_difference(self, found: bytes, orders: Sequence[Sequence[_Chunk]], what: str) -> tuple[str, str] | None:
        """(where, found) of the first byte that differs from the reference, or None. A short or long stream is a difference too."""
        position = 0
        for number, order in enumerate(orders):
            for chunk in order:
                size = chunk.end - chunk.first
                got = found[position : position + size]
                position += size
                want = self.expected[number][chunk.tensor]
                assert want is not None
                where = self._where(chunk.tensor)
                if len(got) < size:
                    return where, f"the program stopped after {len(found)} bytes of {what} (input set {number})"
                if got != want.tobytes()[chunk.first : chunk.end]:
                    text = _element_text(self.program.tensor(chunk.tensor), want, got, chunk.first)
                    return where, f"{text} (input set {number}, {self.engine.name})"
        if position + 2 * len(GUARD) != len(found):
            return self.name, f"the program wrote {len(found) - 2 * len(GUARD)} bytes of {what}, expected {position}"
        if found[position:] != GUARD + GUARD:
            return f"{self.name}_run", f"wrote outside of {self.name}_context ({self.engine.name})"
        return None

    def _where(self, index: int) -> str:
        for step in self.program.steps:
            if index in step.layer.node.outputs:
                return f"layer {step.index} {step.layer.op} '{short_name(step.layer.output.name)}' ({step.kernel.function})"
        return f"output '{self.program.graph.tensors[index].name}'"


def harness(name: str, graph: Graph, fed: bool = False) -> bytes:
    """The C main of a verification image; `fed` when the model takes its input row by row."""
    accelerator = used_by(graph.nodes)
    template = environment().get_template(f"verify/{accelerator.name if accelerator else 'main'}.c.j2")
    inputs, outputs = ports(graph, graph.inputs, graph.input_names), ports(graph, graph.outputs, graph.output_names)
    return template.render(
        version=__version__, name=name, inputs=inputs, outputs=outputs, guard=GUARD, fed=fed
    ).encode()


def stream_files(accelerator: Accelerator) -> dict[str, bytes]:
    """C files through which an emulated program reaches the stand-in for an accelerator."""
    folder = resource("runtime_c") / "emulation"
    names = [name for file in accelerator.stream for name in (file, file.replace(".c", ".h"))]
    return {name: (folder / name).read_bytes() for name in names}


def _element_text(tensor: Tensor, want: Array, chunk: bytes, start: int = 0) -> str:
    """`element [0,3,4,1] is 12, expected 13; 40 of 512 elements differ`; the chunk begins at byte `start` of the tensor."""
    got = np.frombuffer(chunk, want.dtype)
    size = want.dtype.itemsize
    flat = np.ascontiguousarray(want).reshape(-1)[start // size : start // size + len(got)]
    differs = np.flatnonzero((got.view(np.uint8) != flat.view(np.uint8)).reshape(-1, size).any(axis=1))
    first = int(differs[0])
    place = ",".join(str(int(i)) for i in np.unravel_index(start // size + first, tensor.shape)) if tensor.shape else ""
    return f"element [{place}] is {got[first]}, expected {flat[first]}; {differs.size} of {flat.size} elements differ"
