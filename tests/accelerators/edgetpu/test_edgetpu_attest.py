# SPDX-License-Identifier: Apache-2.0
"""Attestation: every layer of the public pairs is found, no altered layer ever is."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from edgetpu_files import caching, dma, execution, file, instructions, interrupt, options, package, pairs
from tinyc.accelerators.edgetpu.attest import Attestation, Check, Status, attest
from tinyc.accelerators.edgetpu.parameters import WITH_WEIGHTS, device_weights, headers
from tinyc.graph import Graph, Layer, Node, Quantization, Tensor
from tinyc.importers.tflite import from_bytes, load

PAIRS = pairs()
SMALL = [pair for pair in PAIRS if pair[1].stat().st_size < 20_000]


@cache
def graphs(pair: tuple[Path, Path]) -> tuple[Graph, Graph]:
    compiled, original = pair
    return load(original), load(compiled)


def pair_id(pair: tuple[Path, Path]) -> str:
    return pair[0].stem


def weighty(graph: Graph) -> list[Layer]:
    return [layer for layer in graph.layers() if layer.op in WITH_WEIGHTS and layer.input(1).constant]


def with_tensor(graph: Graph, index: int, tensor: Tensor) -> Graph:
    return replace(graph, tensors=(*graph.tensors[:index], tensor, *graph.tensors[index + 1 :]))


def altered(graph: Graph, layer: Layer, at: int, by: int = 1, position: int = 1) -> Graph:
    """One number of an input of `layer` changed: of its weights, or of its biases (position 2)."""
    index = layer.node.inputs[position]
    tensor = graph.tensors[index]
    assert tensor.data is not None
    data = tensor.data.copy()
    flat = data.reshape(-1)
    flat[at] = flat[at] ^ by
    return with_tensor(graph, index, replace(tensor, data=data))


def of(found: Attestation, layer: Layer) -> Check:
    return next(check for check in found.checks if check.index == layer.node.index)


# An encoder that shares nothing with tinyc's: the offset of every single weight, from the notes on the format.


def encode(values: np.ndarray, zero_point: int, tables: list[list[int]], diagonal: bool) -> bytes:
    """Weights [output channels, rows, columns, inputs] as bytes; `tables` are 32-bit entries for every channel."""
    channels, rows, columns, inputs = values.shape
    blob = bytearray()
    group = 4 if diagonal else 64
    for first in range(0, channels, group):
        count = min(group, channels - first)
        slots = 4 if diagonal else 64 if channels > 64 else -(-channels // 16) * 16
        for entries in tables:
            words = entries[first : first + count] + [0] * (slots - count)
            blob += struct.pack(f"<{slots}I", *(word & 0xFFFF_FFFF for word in words))
        depth = 4 if diagonal else -(-inputs // 4) * 4
        part = bytearray(rows * columns * depth * slots)
        for y, x, slot, i in product(range(rows), range(columns), range(slots), range(depth)):
            offset = ((y * columns + x) * (depth // 4) + i // 4) * slots * 4 + slot * 4 + i % 4
            if slot < count and (slot == i if diagonal else i < inputs):
                part[offset] = values[first + slot, y, x, 0 if diagonal else i]
            elif slot < -(-count // 4) * 4:
                part[offset] = zero_point
        blob += part
    return bytes(blob) + bytes(-len(blob) % 64)


def network(kind: str, shape: tuple[int, ...], per_channel: bool, seed: int) -> Graph:
    """One layer with random weights and biases; int8 per channel or uint8 per tensor."""
    rng = np.random.default_rng(seed)
    inputs, outputs = (shape[3], shape[3]) if kind == "DEPTHWISE_CONV_2D" else (shape[-1], shape[0])
    dtype = "int8" if per_channel else "uint8"
    low, high = (-128, 128) if per_channel else (0, 256)
    data = rng.integers(low, high, shape).astype(dtype)
    axis = 3 if kind == "DEPTHWISE_CONV_2D" else 0
    scales = tuple(float(s) for s in rng.uniform(0.01, 0.02, outputs).astype(np.float32))
    weights = Quantization(scales, (0,) * outputs, axis) if per_channel else Quantization((0.02,), (119,))
    activation = Quantization((0.5,), (0,))
    bias = rng.integers(-9999, 9999, outputs).astype(np.int32)
    ends = ((1, inputs), (1, outputs)) if kind == "FULLY_CONNECTED" else ((1, 2, 2, inputs), (1, 2, 2, outputs))
    tensors = (
        Tensor("in", ends[0], dtype, activation),
        Tensor("w", shape, dtype, weights, data),
        Tensor("b", (outputs,), "int32", Quantization((1.0,), (0,)), bias),
        Tensor("out", ends[1], dtype, Quantization((0.25,), (0,))),
    )
    return Graph(tensors, (Node(kind, (0, 1, 2), (3,)),), (0,), (3,), ("in",), ("out",))


def compiled_with(blob: bytes) -> Graph:
    hints = {"hints": [instructions(), dma("parameters", len(blob)), interrupt()], "fully_deterministic": True}
    data = options(package([execution(), caching(parameters=blob, dma_hints=hints)]))
    return from_bytes(file(data), "made_edgetpu.tflite")


def blob_of(graph: Graph) -> bytes:
    layer = next(graph.layers())
    weights = layer.input(1)
    assert weights.data is not None and weights.quantization is not None
    depthwise = layer.op == "DEPTHWISE_CONV_2D"
    values = (
        weights.data.transpose(3, 1, 2, 0)
        if depthwise
        else weights.data.reshape(len(weights.data), *weights.shape[1:-1] or (1, 1), -1)
    )
    bias = layer.input(2).data
    assert bias is not None
    tables = [bias.tolist()]
    zero_point = weights.quantization.zero_point[0]
    if weights.quantization.per_channel:
        values, zero_point = values.view(np.uint8) ^ 0x80, 0x80
        multipliers = np.float32(0.5) * np.array(weights.quantization.scale, np.float32) / np.float32(0.25)
        tables = [multipliers.astype("<f4").view("<u4").tolist(), *tables, [0x80] * len(values)]
    return encode(values, zero_point, tables, depthwise)


LAYERS = [
    ("CONV_2D", (8, 3, 3, 3)),
    ("CONV_2D", (17, 1, 1, 8)),
    ("CONV_2D", (64, 1, 1, 4)),
    ("CONV_2D", (66, 1, 1, 5)),
    ("CONV_2D", (100, 2, 3, 7)),
    ("CONV_2D", (2, 1, 1, 6)),
    ("DEPTHWISE_CONV_2D", (1, 3, 3, 8)),
    ("DEPTHWISE_CONV_2D", (1, 5, 4, 10)),
    ("FULLY_CONNECTED", (2, 40)),
    ("FULLY_CONNECTED", (130, 12)),
]


@pytest.mark.parametrize("per_channel", [False, True], ids=["uint8", "int8"])
@pytest.mark.parametrize(("kind", "shape"), LAYERS, ids=lambda value: str(value))
def test_against_an_encoder_of_its_own(kind: str, shape: tuple[int, ...], per_channel: bool) -> None:
    graph = network(kind, shape, per_channel, 1)
    blob = blob_of(graph)
    found = attest(graph, compiled_with(bytes(64) + blob + bytes(64)))
    (check,) = found.checks
    assert (check.status, check.offset, check.size) == (Status.FOUND, 64, len(blob)), check
    assert (check.biases, check.multipliers) == ("equal", "equal" if per_channel else "")
    assert check.executable == "parameter-caching" and found.complete
    assert (found.parameter_bytes, found.covered_bytes) == (len(blob) + 128, len(blob))


@pytest.mark.parametrize("per_channel", [False, True], ids=["uint8", "int8"])
@pytest.mark.parametrize(("kind", "shape"), LAYERS, ids=lambda value: str(value))
def test_every_single_weight_counts(kind: str, shape: tuple[int, ...], per_channel: bool) -> None:
    """Weights (of large layers some) and biases, one after the other, by the lowest or the highest bit."""
    graph = network(kind, shape, per_channel, 2)
    compiled = compiled_with(blob_of(graph))
    layer = next(graph.layers())
    elements = layer.input(1).elements
    for at in range(0, elements, max(1, elements // 300) | 1):
        (check,) = attest(altered(graph, layer, at, -128 if per_channel and at % 2 else 1), compiled).checks
        assert check.status in (Status.NOT_FOUND, Status.UNKNOWN), at
        if check.status is Status.NOT_FOUND:
            channel, row, column, source = place(kind, shape, at)
            assert f"channel {channel}, row {row}, column {column}, input channel {source}" in check.note
            assert check.note.startswith("1 of ")
    for at in range(layer.input(2).elements):
        (check,) = attest(altered(graph, layer, at, 1, 2), compiled).checks
        assert (check.status, check.biases) == (Status.NOT_FOUND, "different")
        assert check.note == "its weights are there, with other biases"


def place(kind: str, shape: tuple[int, ...], at: int) -> tuple[int, int, int, int]:
    indices = [int(i) for i in np.unravel_index(at, shape)]
    if kind == "DEPTHWISE_CONV_2D":
        return indices[3], indices[1], indices[2], 0
    return (indices[0], 0, 0, indices[1]) if len(indices) == 2 else (indices[0], indices[1], indices[2], indices[3])


def test_other_multipliers() -> None:
    graph = network("CONV_2D", (20, 1, 1, 8), True, 3)
    compiled = compiled_with(blob_of(graph))
    weights = graph.tensors[1]
    assert weights.quantization is not None
    for channel in range(20):
        scales = list(weights.quantization.scale)
        scales[channel] *= 1.000001
        other = replace(weights, quantization=replace(weights.quantization, scale=tuple(scales)))
        (check,) = attest(with_tensor(graph, 1, other), compiled).checks
        assert (check.status, check.multipliers, check.biases) == (Status.NOT_FOUND, "different", "equal")


def test_one_place_holds_one_layer() -> None:
    """Two equal layers need two places."""
    one = network("CONV_2D", (8, 1, 1, 8), False, 4)
    tensors = (*one.tensors, replace(one.tensors[3], name="out2"))
    nodes = (one.nodes[0], replace(one.nodes[0], inputs=(3, 1, 2), outputs=(4,), index=1))
    two = replace(one, tensors=tensors, nodes=nodes, outputs=(4,))
    blob = blob_of(one)
    found = attest(two, compiled_with(blob + bytes(64)))
    assert [check.status for check in found.checks] == [Status.FOUND, Status.NOT_FOUND]
    assert found.checks[1].note == "the same weights are there once and belong to operator 0"
    assert attest(two, compiled_with(blob + blob)).complete


def test_only_aligned_places() -> None:
    graph = network("CONV_2D", (8, 1, 1, 8), False, 5)
    (check,) = attest(graph, compiled_with(bytes(16) + blob_of(graph) + bytes(48))).checks
    assert check.status is Status.NOT_FOUND


def test_unknown_layouts_are_called_that() -> None:
    graph = network("CONV_2D", (8, 1, 1, 8), False, 6)
    odd = replace(graph, nodes=(replace(graph.nodes[0], op="TRANSPOSE_CONV"),))
    (check,) = attest(odd, compiled_with(blob_of(graph))).checks
    assert check.status is Status.UNKNOWN and "TRANSPOSE_CONV" in check.note
    large = network("CONV_2D", (8, 3, 3, 8), False, 7)
    (check,) = attest(large, compiled_with(blob_of(graph))).checks
    assert check.status is Status.UNKNOWN


# Public pairs


@pytest.mark.parametrize("pair", PAIRS, ids=pair_id)
def test_public_pairs(pair: tuple[Path, Path]) -> None:
    """Every layer whose layout is known is found, with its biases and multipliers, or is on the CPU."""
    original, compiled = graphs(pair)
    found = attest(original, compiled)
    for check in found.checks:
        if check.op == "UNIDIRECTIONAL_SEQUENCE_LSTM":
            assert check.status is Status.UNKNOWN
        elif check.status is Status.CPU:
            assert check.op in {layer.op for layer in compiled.layers()}
        else:
            assert check.status is Status.FOUND, check
            assert check.offset % 64 == 0 and "different" not in (check.biases, check.multipliers)
    assert found.covered_bytes <= found.parameter_bytes


def test_goals_over_all_pairs() -> None:
    """95 % of the 1x1 convolutions and of the depthwise layers that are on the TPU."""
    if not PAIRS:
        pytest.skip("shared/models is not beside the repository")
    pointwise, depthwise = [], []
    for pair in PAIRS:
        for check in attest(*graphs(pair)).checks:
            if check.status is not Status.CPU and check.op == "CONV_2D" and check.shape[1:3] == (1, 1):
                pointwise.append(check.status is Status.FOUND)
            if check.status is not Status.CPU and check.op == "DEPTHWISE_CONV_2D":
                depthwise.append(check.status is Status.FOUND)
    assert len(pointwise) > 100 and len(depthwise) > 80
    assert sum(pointwise) >= 0.95 * len(pointwise)
    assert sum(depthwise) >= 0.95 * len(depthwise)


@pytest.mark.parametrize("rounds", [3, pytest.param(25, marks=pytest.mark.slow)])
@pytest.mark.parametrize("pair", PAIRS, ids=pair_id)
def test_all_layers_altered(pair: tuple[Path, Path], rounds: int) -> None:
    """One weight of every layer at once: none may be found, on the TPU or on the CPU."""
    original, compiled = graphs(pair)
    rng = np.random.default_rng(rounds)
    for _ in range(rounds):
        graph = original
        for layer in weighty(original):
            at = int(rng.integers(layer.input(1).elements))
            graph = altered(graph, layer, at, int(rng.choice([1, 2, 4, 8, 16, 32, 64])))
        for check in attest(graph, compiled).checks:
            assert check.status in (Status.NOT_FOUND, Status.UNKNOWN), check
            if (
                check.op in ("CONV_2D", "DEPTHWISE_CONV_2D")
                and check.shape[1:3] != (1, 1)
                and check.note.startswith("1 of")
            ):
                assert check.status is Status.NOT_FOUND


@pytest.mark.parametrize("pair", PAIRS, ids=pair_id)
def test_one_layer_altered(pair: tuple[Path, Path]) -> None:
    """The others are found as before."""
    original, compiled = graphs(pair)
    before = {check.index: check.status for check in attest(original, compiled).checks}
    layers = weighty(original)
    for layer in layers[:: max(1, len(layers) // 4)]:
        at = layer.input(1).elements - 1
        after = attest(altered(original, layer, at), compiled)
        assert of(after, layer).status in (Status.NOT_FOUND, Status.UNKNOWN)
        assert not after.complete
        others = {check.index: check.status for check in after.checks if check.index != layer.node.index}
        assert others == {index: status for index, status in before.items() if index != layer.node.index}


@pytest.mark.parametrize("pair", SMALL, ids=pair_id)
def test_many_weights_of_the_small_ones(pair: tuple[Path, Path]) -> None:
    original, compiled = graphs(pair)
    for layer in weighty(original):
        elements = layer.input(1).elements
        for at in range(0, elements, max(1, elements // 20)):
            for by in (1, 64):
                check = of(attest(altered(original, layer, at, by), compiled), layer)
                assert check.status in (Status.NOT_FOUND, Status.UNKNOWN), (layer.where, at)


@pytest.mark.parametrize("pair", PAIRS, ids=pair_id)
def test_predicted_bytes_are_the_stored_ones(pair: tuple[Path, Path]) -> None:
    """Depthwise weights count four times; the layers found fill their places to the last byte."""
    original, compiled = graphs(pair)
    checks = {check.index: check for check in attest(original, compiled).checks}
    for layer in weighty(original):
        weights = device_weights(layer)
        assert weights is not None
        check = checks[layer.node.index]
        if check.status is Status.FOUND:
            assert check.size == weights.bytes(headers(layer)[0])
            if weights.diagonal:
                assert check.size >= 4 * layer.input(1).bytes


def spans(found: Attestation) -> Iterator[tuple[int, int]]:
    for check in found.checks:
        if check.status is Status.FOUND:
            yield check.offset, check.offset + check.size


@pytest.mark.parametrize("pair", PAIRS, ids=pair_id)
def test_places_do_not_overlap(pair: tuple[Path, Path]) -> None:
    ordered = sorted(spans(attest(*graphs(pair))))
    assert all(end <= start for (_, end), (start, _) in pairwise(ordered))
