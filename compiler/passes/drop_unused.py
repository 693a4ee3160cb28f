# SPDX-License-Identifier: Apache-2.0
"""Removes layers whose results nothing uses."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph


def drop_unused(graph: Graph) -> Graph:
    """Keeps the layers that a graph output depends on, in order."""
    needed = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return replace(graph, nodes=tuple(reversed(kept)))
