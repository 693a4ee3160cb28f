# SPDX-License-Identifier: Apache-2.0
"""The order in which a run of layers is computed row by row, and how many rows each tensor between them holds.

Rows are pulled: to compute rows of the last layer, the rows that they need are computed first, and so on. No row is computed twice.
A tensor between two layers is a window of consecutive rows, kept at the start of its memory: when it is full, the rows that nothing
needs any more are dropped by moving the others to the front.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..graph import Layer
from ..ops._pool import axes
from .rows import Rows, can_stream, height, is_row_local, needed, row_bytes, streamed_inputs

#: Pixels whose sum is sure to fit into 32 bits.
LARGEST_MEAN = 1 << 23


@dataclass(frozen=True)
class Call:
    """Rows `rows` of the output of the run's layer `layer`, from `inputs`: (tensor, rows) by position.

    An accumulating layer has its whole output in `rows`, and adds `inputs` to what it has summed up so far.
    """

    layer: int
    rows: Rows
    inputs: tuple[tuple[int, Rows], ...]


@dataclass(frozen=True)
class Move:
    """Row `first` and the rows behind it, `count` in all, become the first rows of the window of `tensor`."""

    tensor: int
    first: int
    count: int


@dataclass(frozen=True)
class Feed:
    """The next row of the model's input comes from the user."""

    tensor: int
    row: int


Event = Call | Move | Feed


@dataclass(frozen=True, eq=False)
class Schedule:
    """How a run of layers is computed.

    Attributes:
        layers: the run, in order. Tensors are named by their index in the graph.
        events: calls and moves in order.
        capacity: rows of each window, by tensor.
        alias: tensors that are written where a later tensor's rows will be, and become those in place: tensor → that tensor.
        sources: tensors read from outside, whole. output: the tensor that the run leaves, whole.
        places: for each call, the row in its window at which the output's and each input's rows start; for each feed, where the row goes.
        fed: the model's input, when its rows come one by one and it has a window like the tensors between layers.
    """

    layers: tuple[Layer, ...]
    events: tuple[Event, ...]
    capacity: Mapping[int, int]
    alias: Mapping[int, int]
    sources: tuple[int, ...]
    output: int
    places: Mapping[int, tuple[int, ...]]
    fed: int | None = None

    def home(self, tensor: int) -> int:
        """The tensor whose memory holds the rows of `tensor`."""
        while tensor in self.alias:
            tensor = self.alias[tensor]
        return tensor


@lru_cache(maxsize=1 << 9)
def accumulates(layer: Layer) -> bool:
    """Whether the layer is the mean of a whole image, which needs no row of it twice; in int8, for which there is a kernel."""
    if layer.op != "AVERAGE_POOL_2D" or layer.input(0).dtype != "int8" or not can_stream(layer):
        return False
    image, output = layer.input(0).shape, layer.output.shape
    whole = needed(layer, Rows(0, 1)) == Rows(0, image[1]) and axes(layer)[1].ranges() == [(0, image[2])]
    return output[1:3] == (1, 1) and whole and image[1] * image[2] <= LARGEST_MEAN


def is_run(layers: Sequence[Layer], later: set[int]) -> bool:
    """Whether `layers`, consecutive in the graph, can be computed row by row: `later` are the tensors that others or the user read.

    Every tensor between them must be read by them only; an accumulating layer must be the last one.
    """
    if not all(can_stream(layer) for layer in layers) or any(accumulates(layer) for layer in layers[:-1]):
        return False
    between = [layer.node.outputs[0] for layer in layers[:-1]]
    read = {layer.node.inputs[position] for layer in layers for position in streamed_inputs(layer)}
    return all(tensor in read and tensor not in later for tensor in between)


