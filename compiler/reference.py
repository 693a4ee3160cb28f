# SPDX-License-Identifier: Apache-2.0
"""Runs a graph through the operators' numpy references: the definition of right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .errors import ModelError
from .graph import DTYPES, Array, Graph
from .ops import op_of


def run(graph: Graph, inputs: Sequence[Array]) -> list[Array | None]:
    """The value of every tensor of `graph`, by index, given its inputs in order.

    Raises ModelError when an input has another shape or dtype than the model's.
    """
    values: list[Array | None] = [tensor.data for tensor in graph.tensors]
    for index, array in zip(graph.inputs, check_inputs(graph, inputs), strict=True):
        values[index] = array
    for layer in graph.layers():
        arguments = [values[i] if i >= 0 else None for i in layer.node.inputs]
        results = op_of(layer).reference(layer, arguments)
        for index, result in zip(layer.node.outputs, results, strict=True):
            tensor = graph.tensors[index]
            assert result.shape == tensor.shape, f"{layer.where}: {result.shape} != {tensor.shape}"
            assert result.dtype == DTYPES[tensor.dtype], f"{layer.where}: {result.dtype} != {tensor.dtype}"
            values[index] = result
    return values


def outputs(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """The graph's outputs in order."""
    values = run(graph, inputs)
    return [np.asarray(values[index]) for index in graph.outputs]


def check_inputs(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """`inputs` in C order, after checking number, shapes and dtypes against the graph."""
    tensors = graph.input_tensors
    if len(inputs) != len(tensors):
        raise ModelError(
            "input data", f"{len(inputs)} arrays given", expected=f"{len(tensors)}: {', '.join(graph.input_names)}"
        )
    for tensor, array in zip(tensors, inputs, strict=True):
        if array.shape != tensor.shape or array.dtype != DTYPES[tensor.dtype]:
            raise ModelError(
                f"input data for '{tensor.name}'",
                f"{array.dtype} array of shape {list(array.shape)}",
                expected=f"{tensor.dtype} array of shape {list(tensor.shape)}",
                hint="quantize and reshape the data as the model's input says (tinyc inspect MODEL prints it)",
            )
    return [np.ascontiguousarray(array) for array in inputs]
