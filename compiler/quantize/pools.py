# SPDX-License-Identifier: Apache-2.0
"""Global average pools with a scale of their own.

AVERAGE_POOL_2D must keep its input's scale, but a mean over a whole image is much smaller than the image's largest values: most of
the integers would go unused. MEAN computes the same and may have its own scale.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..graph import Graph, Node, Tensor
from .prepare import Prepared
from .ranges import Observed

#: A pool becomes a MEAN where its output takes less than this share of its input's range: one bit at least is gained.
NARROW = 0.5


def give_pools_scales(prepared: Prepared, observed: Observed) -> Prepared:
    """`prepared` with MEAN in place of the global average pools whose output has a much smaller range than their input."""
    graph = prepared.graph
    tensors, nodes = list(graph.tensors), list(graph.nodes)
    for position, node in enumerate(nodes):
        if node.op == "AVERAGE_POOL_2D" and _is_global(graph, node) and _narrow(observed, node, prepared):
            name = f"{tensors[node.outputs[0]].name}/axes"
            tensors.append(Tensor(name, (2,), "int32", None, np.array([1, 2], np.int32)))
            inputs = (node.inputs[0], len(tensors) - 1)
            nodes[position] = replace(node, op="MEAN", inputs=inputs, attributes={"keep_dims": True})
    return replace(prepared, graph=replace(graph, tensors=tuple(tensors), nodes=tuple(nodes)))


def _is_global(graph: Graph, node: Node) -> bool:
    """Whether the only window is the whole image."""
    image, output = graph.tensors[node.inputs[0]].shape, graph.tensors[node.outputs[0]].shape
    whole = node.attributes["padding"] == "VALID" and tuple(node.attributes["window"]) == image[1:3]
    return whole and output[1:3] == (1, 1) and node.attributes["activation"] == "NONE"


def _narrow(observed: Observed, node: Node, prepared: Prepared) -> bool:
    """Whether the output's values take a small part of the input's, both with 0; what the file fixed stays."""
    if node.outputs[0] in prepared.known or node.inputs[0] in prepared.known:
        return False
    spans = []
    for index in (node.inputs[0], node.outputs[0]):
        low, high = observed.range(index)
        spans.append(max(high, 0.0) - min(low, 0.0))
    return spans[1] < NARROW * spans[0]
