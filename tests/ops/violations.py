# SPDX-License-Identifier: Apache-2.0
"""Graphs of one operator, changed so that they break a rule, and the rule that the user then reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinyc.graph import Graph
from tinyc.ops import problems


def changed(graph: Graph, position: int, **fields: Any) -> Graph:
    """The graph with other fields in the tensor at `position`."""
    tensors = list(graph.tensors)
    tensors[position] = replace(tensors[position], **fields)
    return replace(graph, tensors=tuple(tensors))


def with_attributes(graph: Graph, **attributes: Any) -> Graph:
    """The graph with other attributes in its node."""
    node = graph.nodes[0]
    return replace(graph, nodes=(replace(node, attributes={**node.attributes, **attributes}),))


def found(graph: Graph) -> str:
    """The one problem of the graph's one layer."""
    [text] = problems(next(graph.layers()))
    return text
