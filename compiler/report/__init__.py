# SPDX-License-Identifier: Apache-2.0
"""What a build came to: layers, RAM, flash, stack, fit and verification. One structure for the text table, --json and report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ..graph import short_name
from ..memory import MemoryMap
from ..ops import op_of
from ..placement import Place
from ..program import Program
from ..verification import EngineResult
from .fit import Fit, Needs, table_bytes
from .plan import Plan, reads, writes

if TYPE_CHECKING:
    from ..evaluation import Evaluation


@dataclass(frozen=True)
class LayerRow:
    """One step. `constants` are the bytes of flash tables it brings (weights, biases, multipliers).

    `reads` and `writes` are ids of the plan's buffers: inputs; outputs, scratch and sums.
    """

    index: int
    node: int
    op: str
    name: str
    output_shape: tuple[int, ...]
    output_bytes: int
    macs: int
    constants: int
    scratch: int
    kernel: str
    isa: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    instructions: int | None = None
    cycles_estimate: float | None = None


@dataclass(frozen=True)
class StreamRow:
    """Layers `first` to `last`, computed together row by row: each its `rows` at a time; `fed` when the model's input comes by rows."""

    first: int
    last: int
    rows: tuple[int, ...]
    fed: bool


@dataclass(frozen=True)
class Ram:
    """Bytes of RAM: the arena holds everything. `certificate` fields say how good the plan is."""

    arena: int
    input: int
    output: int
    scratch: int
    activations: int
    lower_bound: int
    optimal: bool
    peak_layer: int
    live_at_peak: tuple[str, ...]


@dataclass(frozen=True)
class Flash:
    """Bytes of flash of the model library. `code` and `total` are None until a compiler has measured them."""

    constants: int
    code: int | None = None
    total: int | None = None
    measured_with: str = ""


@dataclass(frozen=True)
class Stack:
    """Bytes of stack under `<name>_run`: the static bound from the compiler's frame sizes, and the measured high-water mark."""

    bound: int | None = None
    measured: int | None = None


@dataclass(frozen=True)
class Report:
    """Everything `tinyc build` has to say.

    `memories` is where the arena and the tables are; `warnings` are lines for the user. `preprocessing` is how inputs are made, as far
    as the model says it (tinyc.data); `quantization` what was done to a float model, see docs/quantization-report.md.
    """

    tinyc: str
    name: str
    model: str
    sha256: str
    board: str
    cpu: str
    optimize: str
    format: str
    seed: int
    macs: int
    layers: tuple[LayerRow, ...]
    streams: tuple[StreamRow, ...]
    ram: Ram
    plan: Plan
    flash: Flash
    stack: Stack
    fit: Fit
    verification: tuple[EngineResult, ...]
    not_verified: str
    files: Mapping[str, str]
    memories: tuple[Place, ...] = ()
    warnings: tuple[str, ...] = ()
    preprocessing: Mapping[str, Any] | None = None
    quantization: Mapping[str, Any] | None = None
    evaluation: Evaluation | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain lists, numbers and strings, as in report.json."""
        plain = asdict(replace(self, evaluation=None))
        return {**plain, "evaluation": None if self.evaluation is None else self.evaluation.to_json()}


def layer_rows(
    program: Program,
    memory: MemoryMap,
    instructions: Sequence[int] | None = None,
    cycles: Sequence[float] | None = None,
) -> tuple[LayerRow, ...]:
    """One row per step, with exact instruction counts and estimated cycles where known."""
    tables = table_bytes(program)
    return tuple(
        LayerRow(
            index=step.index,
            node=step.layer.node.index,
            op=step.layer.op,
            name=step.layer.output.name,
            output_shape=step.layer.output.shape,
            output_bytes=step.layer.output.bytes,
            macs=op_of(step.layer).macs(step.layer),
            constants=tables[step.index],
            scratch=step.binding.scratch,
            kernel=step.kernel.function,
            isa=step.kernel.isa,
            reads=reads(step, memory),
            writes=writes(step, memory),
            instructions=instructions[step.index]
            if instructions is not None and step.index < len(instructions)
            else None,
            cycles_estimate=cycles[step.index] if cycles is not None and step.index < len(cycles) else None,
        )
        for step in program.steps
    )


def stream_rows(program: Program) -> tuple[StreamRow, ...]:
    return tuple(StreamRow(s.first, s.last, s.chunks, s.schedule.fed is not None) for s in program.streams)


def ram(program: Program, memory: MemoryMap) -> Ram:
    """The RAM figures of a plan."""
    return Ram(
        arena=memory.size,
        input=sum(tensor.bytes for tensor in program.graph.input_tensors),
        output=sum(tensor.bytes for tensor in program.graph.output_tensors if not tensor.constant),
        scratch=max((step.binding.scratch for step in program.steps), default=0),
        activations=memory.activations.size,
        lower_bound=memory.arena.lower_bound,
        optimal=memory.arena.optimal,
        peak_layer=memory.arena.peak_step,
        live_at_peak=tuple(
            f"{short_name(memory.buffers[b].label)} ({memory.buffers[b].size} B)" for b in memory.arena.live_at_peak
        ),
    )


def needs(memory: MemoryMap, flash: Flash, stack: Stack, copied: int = 0) -> Needs:
    """What the model takes, as far as it is known; `copied` bytes of tables are copied to RAM at start."""
    code = flash.total - flash.constants if flash.total is not None else 0
    return Needs(flash.constants, memory.size, code, stack.bound or 0, copied)