class _Simulation:
    """Runs a schedule: first without windows' limits to find them, then with them to record the events."""

    def __init__(
        self, layers: Sequence[Layer], chunks: Sequence[int], in_place: Sequence[tuple[int, ...]], fed: int | None
    ) -> None:
        self.layers = layers
        self.chunks = chunks
        self.fed = fed
        self.producer = {layer.node.outputs[0]: number for number, layer in enumerate(layers)}
        self.consumers: dict[int, list[int]] = {}
        self.heights: dict[int, int] = {}
        for number, layer in enumerate(layers):
            self.heights[layer.node.outputs[0]] = height(layer.output)
            for position in dict.fromkeys(streamed_inputs(layer)):
                tensor = layer.node.inputs[position]
                self.consumers.setdefault(tensor, []).append(number)
                self.heights[tensor] = height(layer.input(position))
        self.output = layers[-1].node.outputs[0]
        self.alias = self._aliases(in_place)
        self.summed = 0
        windows = [*self.producer, *([] if fed is None else [fed])]
        self.next = dict.fromkeys(windows, 0)
        self.base = dict.fromkeys(windows, 0)
        self.capacity: dict[int, int] | None = None
        self.reached = dict.fromkeys(windows, 0)
        self.events: list[Event] = []
        self.places: dict[int, tuple[int, ...]] = {}

    def _aliases(self, in_place: Sequence[tuple[int, ...]]) -> dict[int, int]:
        """Tensors that only a row-local layer reads whose output takes their place, chunk by chunk; at most one per layer."""
        found: dict[int, int] = {}
        for number, layer in enumerate(self.layers):
            fitting = [position for position in in_place[number] if self._takes_the_place(number, layer, position)]
            if fitting:
                found[layer.node.inputs[fitting[0]]] = layer.node.outputs[0]
        return found

    def _takes_the_place(self, number: int, layer: Layer, position: int) -> bool:
        tensor = layer.node.inputs[position]
        return (
            is_row_local(layer)
            and tensor in self.producer
            and self.consumers[tensor] == [number]
            and layer.node.inputs.count(tensor) == 1
            and self.chunks[number] % self.chunks[self.producer[tensor]] == 0
            and row_bytes(layer.input(position)) == row_bytes(layer.output)
        )

    def home(self, tensor: int) -> int:
        """The tensor whose window holds the rows of `tensor`."""
        while tensor in self.alias:
            tensor = self.alias[tensor]
        return tensor

    def least(self, tensor: int) -> int:
        """The first row of `tensor` that is still needed."""
        found = self.heights[tensor]
        for number in self.consumers.get(tensor, ()):
            layer = self.layers[number]
            if accumulates(layer):
                found = min(found, self.summed)
                continue
            row = self.next[layer.node.outputs[0]]
            if row < self.heights[layer.node.outputs[0]]:
                found = min(found, needed(layer, Rows(row, row + 1)).first)
        return found

    def run(self) -> None:
        while self.next[self.output] < self.heights[self.output]:
            self._produce(self.output)
        while self.fed is not None and self.next[self.fed] < self.heights[self.fed]:
            self._feed(self.fed, unused=True)

    def _need(self, tensor: int, end: int) -> None:
        while tensor in self.next and self.next[tensor] < end:
            self._produce(tensor)

    def _feed(self, tensor: int, unused: bool = False) -> None:
        """Takes a row from the user; those that no layer needs go anywhere."""
        row = self.next[tensor]
        if not unused:
            self._make_room(tensor, Rows(row, row + 1))
        self.places[len(self.events)] = (0 if unused else row - self.base[tensor],)
        self.events.append(Feed(tensor, row))
        self.next[tensor] = row + 1

    def _produce(self, tensor: int) -> None:
        if tensor == self.fed:
            self._feed(tensor)
            return
        number = self.producer[tensor]
        layer = self.layers[number]
        if accumulates(layer):
            self._accumulate(number, layer)
            return
        first = self.next[tensor]
        rows = Rows(first, min(first + self.chunks[number], self.heights[tensor]))
        inputs = needed(layer, rows)
        tensors = [layer.node.inputs[position] for position in streamed_inputs(layer)]
        self._make_room(tensor, rows)
        for source in dict.fromkeys(tensors):
            self._need(source, inputs.end)
        self._record(Call(number, rows, tuple((source, inputs) for source in tensors)))
        self.next[tensor] = rows.end

    def _make_room(self, tensor: int, rows: Rows) -> None:
        """Before the layers in place before this one write where its rows will be."""
        home = self.home(tensor)
        if home != tensor or home == self.output:
            return
        # Rows that nothing needs, where strides skip some, are written all the same.
        least = min(self.least(home), rows.first)
        self.reached[home] = max(self.reached[home], rows.end - least)
        if self.capacity is not None and rows.end - self.base[home] > self.capacity[home]:
            if rows.first > least:
                self.events.append(Move(home, least - self.base[home], rows.first - least))
            self.base[home] = least

    def _accumulate(self, number: int, layer: Layer) -> None:
        source, limit = layer.node.inputs[0], height(layer.input(0))
        while self.summed < limit:
            end = min(self.summed + self.chunks[number], limit)
            self._need(source, end)
            self._record(Call(number, Rows(0, 1), ((source, Rows(self.summed, end)),)))
            self.summed = end
        self.next[layer.node.outputs[0]] = 1

    def _record(self, call: Call) -> None:
        outputs = self.layers[call.layer].node.outputs[0]
        self.places[len(self.events)] = (
            self._place(outputs, call.rows.first),
            *(self._place(tensor, rows.first) for tensor, rows in call.inputs),
        )
        self.events.append(call)

    def _place(self, tensor: int, row: int) -> int:
        """Where `row` is in the memory of its tensor's home."""
        home = self.home(tensor)
        return row - self.base.get(home, 0) if home != self.output else row


