# SPDX-License-Identifier: Apache-2.0
"""Several models in one image, run in turn and compared byte for byte: no model leaves anything that changes another's result."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import __version__, reference
from ..emit import Port, environment, ports
from ..emulators import Run, find_emulator, proves
from ..errors import DoesNotFitError, MismatchError, TinycError
from ..graph import Array
from ..program import Program
from ..targets.cpus import Cpu, find_cpu
from ..toolchains import Image, build_image
from . import GUARD, TIMEOUT, EngineResult, entry_of
from .vectors import make_inputs

#: The header of the memory that several models share.
HEADER = "models.h"


@dataclass(frozen=True, eq=False)
class Part:
    """One model of the image: the C that is in it, and the program it was made from."""

    name: str
    program: Program
    library: Mapping[str, bytes]

    @property
    def fed(self) -> bool:
        """Whether the input comes row by row."""
        return self.program.fed is not None

    @property
    def inputs(self) -> list[Port]:
        return ports(self.program.graph, self.program.graph.inputs, self.program.graph.input_names)

    @property
    def outputs(self) -> list[Port]:
        return ports(self.program.graph, self.program.graph.outputs, self.program.graph.output_names)


@dataclass(frozen=True, eq=False)
class Turn:
    """One inference of the run: its input and the outputs that the reference computes."""

    part: Part
    number: int
    inputs: Sequence[Array]
    outputs: Sequence[Array]


def turns(parts: Sequence[Part], count: int, seed: int) -> list[Turn]:
    """`count` rounds of all models, two at least so that each runs after every other, and every one on inputs of its own."""
    sets = [make_inputs(part.program.graph, max(count, 2), seed + index) for index, part in enumerate(parts)]
    return [
        Turn(part, number, sets[index][number], reference.outputs(part.program.graph, sets[index][number]))
        for number in range(len(sets[0]))
        for index, part in enumerate(parts)
    ]


def verify_in_turn(
    parts: Sequence[Part],
    order: Sequence[Turn],
    *,
    header: bytes | None,
    emulator: str,
    cpu: Cpu,
    optimize: str = "-O2",
    toolchain: str = "auto",
    progress: Callable[[str], None] = lambda text: None,
) -> EngineResult:
    """Runs `order` in one image: in the memory that `header` (models.h) defines, or in contexts side by side without one.

    Raises MismatchError naming the model, the models before it, and the first differing byte; ToolError when tools are missing.
    """
    core = find_cpu("host") if emulator == "host" else cpu
    image, run = _run(parts, order, header, emulator, core, optimize, toolchain, progress)
    _compare(order, run.output, emulator, shared=header is not None)
    names, memory = ", ".join(part.name for part in parts), "one shared memory" if header else "one firmware"
    return EngineResult(
        emulator=emulator,
        toolchain=image.toolchain,
        proves=f"All models in turn ({names}, {parts[0].name}, …) in {memory}. {proves(core, emulator)}",
        inputs=len(order),
        bytes_compared=len(run.output) - 2 * len(GUARD),
        layers_compared=0,
        instructions=None,
        layers=None,
        functions={},
        stack=None,
    )


@contextmanager
def naming(model: str) -> Iterator[None]:
    """Errors about one of several models say which."""
    try:
        yield
    except TinycError as error:
        if not isinstance(error, (MismatchError, DoesNotFitError)) and error.where != "--stream-input":
            raise
        where = f"model '{model}', {error.where}"
        raise type(error)(where, error.found, expected=error.expected, hint=error.hint) from None


def merged(parts: Sequence[Part]) -> dict[str, bytes]:
    """The C of all models in one folder: the runtime that they share once."""
    return {path: data for part in parts for path, data in part.library.items()}


def _run(
    parts: Sequence[Part],
    order: Sequence[Turn],
    header: bytes | None,
    emulator: str,
    cpu: Cpu,
    optimize: str,
    toolchain: str,
    progress: Callable[[str], None],
) -> tuple[Image, Run]:
    main = environment().get_template("verify/several.c.j2")
    text = main.render(version=__version__, parts=parts, shared=header is not None, guard=GUARD)
    sources = {**merged(parts), "tinyc_verify_main.c": text.encode()}
    if header is not None:
        sources["models.h"] = header
    stdin = b"".join(array.tobytes() for turn in order for array in turn.inputs)
    with tempfile.TemporaryDirectory(prefix="tinyc-") as work:
        progress(f"compiling all models for {cpu.title}")
        image = build_image(sources, cpu, Path(work), toolchain=toolchain, optimize=optimize)
        progress(f"running all models in {emulator}")
        entry = entry_of(parts[0].name, parts[0].program)
        return image, find_emulator(emulator, cpu).run(image, stdin, entry=entry, timeout=TIMEOUT)


def _compare(order: Sequence[Turn], found: bytes, emulator: str, *, shared: bool) -> None:
    position = 0
    for index, turn in enumerate(order):
        before = f"after {order[index - 1].part.name}" if index else "first"
        for port, array in zip(turn.part.outputs, turn.outputs, strict=True):
            want, got = array.tobytes(), found[position : position + port.tensor.bytes]
            position += len(want)
            if got != want:
                differing = [i for i, byte in enumerate(want) if got[i : i + 1] != bytes([byte])]
                value = f"0x{got[differing[0]]:02x}" if differing[0] < len(got) else "missing"
                raise MismatchError(
                    f"model '{turn.part.name}', output {port.index}, {'in the shared memory' if shared else 'beside the others'}",
                    f"byte {differing[0]} is {value} (input set {turn.number}, run {before}, {emulator}); "
                    f"{len(differing)} of {len(want)} bytes differ",
                    expected=f"0x{want[differing[0]]:02x}",
                )
    if found[position:] != GUARD + GUARD:
        raise MismatchError("all models in turn", f"wrote outside of the models' memory ({emulator})")
