# SPDX-License-Identifier: Apache-2.0
"""Cross-layer equalization: evens out the ranges of the channels between two layers (Nagel et al. 2019, arXiv 1906.04721)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..graph import Array, Graph, Node
from .prepare import LINEAR, Prepared, channel_axis

#: Rounds over all pairs; ranges settle after a few.
ROUNDS = 10
#: No channel is scaled by more than this.
MOST = 100.0


def equalize(prepared: Prepared) -> Prepared:
    """The same function with weights whose channels are alike: what one layer's channel loses, the next one's weights gain."""
    graph = prepared.graph
    pairs = [pair for pair in _pairs(graph) if pair[0].outputs[0] not in prepared.known]
    data: dict[int, Array] = {
        i: tensor.data
        for i, tensor in enumerate(graph.tensors)
        if tensor.data is not None and tensor.dtype == "float32"
    }
    for _ in range(ROUNDS):
        for first, second in pairs:
            _even_out(data, first, second)
    tensors = tuple(
        replace(tensor, data=data[i].astype(np.float32)) if i in data else tensor
        for i, tensor in enumerate(graph.tensors)
    )
    return replace(prepared, graph=replace(graph, tensors=tensors))


def _pairs(graph: Graph) -> list[tuple[Node, Node]]:
    """Layers with weights that follow each other directly, with nothing between that scaling would change."""
    readers: dict[int, list[Node]] = {}
    uses: dict[int, int] = {}
    for node in graph.nodes:
        for index in node.inputs:
            readers.setdefault(index, []).append(node)
            uses[index] = uses.get(index, 0) + 1
    found = []
    for node in graph.nodes:
        after = readers.get(node.outputs[0], [])
        if node.op not in LINEAR or len(after) != 1 or node.outputs[0] in graph.outputs:
            continue
        second = after[0]
        if second.op not in LINEAR or second.inputs[0] != node.outputs[0] or uses[node.outputs[0]] != 1:
            continue
        own = [i for i in (*node.inputs[1:], *second.inputs[1:]) if i >= 0]
        constant = all(graph.tensors[i].data is not None and uses[i] == 1 for i in own)
        homogeneous = node.attributes["activation"] in ("NONE", "RELU")
        if constant and homogeneous and _channels(graph, node) == _taken(graph, second):
            found.append((node, second))
    return found


def _channels(graph: Graph, node: Node) -> int:
    return graph.tensors[node.inputs[1]].shape[channel_axis(node.op)]


def _input_axis(op: str) -> int:
    return {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 1}[op]


def _taken(graph: Graph, node: Node) -> int:
    """Input channels of a layer, by its weights."""
    return graph.tensors[node.inputs[1]].shape[_input_axis(node.op)]


def _largest(weights: Array, axis: int) -> Array:
    largest: Array = np.abs(weights).max(axis=tuple(k for k in range(weights.ndim) if k != axis))
    return largest


def _even_out(data: dict[int, Array], first: Node, second: Node) -> None:
    before, after = first.inputs[1], second.inputs[1]
    axes = channel_axis(first.op), _input_axis(second.op)
    made, taken = _largest(data[before], axes[0]), _largest(data[after], axes[1])
    factor = np.sqrt(made.astype(np.float64) / np.maximum(taken, 1e-9))
    factor = np.where((made < 1e-9) | (taken < 1e-9), 1.0, np.clip(factor, 1 / MOST, MOST))
    data[before] = data[before] / _shaped(factor, data[before].ndim, axes[0])
    data[after] = data[after] * _shaped(factor, data[after].ndim, axes[1])
    data[first.inputs[2]] = data[first.inputs[2]] / factor.reshape(data[first.inputs[2]].shape)


def _shaped(factor: Array, dimensions: int, axis: int) -> Array:
    shape = [1] * dimensions
    shape[axis] = -1
    return factor.reshape(shape)