@lru_cache(maxsize=1 << 10)
def schedule(
    layers: tuple[Layer, ...], chunks: tuple[int, ...], in_place: tuple[tuple[int, ...], ...], fed: int | None = None
) -> Schedule:
    """The schedule of a run of layers.

    Args:
        layers: a run (see `is_run`).
        chunks: rows that each layer computes per call.
        in_place: for each layer, the positions of the inputs that its kernel may overwrite with its output, at the same address.
        fed: the tensor whose rows come one by one from the user, if any.
    """
    draft = _Simulation(layers, chunks, in_place, fed)
    draft.run()
    final = _Simulation(layers, chunks, in_place, fed)
    final.capacity = draft.reached
    final.run()
    homes = {final.home(tensor) for tensor in final.next} - {final.output}
    sources = tuple(dict.fromkeys(tensor for tensor in final.consumers if tensor not in final.next))
    return Schedule(
        tuple(layers),
        tuple(final.events),
        {tensor: draft.reached[tensor] for tensor in sorted(homes)},
        final.alias,
        sources,
        final.output,
        final.places,
        fed,
    )


def moving(found: Schedule) -> dict[tuple[int, int], list[int]]:
    """What goes on from call to call in a tensor that is whole: (layer, slot) → the row of each call. Slot 0 is a layer's output, 1 and
    on are its streamed inputs."""
    rows: dict[tuple[int, int], list[int]] = {}
    for position, event in enumerate(found.events):
        if isinstance(event, Call):
            tensors = [found.layers[event.layer].node.outputs[0], *(tensor for tensor, _ in event.inputs)]
            for slot, (tensor, row) in enumerate(zip(tensors, found.places[position], strict=True)):
                if found.home(tensor) not in found.capacity:
                    rows.setdefault((event.layer, slot), []).append(row)
    return {key: own for key, own in rows.items() if len(set(own)) > 1}


def calls(found: Schedule) -> Iterator[Call]:
    """The calls of a schedule in order."""
    return (event for event in found.events if isinstance(event, Call))


def is_final(layer: Layer, call: Call) -> bool:
    """Whether the call finishes the rows of the output that it is for: all calls do but those that add to a sum."""
    return not accumulates(layer) or call.inputs[0][1].end == height(layer.input(0))


def lead(found: Schedule, source: int, own: Iterable[int | None]) -> int:
    """How many bytes before the tensor `source` the run's output may start, as in `Binding.overlap`.

    Args:
        own: for each call in order, the lead of its kernel over `source`; None when it must not overlap it.
    """
    result = reached = 0
    for call, mine in zip(calls(found), own, strict=True):
        layer = found.layers[call.layer]
        writes = found.home(layer.node.outputs[0]) == found.output
        begin, end = (row * row_bytes(layer.output) if writes else 0 for row in (call.rows.first, call.rows.end))
        for position, (tensor, rows) in zip(streamed_inputs(layer), call.inputs, strict=True):
            if tensor == source:
                first = rows.first * row_bytes(layer.input(position))
                result = max(result, reached - first)
                if writes:
                    result = max(result, (end if mine is None else begin + mine) - first)
        reached = max(reached, end)
    return result
