# SPDX-License-Identifier: Apache-2.0
"""Kernels for a layer that is computed some rows at a time: one binding for each different call, all of the same kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..errors import ModelError
from ..graph import Layer
from ..program import Binding, Constant, Params, Table
from ..select import table_bytes
from ..targets import Kernel, kernels_for
from ..targets.cpus import Cpu
from .rows import Rows, height, needed, slab, streamed_inputs
from .schedule import accumulates


@dataclass(frozen=True)
class Cut:
    """What makes one call of a layer different from another: output rows, input rows, and rows of padding before these.

    `first` and `last` are whether an accumulating layer's input rows are the image's first and last ones.
    """

    rows: int
    inputs: int
    pad: int
    first: bool = False
    last: bool = False


def pieces(layer: Layer, chunk: int) -> Iterator[tuple[Rows, Rows]]:
    """(output rows, input rows) of each call of a layer that computes `chunk` rows at a time, or adds up `chunk` rows."""
    if accumulates(layer):
        limit = height(layer.input(0))
        for row in range(0, limit, chunk):
            yield Rows(0, 1), Rows(row, min(row + chunk, limit))
        return
    for row in range(0, height(layer.output), chunk):
        rows = Rows(row, min(row + chunk, height(layer.output)))
        yield rows, needed(layer, rows)


def cut(layer: Layer, rows: Rows, inputs: Rows) -> tuple[Cut, Layer]:
    """The kind of a call, and the layer that it computes."""
    if accumulates(layer):
        ends = inputs.first == 0, inputs.end == height(layer.input(0))
        part = replace(layer.input(0), shape=(1, len(inputs), *layer.input(0).shape[2:]))
        attributes = {**layer.attributes, "partial": (*ends, height(layer.input(0)))}
        found = Layer(replace(layer.node, attributes=attributes), (part, *layer.inputs[1:]), layer.outputs)
        return Cut(1, len(inputs), 0, *ends), found
    part_layer = slab(layer, rows)
    pad = part_layer.attributes["slab"][0] if "slab" in part_layer.attributes else 0
    return Cut(len(rows), len(inputs), pad), part_layer


@dataclass(frozen=True, eq=False)
class Slabs:
    """A kernel for all calls of one layer.

    Attributes:
        kernel: the kernel of every call.
        variants: one binding per kind of call. They share tables where those are equal, so that tables have names of their own.
        order: for each call of the layer in order, which of the variants it is.
        constants: the tables of all variants, each once.
        instructions: estimate for all calls together.
        tables: flash bytes of weights and tables.
    """

    layer: Layer
    kernel: Kernel
    variants: tuple[Binding, ...]
    order: tuple[int, ...]
    constants: tuple[Constant, ...]
    instructions: float
    tables: int

    @property
    def scratch(self) -> int:
        return max(binding.scratch for binding in self.variants)

    @property
    def state(self) -> int:
        """Bytes that must survive from one call to the next."""
        return max(binding.state for binding in self.variants)

    @cached_property
    def in_place(self) -> tuple[int, ...]:
        """Positions of the inputs that every call may overwrite with its output, at the same address."""
        positions = streamed_inputs(self.layer)
        return tuple(p for p in positions if all(b.overlap.get(p) == 0 or p in b.in_place for b in self.variants))


def choices(layer: Layer, chunk: int, cpu: Cpu) -> tuple[Slabs, ...]:
    """Every kernel of `cpu` for all calls of `layer`, `chunk` rows at a time, fastest first."""
    kinds: dict[Cut, Layer] = {}
    order: list[int] = []
    for rows, inputs in pieces(layer, chunk):
        kind, part = cut(layer, rows, inputs)
        kinds.setdefault(kind, part)
        order.append(list(kinds).index(kind))
    parts = tuple(kinds.values())
    partial = accumulates(layer)
    found = []
    for kernel in kernels_for(cpu).get(layer.op, ()):
        if kernel.partial == partial and all(kernel.takes(part) for part in parts):
            found.append(_slabs(layer, kernel, parts, tuple(order)))
    if not found:
        raise ModelError(layer.where, f"no kernel for some rows on {cpu.title}", hint="please report it")
    return tuple(sorted(found, key=lambda slabs: (slabs.instructions, slabs.kernel.function)))


def _slabs(layer: Layer, kernel: Kernel, parts: Sequence[Layer], order: tuple[int, ...]) -> Slabs:
    constants: list[Constant] = []
    variants = tuple(_shared(kernel.bind(part), constants) for part in parts)
    costs = [kernel.cost(part) for part in parts]
    tables = sum(constant.values.nbytes for constant in constants) + table_bytes(layer, variants[0])
    return Slabs(layer, kernel, variants, order, tuple(constants), sum(costs[kind] for kind in order), tables)


def _shared(binding: Binding, constants: list[Constant]) -> Binding:
    """`binding` with its tables renamed to equal ones in `constants`, to which new ones are added."""
    names: dict[str, str] = {}
    for constant in binding.constants:
        names[constant.name] = _known(constant, constants)
    args = tuple(Table(names[a.name]) if isinstance(a, Table) else a for a in binding.args)
    params = binding.params
    if params is not None:
        fields = {
            field: Table(names[value.name]) if isinstance(value, Table) else value
            for field, value in params.fields.items()
        }
        params = Params(params.ctype, fields)
    return replace(binding, args=args, params=params, constants=())


def _known(constant: Constant, constants: list[Constant]) -> str:
    for known in constants:
        if known.values.dtype == constant.values.dtype and np.array_equal(known.values, constant.values):
            return known.name
    taken = {known.name for known in constants}
    name, number = constant.name, 1
    while name in taken:
        number += 1
        name = f"{constant.name}_{number}"
    constants.append(replace(constant, name=name))
    return name
