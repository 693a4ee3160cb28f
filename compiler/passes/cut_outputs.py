# SPDX-License-Identifier: Apache-2.0
"""A network that ends earlier: what comes after is left to the firmware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import UsageError, suggestion
from ..graph import Graph, short_name
from .drop_unused import drop_unused


def cut_outputs(graph: Graph, names: Sequence[str]) -> Graph:
    """`graph` with these tensors (by name, or the first of fused names) as its outputs, and without the layers that only others need.

    Raises UsageError for a name that no layer's output has, or that several have.
    """
    if not names:
        return graph
    made = [index for node in graph.nodes for index in node.outputs]
    outputs = tuple(_find(graph, made, name) for name in names)
    if len(set(outputs)) < len(outputs):
        raise UsageError("--outputs", "the same tensor twice", expected="every tensor once")
    labels = graph.labels if outputs[0] == graph.outputs[0] else ()
    return drop_unused(replace(graph, outputs=outputs, output_names=tuple(names), labels=labels))


def _find(graph: Graph, made: Sequence[int], name: str) -> int:
    found = [i for i in made if graph.tensors[i].name == name]
    found = found or [i for i in made if short_name(graph.tensors[i].name) == name]
    if len(found) == 1:
        return found[0]
    if not found:
        known = sorted({short_name(graph.tensors[i].name) for i in made})
        raise UsageError("--outputs", f"no layer makes a tensor '{name}'", hint=suggestion(name, known))
    raise UsageError("--outputs", f"{len(found)} tensors are called '{name}'", hint="give the whole name")
