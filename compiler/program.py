# SPDX-License-Identifier: Apache-2.0
"""A lowered network: kernel calls with their packed constants. The planner, the emitter and the report walk the same steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .graph import Array, Graph, Layer, Tensor

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


Argument = Input | InputArray | Output | Table | ParamsPointer | Scratch | Scalar

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
        in_place: positions of inputs whose memory may also be the memory of output 0 (same address).
    """

    args: tuple[Argument, ...]
    params: Params | None = None
    constants: tuple[Constant, ...] = ()
    scratch: int = 0
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
    """One kernel call of a program."""

    index: int
    layer: Layer
    kernel: Kernel
    binding: Binding

    def passed_inputs(self) -> tuple[int, ...]:
        """Positions of the inputs that the call points to, absent ones left out."""
        return self.binding.passed(self.layer)

    def passed_constants(self) -> tuple[int, ...]:
        """Indices of the constant tensors that the call points to, each once."""
        positions = [position for position in self.passed_inputs() if self.layer.input(position).constant]
        return tuple(dict.fromkeys(self.layer.node.inputs[position] for position in positions))


@dataclass(frozen=True, eq=False)
class Program:
    """A network as kernel calls in order.

    `storage` maps every non-constant tensor index to the tensor whose memory holds its bytes: itself, or the input of a view or
    of an in-place step.
    """

    graph: Graph
    cpu: Cpu
    steps: tuple[Step, ...]
    storage: Mapping[int, int]

    @property
    def portable(self) -> bool:
        """Whether every kernel is plain C that any core, and this computer, can run."""
        return all(step.kernel.isa == "generic" for step in self.steps)

    def tensor_steps(self, root: int) -> Sequence[int]:
        """The steps that read or write memory of storage tensor `root`."""
        return [
            step.index
            for step in self.steps
            if any(
                i in self.storage and self.storage[i] == root
                for i in (*step.layer.node.inputs, *step.layer.node.outputs)
            )
        ]

    def tensor(self, index: int) -> Tensor:
        return self.graph.tensors[index]
