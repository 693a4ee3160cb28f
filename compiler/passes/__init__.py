# SPDX-License-Identifier: Apache-2.0
"""Rewrites of the graph, one file each. `PASSES` lists them in order; the graph is verified before and after every one."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from ..errors import ModelError
from ..graph import Graph, short_name
from ..ops import problems
from .drop_unused import drop_unused
from .fold_constants import fold_constants
from .fold_dilation import fold_dilation
from .fold_shapes import fold_shapes

#: What models are rid of before their operators are looked at: what only converters need.
FIRST: tuple[Callable[[Graph], Graph], ...] = (fold_shapes, fold_dilation)
PASSES: tuple[Callable[[Graph], Graph], ...] = (fold_constants, drop_unused)


def run_passes(graph: Graph) -> Graph:
    """`graph` after all passes. Raises ModelError when an operator is not supported, naming all of them at once."""
    if not graph.inputs or not graph.outputs:
        raise ModelError(
            graph.source.file_name or "model",
            f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs",
            expected="at least one of each",
        )
    for rewrite in FIRST:
        graph = rewrite(graph)
    check_supported(graph)
    for rewrite in PASSES:
        graph = rewrite(graph)
        check_order(graph)
    return graph


#: What helps against an unsupported operator, by kind of problem.
_HELP: Mapping[str, str] = {
    "float32": "convert the model to full integer quantization (TFLite converter: representative_dataset, TFLITE_BUILTINS_INT8)",
    "custom": "custom operators need their own compiler or kernel; export the model without them",
}


def unsupported(graph: Graph) -> list[tuple[str, str]]:
    """(layer, problem) for everything in `graph` that tinyc does not take."""
    return [(layer.where, problem) for layer in graph.layers() for problem in problems(layer)]


def check_supported(graph: Graph) -> None:
    """Raises ModelError listing every layer that tinyc does not take, and what would help."""
    found = unsupported(graph)
    if not found:
        return
    text = "\n".join(f"    {where}: {problem}" for where, problem in found)
    hints = []
    if any("float32" in problem for _, problem in found) and all(t.dtype == "float32" for t in graph.input_tensors):
        hints.append(_HELP["float32"])
    if any("CUSTOM:" in problem for _, problem in found):
        hints.append(_HELP["custom"])
    ends = ends_before(graph)
    if ends:
        hints.append(
            f"{' '.join(f'--outputs {shlex.quote(name)}' for name in ends)} ends the network before them, if your firmware does the rest"
        )
    hints.append("`tinyc inspect MODEL` shows all operators, docs/ops.md what each may be")
    raise ModelError(
        graph.source.file_name or "model",
        f"{len(found)} of {len(graph.nodes)} operators cannot be compiled:\n{text}",
        hint="; ".join(hints),
    )


#: Where a network would have to be cut at more tensors than this, cutting it is no advice.
MOST_ENDS = 8


def ends_before(graph: Graph) -> list[str]:
    """Names of the tensors at which the network could end so that all of it is supported; none where nothing would be left."""
    lost: set[int] = set()
    made: list[int] = []
    for layer in graph.layers():
        if problems(layer) or lost & set(layer.node.inputs):
            lost.update(layer.node.outputs)
        else:
            made += layer.node.outputs
    read = {i for node in graph.nodes if lost & set(node.outputs) for i in node.inputs} | set(graph.outputs)
    ends = [short_name(graph.tensors[i].name) for i in made if i in read]
    usable = len(set(ends)) == len(ends) <= MOST_ENDS and all(name.isprintable() and name for name in ends)
    return ends if usable else []


def check_order(graph: Graph) -> None:
    """Raises ModelError unless every tensor is a constant, a graph input, or produced before it is read."""
    known = {i for i, tensor in enumerate(graph.tensors) if tensor.constant} | set(graph.inputs)
    for layer in graph.layers():
        missing = [i for i in layer.node.inputs if i >= 0 and i not in known]
        if missing:
            raise ModelError(
                layer.where, f"reads '{graph.tensors[missing[0]].name}', which nothing has produced before"
            )
        known.update(layer.node.outputs)
    missing = [i for i in graph.outputs if i not in known]
    if missing:
        raise ModelError("model output", f"'{graph.tensors[missing[0]].name}' is not produced by any operator")
