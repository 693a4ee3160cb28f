# SPDX-License-Identifier: Apache-2.0
"""Does the arithmetic on shapes that converters leave in models whose batch was open: all shapes are known here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..graph import DTYPES, Array, Graph, Layer, Node
from ..ops import all_ops

#: Shapes are short; longer constants are no shapes.
MOST = 64


def fold_shapes(graph: Graph) -> Graph:
    """`graph` with SHAPE, and what is computed from shapes, as constants."""
    tensors, kept = list(graph.tensors), []
    for node in graph.nodes:
        result = None
        target = tensors[node.outputs[0]] if len(node.outputs) == 1 else None
        if target is not None and target.dtype in ("int32", "int64") and target.elements <= MOST:
            values = [tensors[i].data if i >= 0 else None for i in node.inputs]
            result = _result(node, tensors[node.inputs[0]].shape if node.inputs else (), values)
        if target is None or result is None or result.size != target.elements:
            kept.append(node)
            continue
        data = result.reshape(target.shape).astype(DTYPES[target.dtype])
        tensors[node.outputs[0]] = replace(target, data=data, quantization=None)
    folded = replace(graph, tensors=tuple(tensors), nodes=tuple(kept))
    return folded if len(kept) == len(graph.nodes) else _with_shapes(folded)


def _with_shapes(graph: Graph) -> Graph:
    """`graph` with the shapes that its operators compute: where the batch was open, the file has 1 in their place."""
    tensors = list(graph.tensors)
    for node in graph.nodes:
        op = all_ops().get(node.op)
        if op is None or any(i < 0 and role[-1] not in "?*" for i, role in zip(node.inputs, op.inputs, strict=False)):
            continue
        layer = replace(graph, tensors=tuple(tensors)).layer(node)
        try:
            shapes = _matrix_shapes(layer) if node.op == "FULLY_CONNECTED" else op.output_shapes(layer)
        except (ValueError, IndexError, KeyError, TypeError, AssertionError, ZeroDivisionError):
            continue  # what is wrong with the layer is for the operator's rules to say
        for index, shape in zip(node.outputs, shapes, strict=False):
            if tensors[index].data is None:
                tensors[index] = replace(tensors[index], shape=tuple(shape))
    return replace(graph, tensors=tuple(tensors))


def _matrix_shapes(layer: Layer) -> Sequence[tuple[int, ...]]:
    """Of a FULLY_CONNECTED, whose own rule takes whatever shape the file gives its output."""
    units, depth = layer.input(1).shape
    if layer.attributes["keep_num_dims"]:
        return [(*layer.input(0).shape[:-1], units)]
    rows = layer.input(0).elements // depth
    return [layer.output.shape if layer.output.elements == rows * units else (rows, units)]


def _result(node: Node, shape: tuple[int, ...], values: Sequence[Array | None]) -> Array | None:
    """What the layer computes, or None where it is not known here."""
    if node.op == "SHAPE":
        return np.array(shape)
    known = [value for value in values if value is not None]
    fold = _FOLDS.get(node.op)
    if fold is None or not known or len(known) < len(values) or any(value.dtype.kind not in "iu" for value in known):
        return None
    try:
        return fold(node, known)
    except (ValueError, IndexError, KeyError, TypeError, ZeroDivisionError):  # hostile: its rules will say it
        return None


def _strided_slice(node: Node, values: Sequence[Array]) -> Array | None:
    data, begin, end, stride = values
    masks = {name: int(node.attributes.get(name) or 0) for name in ("begin_mask", "end_mask", "shrink_axis_mask")}
    if any(node.attributes.get(name) for name in ("ellipsis_mask", "new_axis_mask", "offset")):
        return None
    picks: list[slice | int] = []
    for axis, (first, last, step) in enumerate(
        zip(begin.reshape(-1), end.reshape(-1), stride.reshape(-1), strict=True)
    ):
        bit = 1 << axis
        if masks["shrink_axis_mask"] & bit:
            picks.append(int(first))
        else:
            start, stop = (
                None if masks[name] & bit else int(x) for name, x in (("begin_mask", first), ("end_mask", last))
            )
            picks.append(slice(start, stop, int(step)))
    return np.asarray(data[tuple(picks)])


def _gather(node: Node, values: Sequence[Array]) -> Array | None:
    if node.attributes.get("batch_dims"):
        return None
    return np.take(values[0], values[1], axis=int(node.attributes.get("axis") or 0))


def _concatenation(node: Node, values: Sequence[Array]) -> Array:
    return np.concatenate(
        [value.reshape(-1) if value.ndim == 0 else value for value in values], int(node.attributes["axis"])
    )


_FOLDS: Mapping[str, Callable[[Node, Sequence[Array]], Array | None]] = {
    "STRIDED_SLICE": _strided_slice,
    "GATHER": _gather,
    "CONCATENATION": _concatenation,
    "PACK": lambda node, values: np.stack(values, int(node.attributes.get("axis") or 0)),
    "CAST": lambda node, values: values[0],
    "RESHAPE": lambda node, values: values[0],
    "SQUEEZE": lambda node, values: values[0],
    "EXPAND_DIMS": lambda node, values: values[0],
    "REDUCE_PROD": lambda node, values: (
        np.array(math.prod(int(value) for value in values[0].reshape(-1))) if values[0].ndim == 1 else None
    ),
    "ADD": lambda node, values: values[0] + values[1],
    "SUB": lambda node, values: values[0] - values[1],
    "MUL": lambda node, values: values[0] * values[1],
    "FLOOR_DIV": lambda node, values: values[0] // values[1] if values[1].all() else None,
    "FLOOR_MOD": lambda node, values: values[0] % values[1] if values[1].all() else None,
}
