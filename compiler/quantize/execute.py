# SPDX-License-Identifier: Apache-2.0
"""Runs a float32 graph on many samples at once, for calibration and as the measure of what quantization loses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from ..errors import ModelError
from ..graph import Array, Graph, Layer, Tensor
from ..ops import all_ops

#: Bytes of activations that one batch may take.
BATCH_BYTES = 64 << 20

#: Given a layer and its inputs (constants included), the layer's outputs.
Compute = Callable[[Layer, Sequence[Array | None]], Sequence[Array]]


def real(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    """The layer's outputs on float32 arrays, see `Op.real`."""
    compute = all_ops()[layer.op].real
    if compute is None:
        raise ModelError(layer.where, f"{layer.op} has no float32 form", hint="docs/ops.md lists the operators")
    with np.errstate(over="ignore", invalid="ignore"):  # whoever needs finite values looks at them
        return compute(layer, inputs)


def sample_shape(tensor: Tensor) -> tuple[int, ...]:
    """The shape of one sample of a tensor: without the batch dimension where that is 1."""
    return tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape


def run(graph: Graph, arrays: Sequence[Array], compute: Compute = real) -> list[Array | None]:
    """Every tensor's values on all samples: arrays [n, *sample shape]; constants as they are; None where nothing makes it.

    Args:
        graph: a float32 graph.
        arrays: one float32 array [n, *sample shape] per graph input.
        compute: what computes a layer.
    """
    values: list[Array | None] = [tensor.data for tensor in graph.tensors]
    for outputs, results in walk(graph, arrays, compute):
        for index, result in zip(outputs, results, strict=True):
            values[index] = result
    return values


def outputs(graph: Graph, arrays: Sequence[Array], compute: Compute = real) -> list[Array]:
    """The graph's outputs on all samples, batch by batch: arrays [n, *sample shape]."""
    found: list[list[Array]] = []
    for chunk in chunks(graph, arrays):
        kept: dict[int, Array] = {}
        for indices, results in walk(graph, chunk, compute):
            kept.update((i, result) for i, result in zip(indices, results, strict=True) if i in graph.outputs)
        found.append([kept[i] for i in graph.outputs])
    return [np.concatenate(column) for column in zip(*found, strict=True)]


def chunks(graph: Graph, arrays: Sequence[Array], factor: int = 1) -> Iterator[list[Array]]:
    """`arrays` in batches whose activations fit the memory for a batch, `factor` copies of them."""
    size = max(1, BATCH_BYTES // max(1, factor * live_bytes(graph)))
    for first in range(0, len(arrays[0]), size):
        yield [array[first : first + size] for array in arrays]


@lru_cache(maxsize=16)
def live_bytes(graph: Graph) -> int:
    """The most bytes of activations that one sample needs at a time, as float32."""
    ends = _last_uses(graph)
    live = {i: graph.tensors[i].elements for i in graph.inputs}
    most = sum(live.values())
    for position, node in enumerate(graph.nodes):
        live.update((i, graph.tensors[i].elements) for i in node.outputs)
        most = max(most, sum(live.values()))
        live = {i: count for i, count in live.items() if ends.get(i, -1) > position}
    return 4 * most


def _last_uses(graph: Graph) -> dict[int, int]:
    ends = {i: position for position, node in enumerate(graph.nodes) for i in node.inputs}
    return {**ends, **{i: len(graph.nodes) for i in graph.outputs}}


def walk(
    graph: Graph, arrays: Sequence[Array], compute: Compute = real
) -> Iterator[tuple[tuple[int, ...], Sequence[Array]]]:
    """Layer by layer: (indices, values) of the graph's inputs first, then of each layer's outputs; memory is freed on the way."""
    evaluate = _batched if batchable(graph) else _one_by_one
    ends = _last_uses(graph)
    live: dict[int, Array] = dict(zip(graph.inputs, arrays, strict=True))
    yield graph.inputs, list(arrays)
    for position, layer in enumerate(graph.layers()):
        inputs = [None if i < 0 else live.get(i, graph.tensors[i].data) for i in layer.node.inputs]
        results = evaluate(layer, inputs, compute)
        yield layer.node.outputs, results
        live.update(zip(layer.node.outputs, results, strict=True))
        live = {i: array for i, array in live.items() if ends.get(i, -1) > position}


def layer_outputs(graph: Graph, layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    """One layer of `graph` on all samples, some at a time; `inputs` as in `walk`, other weights than the layer's are allowed."""
    evaluate = _batched if batchable(graph) else _one_by_one
    varying = [k for k, tensor in enumerate(layer.inputs) if tensor is not None and tensor.data is None]
    count = max((len(array) for k in varying if (array := inputs[k]) is not None), default=1)
    size = max(
        1, BATCH_BYTES // (4 * max(1, sum(t.elements for t in (*layer.outputs, *layer.inputs) if t is not None)))
    )
    parts = [
        evaluate(layer, [_part(array, k in varying, first, size) for k, array in enumerate(inputs)], real)
        for first in range(0, count, size)
    ]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _part(array: Array | None, varies: bool, first: int, size: int) -> Array | None:
    return array[first : first + size] if varies and array is not None else array


def _batched(layer: Layer, inputs: Sequence[Array | None], compute: Compute) -> Sequence[Array]:
    return compute(layer, inputs)


def _one_by_one(layer: Layer, inputs: Sequence[Array | None], compute: Compute) -> Sequence[Array]:
    """For layers that mix what axis 0 holds: sample after sample, in the tensors' own shapes."""
    computed = [
        None if array is None else tensor is not None and tensor.data is None
        for array, tensor in zip(inputs, layer.inputs, strict=True)
    ]
    count = max(
        (len(array) for array, varies in zip(inputs, computed, strict=True) if varies and array is not None), default=1
    )
    rows = []
    for sample in range(count):
        given = [
            array if not varies or array is None or tensor is None else array[sample].reshape(tensor.shape)
            for array, tensor, varies in zip(inputs, layer.inputs, computed, strict=True)
        ]
        rows.append(compute(layer, given))
    return [
        np.stack([row[k] for row in rows]).reshape(count, *sample_shape(tensor))
        for k, tensor in enumerate(layer.outputs)
    ]


@lru_cache(maxsize=16)
def batchable(graph: Graph) -> bool:
    """Whether samples can go through the graph side by side along axis 0: tried on three samples."""
    if any(graph.tensors[i].shape[:1] != (1,) for i in (*graph.inputs, *graph.outputs)):
        return False
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((3, *t.shape[1:])).astype(np.float32) for t in graph.input_tensors]
    live: dict[int, Array] = dict(zip(graph.inputs, arrays, strict=True))
    for layer in graph.layers():
        if any(tensor.shape[:1] != (1,) for tensor in layer.outputs):
            return False
        inputs = [None if i < 0 else live.get(i, graph.tensors[i].data) for i in layer.node.inputs]
        try:
            together, apart = _batched(layer, inputs, real), _one_by_one(layer, inputs, real)
        except (ValueError, IndexError, AssertionError):
            return False
        for a, b in zip(together, apart, strict=True):
            if a.shape != b.shape or not _alike(a, b):
                return False
        live.update(zip(layer.node.outputs, together, strict=True))
    return True


def _alike(a: Array, b: Array) -> bool:
    """Equal but for the order of additions; what is not finite counts as alike."""
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    return bool(np.allclose(a, b, rtol=1e-3, atol=1e-4 * (1.0 + float(np.abs(b).max(initial=0.0)))))
