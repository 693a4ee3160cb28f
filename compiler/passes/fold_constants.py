# SPDX-License-Identifier: Apache-2.0
"""Computes at build time what depends on constants only."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph
from ..ops import op_of


def fold_constants(graph: Graph) -> Graph:
    """Replaces every layer whose inputs are all constants by its result."""
    tensors = list(graph.tensors)
    kept = []
    for node in graph.nodes:
        if all(i < 0 or tensors[i].constant for i in node.inputs):
            layer = replace(graph, tensors=tuple(tensors)).layer(node)
            results = op_of(layer).reference(layer, [None if t is None else t.data for t in layer.inputs])
            for index, result in zip(node.outputs, results, strict=True):
                tensors[index] = replace(tensors[index], data=result)
        else:
            kept.append(node)
    return replace(graph, tensors=tuple(tensors), nodes=tuple(kept))
