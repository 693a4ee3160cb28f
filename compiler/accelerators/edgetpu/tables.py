# SPDX-License-Identifier: Apache-2.0
"""Package → the constant tables that the driver in `runtime_c/edgetpu/` runs. The fields are those of `tinyc_edgetpu.h`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from ...errors import ModelError
from .executable import (
    AwaitInterrupt,
    Executable,
    Fence,
    Layer,
    Package,
    ReceiveOutput,
    SendInput,
    SendInstructions,
    SendParameters,
    Step,
)
from .layout import Run, output_runs
from .reader import RECOMPILE, require_supported

CODE, INPUT, PARAMETERS, OUTPUT, INTERRUPT = range(5)

#: Alignment of outputs in scratch memory, in bytes: transfers go there.
ALIGNMENT = 32


@dataclass(frozen=True)
class StepRow:
    """One transfer, or the wait for interrupt `tag - INTERRUPT`; `last` says that an output is complete."""

    tag: int
    last: bool
    port: int
    offset: int
    length: int


@dataclass(frozen=True)
class InputRow:
    """`size` bytes of the tensor; `flip` is the size of an element whose top bit is inverted, else 0."""

    size: int
    flip: int


@dataclass(frozen=True)
class OutputRow:
    """An output that is received at `place` of the scratch memory, then copied by `runs`; without runs, in the tensor.

    `size` is 0 for an output that belongs to no tensor.
    """

    place: int
    size: int
    flip: int
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class ExecutableTables:
    """One program: all chunks of its code, its parameters, its steps."""

    code: bytes
    parameters: bytes
    steps: tuple[StepRow, ...]


@dataclass(frozen=True)
class Tables:
    """What the driver needs for one operator. `scratch` is bytes of memory for outputs on their way to tensors."""

    caching: ExecutableTables | None
    inference: ExecutableTables
    inputs: tuple[InputRow, ...]
    outputs: tuple[OutputRow, ...]
    token: int
    scratch: int

    @property
    def bytes(self) -> int:
        """Of code and parameters."""
        return sum(len(part.code) + len(part.parameters) for part in (self.caching, self.inference) if part)


def make_tables(package: Package, outputs: int, where: str) -> Tables:
    """The tables of a package whose first `outputs` output layers are tensors.

    Raises:
        ModelError: tinyc does not run it; messages call it `where`.
    """
    require_supported(package, where)
    inference, caching = package.inference, package.caching
    for executable in filter(None, (inference, caching)):
        _check_end(executable, where)
    rows, scratch = _outputs(inference, outputs)
    return Tables(
        caching=_executable(caching) if caching else None,
        inference=_executable(inference),
        inputs=tuple(InputRow(layer.bytes, _flip(layer)) for layer in inference.inputs),
        outputs=rows,
        token=inference.token,
        scratch=scratch,
    )


def _check_end(executable: Executable, where: str) -> None:
    """The driver must know when a program is over."""
    ends = [step for step in executable.steps if isinstance(step, AwaitInterrupt)]
    if len(ends) != 1 or executable.steps[-1] != AwaitInterrupt(0):
        found = f"{executable.kind.title} executable: {len(ends)} interrupts"
        raise ModelError(where, found, expected="one interrupt, number 0, as the last step", hint=RECOMPILE)


def _flip(layer: Layer) -> int:
    return layer.data_type.bytes if layer.data_type.flips_sign else 0


def _executable(executable: Executable) -> ExecutableTables:
    starts = [0, *accumulate(len(chunk.code) for chunk in executable.chunks)]
    inputs = {layer.name: index for index, layer in enumerate(executable.inputs)}
    outputs = {layer.name: index for index, layer in enumerate(executable.outputs)}
    ends = {step.layer: index for index, step in enumerate(executable.steps) if isinstance(step, ReceiveOutput)}

    def row(index: int, step: Step) -> StepRow:
        match step:
            case SendInstructions(chunk):
                return StepRow(CODE, False, 0, starts[chunk], len(executable.chunks[chunk].code))
            case SendInput(layer, offset, size):
                return StepRow(INPUT, False, inputs[layer], offset, size)
            case SendParameters(offset, size):
                return StepRow(PARAMETERS, False, 0, offset, size)
            case ReceiveOutput(layer, offset, size):
                return StepRow(OUTPUT, ends[layer] == index, outputs[layer], offset, size)
            case AwaitInterrupt(number):
                return StepRow(INTERRUPT + number, False, 0, 0, 0)
            case _:
                raise AssertionError(step)

    code = b"".join(chunk.code for chunk in executable.chunks)
    # Every step is over before the next begins, so a fence needs no step.
    steps = tuple(row(index, step) for index, step in enumerate(executable.steps) if not isinstance(step, Fence))
    return ExecutableTables(code, executable.parameters, steps)


def _outputs(executable: Executable, tensors: int) -> tuple[tuple[OutputRow, ...], int]:
    """The rows, and the bytes of scratch memory: of the largest output if each is complete before the next begins."""
    runs = [output_runs(layer) for layer in executable.outputs]
    direct = [_is_tensor(*pair) and i < tensors for i, pair in enumerate(zip(executable.outputs, runs, strict=True))]
    sizes = [
        0 if d else -(-x.padded_bytes // ALIGNMENT) * ALIGNMENT for d, x in zip(direct, executable.outputs, strict=True)
    ]
    places, scratch = [0] * len(sizes), max(sizes, default=0)
    if _interleaved(executable.steps):
        places, scratch = list(accumulate([0, *sizes[:-1]])), sum(sizes)
    rows = tuple(
        OutputRow(
            place=places[index],
            size=layer.bytes if index < tensors else 0,
            flip=_flip(layer),
            runs=() if direct[index] or index >= tensors else runs[index],
        )
        for index, layer in enumerate(executable.outputs)
    )
    return rows, scratch


def _is_tensor(layer: Layer, runs: Sequence[Run]) -> bool:
    """Whether the device sends the tensor as it is."""
    return layer.padded_bytes == layer.bytes and list(runs) == [Run(0, layer.bytes)]


def _interleaved(steps: Iterable[Step]) -> bool:
    """Whether parts of one output come between those of another."""
    order = [step.layer for step in steps if isinstance(step, ReceiveOutput)]
    return len(set(order)) < sum(1 for name, _ in groupby(order))
