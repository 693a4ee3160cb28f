# SPDX-License-Identifier: Apache-2.0
"""Schedules of row streaming, carried out on row numbers: every call finds the rows it needs where the schedule says."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tinyc.graph import Layer, Node, Quantization, Tensor
from tinyc.ops import all_ops
from tinyc.streaming.rows import Rows, height, needed, row_bytes, slab, streamed_inputs
from tinyc.streaming.schedule import Call, Move, Schedule, accumulates, calls, is_run, lead, schedule

Q = Quantization((1.0,), (0,))


@dataclass
class Network:
    """Layers under construction: tensor 0 is the input."""

    tensors: list[Tensor]
    layers: list[Layer] = field(default_factory=list)

    def add(self, op: str, inputs: tuple[int, ...], constants: tuple[Tensor, ...] = (), **attributes: object) -> int:
        tensors = tuple(self.tensors[i] for i in inputs) + constants
        node = Node(op, (*inputs, *range(1000, 1000 + len(constants))), (len(self.tensors),), attributes)
        draft = Layer(node, tensors, (Tensor("", (0,) * 4, "int8", Q),))
        shape = tuple(all_ops()[op].output_shapes(draft)[0])
        self.tensors.append(Tensor(f"t{len(self.tensors)}", shape, "int8", Q))
        self.layers.append(Layer(node, tensors, (self.tensors[-1],)))
        return len(self.tensors) - 1


@st.composite
def networks(draw: st.DrawFn) -> list[Layer]:
    """Chains of convolutions, pools and elementwise layers with shortcuts; every tensor but the last is read."""
    network = Network([Tensor("input", (1, draw(st.integers(3, 20)), 4, 2), "int8", Q)])
    unread = [0]
    for _ in range(draw(st.integers(1, 7))):
        source = unread[-1]
        image = network.tensors[source]
        kinds = ["conv", "conv", "pool", "relu"]
        shaped = [t for t in range(len(network.tensors)) if network.tensors[t].shape == image.shape and t != source]
        if shaped:
            kinds += ["add", "add"]
        kind = draw(st.sampled_from(kinds))
        if kind == "add":
            new = network.add("ADD", (draw(st.sampled_from(shaped)), source), activation="NONE")
        elif kind == "relu":
            new = network.add("RELU", (source,))
        else:
            taps = draw(st.integers(1, 5))
            padding = draw(st.sampled_from(["SAME", "VALID"] if taps <= image.shape[1] else ["SAME"]))
            stride = (draw(st.integers(1, 3)), 1)
            if kind == "pool":
                options = {"window": (taps, 1), "stride": stride, "padding": padding, "activation": "NONE"}
                new = network.add("MAX_POOL_2D", (source,), **options)
            else:
                weights = Tensor(
                    "w", (2, taps, 1, 2), "int8", Quantization((1.0,), (0,)), np.zeros((2, taps, 1, 2), np.int8)
                )
                options = {"stride": stride, "dilation": (1, 1), "padding": padding, "activation": "NONE"}
                new = network.add("CONV_2D", (source,), (weights,), **options)
        unread.append(new)
    if draw(st.booleans()) and network.tensors[-1].shape[1] > 1:
        window = network.tensors[-1].shape[1:3]
        network.add("AVERAGE_POOL_2D", (unread[-1],), window=window, stride=(1, 1), padding="VALID", activation="NONE")
    return network.layers


def carried_out(found: Schedule) -> dict[int, list[int]]:
    """Runs the schedule on row numbers; the rows of the output as they were written."""
    memory: dict[int, list[tuple[int, int] | None]] = {t: [None] * rows for t, rows in found.capacity.items()}
    memory[found.output] = [None] * height(found.layers[-1].output)
    written: dict[int, list[int]] = {}
    for position, event in enumerate(found.events):
        if isinstance(event, Move):
            rows = memory[event.tensor]
            rows[: event.count] = rows[event.first : event.first + event.count]
            continue
        layer = found.layers[event.layer]
        place, *starts = found.places[position]
        for start, (tensor, rows) in zip(starts, event.inputs, strict=True):
            if tensor not in found.sources:
                window = memory[found.home(tensor)]
                assert window[start : start + len(rows)] == [(tensor, row) for row in range(rows.first, rows.end)]
            else:
                assert start == rows.first
        output = layer.node.outputs[0]
        if accumulates(layer):
            assert event.inputs[0][1].first == (written.setdefault(output, [0])[-1])
            written[output].append(event.inputs[0][1].end)
            continue
        assert all(rows == needed(layer, event.rows) for _, rows in event.inputs)
        home = memory[found.home(output)]
        assert place + len(event.rows) <= len(home)
        for row in range(event.rows.first, event.rows.end):
            home[place + row - event.rows.first] = (output, row)
            written.setdefault(output, []).append(row)
    return written


@given(networks(), st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_every_row_is_there_when_it_is_needed(layers: list[Layer], data: st.DataObject) -> None:
    chunks = tuple(data.draw(st.integers(1, 3)) for _ in layers)
    in_place = tuple(streamed_inputs(layer) if data.draw(st.booleans()) else () for layer in layers)
    assert is_run(layers, set())
    found = schedule(tuple(layers), chunks, in_place)
    written = carried_out(found)
    for layer in layers:
        rows = written[layer.node.outputs[0]]
        expected = height(layer.input(0)) if accumulates(layer) else height(layer.output)
        assert (rows[-1] == expected) if accumulates(layer) else (rows == sorted(set(rows)) and len(rows) <= expected)
    assert accumulates(layers[-1]) or written[found.output] == list(range(height(layers[-1].output)))


@given(networks(), st.integers(1, 3))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_lead_keeps_the_output_behind_the_reads(layers: list[Layer], chunk: int) -> None:
    """Byte by byte: no call writes where this or a later call still reads; one byte less and one does, or the lead is 0."""
    found = schedule(tuple(layers), (chunk,) * len(layers), ((),) * len(layers))
    all_calls = list(calls(found))
    for source in found.sources:
        distance = lead(found, source, [None] * len(all_calls))
        assert not _collides(found, all_calls, source, distance)
        assert distance == 0 or _collides(found, all_calls, source, distance - 1)


def _collides(found: Schedule, all_calls: list[Call], source: int, distance: int) -> bool:
    """Whether a call would overwrite what it or a later one reads, with the output `distance` bytes before the source."""
    reads = []
    for call in all_calls:
        layer = found.layers[call.layer]
        sizes = {layer.node.inputs[p]: row_bytes(layer.input(p)) for p in streamed_inputs(layer)}
        reads.append([(rows.first * sizes[t], rows.end * sizes[t]) for t, rows in call.inputs if t == source])
    for number, call in enumerate(all_calls):
        layer = found.layers[call.layer]
        if found.home(layer.node.outputs[0]) == found.output:
            size = row_bytes(layer.output)
            first, end = call.rows.first * size - distance, call.rows.end * size - distance
            if any(first < stop and start < end for own in reads[number:] for start, stop in own):
                return True
    return False


def test_windows_of_a_depthwise_separable_chain() -> None:
    """Three rows in front of each 3x3 layer, and nothing between a 3x3 layer and the 1x1 layer that works in place."""
    network = Network([Tensor("input", (1, 10, 4, 2), "int8", Q)])
    options = {"stride": (1, 1), "dilation": (1, 1), "padding": "SAME", "activation": "NONE"}

    def weights(taps: int) -> Tensor:
        return Tensor("w", (2, taps, taps, 2), "int8", Q, np.zeros((2, taps, taps, 2), np.int8))

    tensor = 0
    for taps in (1, 3, 1, 3, 1):
        tensor = network.add("CONV_2D", (tensor,), (weights(taps),), **options)
    found = schedule(tuple(network.layers), (1,) * 5, ((0,), (), (0,), (), (0,)))
    assert found.capacity == {1: 3, 3: 3}
    assert found.alias == {2: 3, 4: 5}


def test_a_slab_is_the_layer_of_some_rows() -> None:
    network = Network([Tensor("input", (1, 10, 4, 2), "int8", Q)])
    weights = Tensor("w", (2, 3, 3, 2), "int8", Q, np.zeros((2, 3, 3, 2), np.int8))
    network.add("CONV_2D", (0,), (weights,), stride=(2, 1), dilation=(1, 1), padding="SAME", activation="NONE")
    layer = network.layers[0]
    assert needed(layer, Rows(0, 1)) == Rows(0, 3)
    assert needed(layer, Rows(3, 5)) == Rows(6, 10)
    part = slab(layer, Rows(3, 5))
    assert part.input(0).shape == (1, 4, 4, 2)
    assert part.output.shape == (1, 2, 4, 2)
    assert part.attributes["slab"] == (0, 2)
