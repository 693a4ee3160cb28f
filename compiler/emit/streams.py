# SPDX-License-Identifier: Apache-2.0
"""Row streaming as C text: one function per stream, a loop over a table that says which call or move comes next.

The different calls of a stream are the cases of a `switch`. Tensors from outside and the output are whole, so that each case leaves
the offset of the next rows there, in a variable per reader and writer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..memory import FED, MemoryMap
from ..program import Argument, Input, Output, ParamsPointer, Program, Step, Stream
from ..streaming.rows import row_bytes, streamed_inputs
from ..streaming.schedule import Call, Event, Feed, Move, is_final, moving
from .literals import array_definition, c_type


@dataclass(frozen=True)
class StreamText:
    """What the template lays out.

    Attributes:
        name: of the C function. order: definition of the table `<name>_order`. length: its entries.
        offsets: (variable, first value, comment) of each running offset.
        cases: the statements of each case; the first `feeds` of them take `row`, the user's.
        state: offset in the arena of the words that a fed stream keeps between two rows, else None: the position and the offsets.
    """

    name: str
    order: str
    length: int
    offsets: tuple[tuple[str, int, str], ...]
    cases: tuple[tuple[str, ...], ...]
    feeds: int
    state: int | None


@dataclass(frozen=True)
class _Place:
    """Where rows are: a fixed offset in the arena, or where `variable` points, which then moves on by `step` bytes."""

    offset: int
    variable: str = ""
    step: int | None = None


class StreamEmitter:
    """The text of one stream; `argument` gives the C text of all arguments but pointers to inputs, outputs and parameters."""

    def __init__(
        self, program: Program, memory: MemoryMap, stream: Stream, model: str, argument: Callable[[Step, Argument], str]
    ) -> None:
        self.program = program
        self.memory = memory
        self.stream = stream
        self.model = model
        self.name = f"{model}_rows_{stream.first}"
        self.argument = argument
        self.moving = moving(stream.schedule)
        self.calls = 0
        self.visits: dict[tuple[int, int], int] = {}

    def text(self) -> StreamText:
        keys = [self._event(position, event) for position, event in enumerate(self.stream.schedule.events)]
        merged = _merge_last(keys)
        feeds = dict.fromkeys(
            k for k, e in zip(merged, self.stream.schedule.events, strict=True) if isinstance(e, Feed)
        )
        cases = list(feeds | dict.fromkeys(merged))
        order = np.array([cases.index(key) for key in merged], np.uint8 if len(cases) <= 256 else np.uint16)
        offsets = tuple(
            (self._variable(layer, slot), self._start(layer, slot, rows[0]), "read" if slot else "written")
            for (layer, slot), rows in self.moving.items()
        )
        definition = array_definition(f"{self.name}_order", order)
        state = None if self.stream.schedule.fed is None else self.memory.state_offset(FED)
        return StreamText(self.name, definition, len(order), offsets, tuple(cases), len(feeds), state)

    def _event(self, position: int, event: Event) -> tuple[str, ...]:
        match event:
            case Move():
                return self._move(event)
            case Feed():
                return self._feed(position, event)
            case Call():
                return self._call(position, event)

    def _feed(self, position: int, feed: Feed) -> tuple[str, ...]:
        size = row_bytes(self.program.tensor(feed.tensor))
        place = self.memory.offset(feed.tensor) + self.stream.schedule.places[position][0] * size
        return (f"tinyc_move_rows(&arena[{place}], (const uint8_t *)row, {size}u);", "row = NULL;")

    def _move(self, move: Move) -> tuple[str, ...]:
        size, base = row_bytes(self.program.tensor(move.tensor)), self.memory.offset(move.tensor)
        return (f"tinyc_move_rows(&arena[{base}], &arena[{base + move.first * size}], {move.count * size}u);",)

    def _call(self, position: int, call: Call) -> tuple[str, ...]:
        """The kernel call, the trace of its output, and what moves on."""
        kind = self.stream.kinds[self.calls]
        self.calls += 1
        index = self.stream.first + call.layer
        step = self.program.steps[index]
        output, *inputs = self._places(position, call)
        tensors = [step.layer.node.outputs[0], *(tensor for tensor, _ in call.inputs)]
        pointers = dict(zip(tensors[1:], inputs, strict=True))

        def text(argument: Argument) -> str:
            match argument:
                case Output():
                    return self._pointer(output, tensors[0], "")
                case Input(at) if step.layer.node.inputs[at] in pointers:
                    tensor = step.layer.node.inputs[at]
                    return self._pointer(pointers[tensor], tensor, "const ")
                case ParamsPointer():
                    return f"&{self.model}_{index}_params_{kind}"
                case _:
                    return self.argument(step, argument)

        arguments = ", ".join(text(argument) for argument in step.variants[kind].args)
        size = len(call.rows) * row_bytes(step.layer.output)
        lines = [f"{step.kernel.function}({arguments});"]
        if is_final(step.layer, call):
            lines.append(f"TINYC_TRACE({index}u, {_address(output)}, {size}u);")
        moving = {place.variable: place for place in (output, *inputs) if place.variable}
        lines += [
            f"{variable} += {'?' if p.step is None else p.step}u;" for variable, p in moving.items() if p.step != 0
        ]
        return tuple(lines)

    def _places(self, position: int, call: Call) -> list[_Place]:
        """Of the output and of each input."""
        rows = self.stream.schedule.places[position]
        names = [self.stream.schedule.layers[call.layer].node.outputs[0], *(tensor for tensor, _ in call.inputs)]
        return [
            self._place(call.layer, slot, tensor, row)
            for slot, (tensor, row) in enumerate(zip(names, rows, strict=True))
        ]

    def _place(self, layer: int, slot: int, tensor: int, row: int) -> _Place:
        if (layer, slot) not in self.moving:
            return _Place(self._start(layer, slot, row))
        rows = self.moving[layer, slot]
        visit = self.visits.get((layer, slot), 0) + 1
        self.visits[layer, slot] = visit
        step = (rows[visit] - row) * row_bytes(self.program.tensor(tensor)) if visit < len(rows) else None
        return _Place(0, self._variable(layer, slot), step)

    def _start(self, layer: int, slot: int, row: int) -> int:
        """Offset of `row` in the memory of a layer's output or input."""
        node = self.stream.schedule.layers[layer].node
        positions = streamed_inputs(self.stream.schedule.layers[layer])
        tensor = node.inputs[positions[slot - 1]] if slot else node.outputs[0]
        return self.memory.offset(tensor) + row * row_bytes(self.program.tensor(tensor))

    def _variable(self, layer: int, slot: int) -> str:
        return f"{'from' if slot else 'to'}_{self.stream.first + layer}" + (f"_{slot}" if slot > 1 else "")

    def _pointer(self, place: _Place, tensor: int, qualifier: str) -> str:
        return f"({qualifier}{c_type(self.program.tensor(tensor).dtype)} *){_address(place)}"


def _address(place: _Place) -> str:
    return f"&arena[{place.variable or place.offset}]"


def _merge_last(keys: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """After a layer's last call it does not matter where its offsets go: as after another call that is the same otherwise."""
    known = [key for key in keys if not any("?" in line for line in key)]

    def same(open_line: str, line: str) -> bool:
        return line == open_line or ("?" in open_line and line.startswith(open_line.split("?")[0]))

    merged = []
    for key in keys:
        if any("?" in line for line in key):
            fitting = (k for k in known if len(k) == len(key) and all(map(same, key, k)))
            key = next(fitting, tuple(line for line in key if "?" not in line))
        merged.append(key)
    return merged
