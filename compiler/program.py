# SPDX-License-Identifier: Apache-2.0
"""A lowered network: kernel calls with their packed constants. The planner, the emitter and the report walk the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .graph import Array, Graph, Layer, Tensor
from .streaming.schedule import Schedule, calls

if TYPE_CHECKING:
    from .targets import Kernel
    from .targets.cpus import Cpu


@dataclass(frozen=True)
class Input:
    """Argument: pointer to the layer's input tensor at this position (in the arena, or in flash for a constant; NULL when absent)."""

    position: int


@dataclass(frozen=True)
class InputArray:
    """Argument: an array of pointers to all the layer's input tensors, of type `const void *const *`."""


@dataclass(frozen=True)
class OutputArray:
    """Argument: an array of pointers to all the layer's output tensors, of type `void *const *`."""


@dataclass(frozen=True)
class AcceleratorContext:
    """Argument: the context of the accelerator that the model's function was given. Such a call returns 0, or why it failed."""


@dataclass(frozen=True)
class Output:
    """Argument: pointer to the layer's output tensor at this position."""

    position: int = 0


@dataclass(frozen=True)
class Table:
    """Argument or parameter field: pointer to the binding's constant of this name."""

    name: str


@dataclass(frozen=True)
class ParamsPointer:
    """Argument: pointer to the binding's parameter struct."""


@dataclass(frozen=True)
class Scratch:
    """Argument: pointer to the step's scratch memory in the arena, 16-byte aligned."""


@dataclass(frozen=True)
class Scalar:
    """Argument: an integer literal."""

    value: int


@dataclass(frozen=True)
class State:
    """Argument: pointer to the step's memory that survives from one of its calls to the next (row streaming), 16-byte aligned."""


Argument = (
    Input | InputArray | Output | OutputArray | Table | ParamsPointer | Scratch | State | Scalar | AcceleratorContext
)

#: A value of a parameter struct's field: integer, float (emitted as an exact float literal), table pointer or fixed array.
Value = int | float | Table | tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Constant:
    """A table in flash that a kernel binding made at build time. `values` is flattened when emitted; its dtype gives the C type."""

    name: str
    values: Array
    comment: str = ""


@dataclass(frozen=True)
class Params:
    """A parameter struct: its C type and its fields in the order of declaration."""

    ctype: str
    fields: Mapping[str, Value]


@dataclass(frozen=True)
class Binding:
    """One kernel call: what is passed, what was packed for it, and the memory rules it follows.

    Attributes:
        args: the C arguments in order.
        params: the parameter struct that `ParamsPointer` refers to, if any.
        constants: tables packed at build time.
        scratch: bytes of scratch memory.
        state: bytes of memory that survives from call to call of a step that is computed row by row.
        overlap: input position → lead: output 0 may reach over that input's memory when it starts at least `lead` bytes before
            the input; 0 means that it may start at the same address or before. Inputs that are not listed stay apart from the output.
        in_place: positions of inputs over which output 0 may lie at the same address, and at no other one that overlaps them.
    """

    args: tuple[Argument, ...]
    params: Params | None = None
    constants: tuple[Constant, ...] = ()
    scratch: int = 0
    state: int = 0
    overlap: Mapping[int, int] = field(default_factory=dict)
    in_place: tuple[int, ...] = ()

    def passed(self, layer: Layer) -> tuple[int, ...]:
        """Positions of `layer`'s inputs that the call points to, absent ones left out."""
        positions: list[int] = []
        for argument in self.args:
            if isinstance(argument, Input):
                positions.append(argument.position)
            elif isinstance(argument, InputArray):
                positions.extend(range(len(layer.inputs)))
        return tuple(position for position in positions if layer.optional(position) is not None)


@dataclass(frozen=True, eq=False)
class Step:
    """One layer of a program: a kernel call, or the calls that compute it some rows at a time.

    In the latter case, `variants` are the different calls, and `binding` stands for all of them: it has all their tables, and the
    most scratch and state that one needs.
    """

    index: int
    layer: Layer
    kernel: Kernel
    binding: Binding
    variants: tuple[Binding, ...] = ()

    @property
    def accelerated(self) -> bool:
        """Whether an accelerator computes it; the call can fail."""
        return any(isinstance(argument, AcceleratorContext) for argument in self.binding.args)

    def passed_inputs(self) -> tuple[int, ...]:
        """Positions of the inputs that the call points to, absent ones left out."""
        return self.binding.passed(self.layer)

    def passed_constants(self) -> tuple[int, ...]:
        """Indices of the constant tensors that the call points to, each once."""
        positions = [position for position in self.passed_inputs() if self.layer.input(position).constant]
        return tuple(dict.fromkeys(self.layer.node.inputs[position] for position in positions))


@dataclass(frozen=True, eq=False)
class Stream:
    """Consecutive steps that are computed together, some rows at a time.

    Attributes:
        first, last: indices of the steps.
        schedule: the order of the calls; its layers are those of the steps.
        chunks: rows that each step computes per call.
        kinds: for each call of the schedule in order, which of its step's variants it is.
        overlap: tensor read from outside → lead of the last step's output over it, as in `Binding.overlap`.
    """

    first: int
    last: int
    schedule: Schedule
    chunks: tuple[int, ...]
    kinds: tuple[int, ...]
    overlap: Mapping[int, int]


@dataclass(frozen=True, eq=False)
class Program:
    """A network as kernel calls in order.

    `streams` are the runs of steps that are computed row by row, in order.

    `storage` maps every non-constant tensor index to the tensor whose memory holds its bytes: itself, or the input of a view.
    """

    graph: Graph
    cpu: Cpu
    steps: tuple[Step, ...]
    storage: Mapping[int, int]
    streams: tuple[Stream, ...] = ()

    @property
    def calls(self) -> tuple[int, ...]:
        """The step of each kernel call, in the order of the calls."""
        found: list[int] = []
        for step in self.steps:
            stream = self.stream_of(step.index)
            if stream is None:
                found.append(step.index)
            elif stream.first == step.index:
                found += [stream.first + call.layer for call in calls(stream.schedule)]
        return tuple(found)

    def stream_of(self, step: int) -> Stream | None:
        """The stream that computes this step, if any."""
        return next((stream for stream in self.streams if stream.first <= step <= stream.last), None)

    @property
    def fed(self) -> int | None:
        """The input whose rows come one by one, if it does."""
        return self.streams[0].schedule.fed if self.streams else None

    @property
    def portable(self) -> bool:
        """Whether every kernel is plain C that any core, and this computer, can run."""
        return all(step.kernel.isa == "generic" or step.accelerated for step in self.steps)

    def tensor(self, index: int) -> Tensor:
        return self.graph.tensors[index]
