# SPDX-License-Identifier: Apache-2.0
"""Well-formed files of networks that make no sense; the operators' constraints must refuse them."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from tinyc.exporters.tflite import file_bytes, model_tables
from tinyc.graph import DTYPES, Graph, Node, Quantization, Tensor
from tinyc.importers.tflite import OPAQUE_TYPES

EXTENTS = (1, 1, 1, 2, 3, 4, 5, 8, 17, 300, 70_000, 1 << 30)
SCALES = (1e-45, 1e-30, 2.0**-31, 1e-3, 0.5, 1.0, 2.0, 1e6, 3e38)
NUMBERS = (-(1 << 31), -100, -5, -2, -1, 0, 1, 2, 3, 4, 5, 100, 1 << 20, (1 << 31) - 1)


def nonsense(rng: random.Random, graph: Graph) -> bytes:
    """The file of a graph after one to five changes to its tensors, its wiring or its options."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
        graph = rng.choice(CHANGES)(rng, graph)
    tables = model_tables(graph)
    if rng.random() < 0.4:
        change_options(rng, tables)
    return file_bytes(tables)


def _change_tensor(rng: random.Random, graph: Graph, change: Callable[[random.Random, Tensor], Tensor]) -> Graph:
    index = rng.randrange(len(graph.tensors))
    tensors = (*graph.tensors[:index], change(rng, graph.tensors[index]), *graph.tensors[index + 1 :])
    return replace(graph, tensors=tensors)


def _fill(rng: random.Random, tensor: Tensor) -> Tensor:
    """New data for a constant whose shape or type has changed; too large a one becomes a variable."""
    if tensor.data is None:
        return tensor
    if tensor.elements > 100_000 or tensor.dtype in OPAQUE_TYPES:
        return replace(tensor, data=None, variable=True)
    values = np.random.default_rng(rng.randrange(1 << 32)).integers(0, 7, tensor.shape)
    if rng.random() < 0.5 and tensor.elements:
        values.reshape(-1)[0] = rng.choice((-1, 100, 127, -128, 5))
    return replace(tensor, data=values.astype(DTYPES[tensor.dtype]))


def reshape(rng: random.Random, graph: Graph) -> Graph:
    def change(rng: random.Random, tensor: Tensor) -> Tensor:
        shape = list(tensor.shape)
        kind = rng.randrange(4)
        if kind == 0 or not shape:
            shape.insert(rng.randint(0, len(shape)), rng.choice(EXTENTS[:8]))
        elif kind == 1:
            del shape[rng.randrange(len(shape))]
        elif kind == 2:
            shape[rng.randrange(len(shape))] = rng.choice((0, *EXTENTS) if tensor.constant else EXTENTS)
        else:
            shape = [rng.choice(EXTENTS) for _ in range(rng.randrange(8))]
        shape = shape[:8]
        if np.prod([float(extent) for extent in shape]) > 2.0**31:
            return tensor
        quantization = tensor.quantization
        if quantization is not None and quantization.per_channel:
            quantization = Quantization(quantization.scale[:1], quantization.zero_point[:1])
        return _fill(rng, replace(tensor, shape=tuple(shape), quantization=quantization))

    return _change_tensor(rng, graph, change)


def retype(rng: random.Random, graph: Graph) -> Graph:
    def change(rng: random.Random, tensor: Tensor) -> Tensor:
        dtype = rng.choice((*DTYPES, "int8", "uint8", "int16", "int32", "float32"))
        return _fill(rng, replace(tensor, dtype=dtype))

    return _change_tensor(rng, graph, change)


def requantize(rng: random.Random, graph: Graph) -> Graph:
    def change(rng: random.Random, tensor: Tensor) -> Tensor:
        kind = rng.randrange(4)
        if kind == 0:
            return replace(tensor, quantization=None)
        scale = float(np.float32(rng.choice(SCALES)))
        if kind == 1 and tensor.shape:
            axis = rng.randrange(len(tensor.shape))
            if 0 < tensor.shape[axis] <= 300:
                channels = tensor.shape[axis]
                return replace(tensor, quantization=Quantization((scale,) * channels, (0,) * channels, axis))
        if kind == 2 and tensor.constant:
            scale = 0.0
        return replace(tensor, quantization=Quantization((scale,), (rng.choice((0, 0, 1, -128, 127, 5)),)))

    return _change_tensor(rng, graph, change)


def empty_or_fill(rng: random.Random, graph: Graph) -> Graph:
    """A constant loses its data, or an input gets some."""

    def change(rng: random.Random, tensor: Tensor) -> Tensor:
        if tensor.constant:
            return replace(tensor, data=None, variable=True)
        return replace(_fill(rng, replace(tensor, data=np.zeros(0))), variable=False)

    changed = _change_tensor(rng, graph, change)
    return replace(
        changed,
        inputs=tuple(i for i in changed.inputs if not (changed.tensors[i].constant or changed.tensors[i].variable)),
        input_names=(),
        output_names=(),
    )


def _change_node(rng: random.Random, graph: Graph, change: Callable[[random.Random, Node], Node]) -> Graph:
    if not graph.nodes:
        return graph
    index = rng.randrange(len(graph.nodes))
    nodes = (*graph.nodes[:index], change(rng, graph.nodes[index]), *graph.nodes[index + 1 :])
    return replace(graph, nodes=nodes)


def rewire(rng: random.Random, graph: Graph) -> Graph:
    def change(rng: random.Random, node: Node) -> Node:
        inputs = list(node.inputs)
        kind = rng.randrange(4)
        if kind == 0 and inputs:
            inputs[rng.randrange(len(inputs))] = -1
        elif kind == 1 and inputs:
            inputs.pop()
        elif kind == 2:
            inputs.append(rng.choice((-1, *range(len(graph.tensors) - len(node.outputs)))))
        else:
            rng.shuffle(inputs)
        return replace(node, inputs=tuple(inputs))

    return _change_node(rng, graph, change)


def more_outputs(rng: random.Random, graph: Graph) -> Graph:
    graph = replace(graph, tensors=(*graph.tensors, rng.choice(graph.tensors)))
    added = len(graph.tensors) - 1
    if graph.tensors[added].constant:
        return graph
    return _change_node(rng, graph, lambda rng, node: replace(node, outputs=(*node.outputs, added)))


def reversion(rng: random.Random, graph: Graph) -> Graph:
    return _change_node(rng, graph, lambda rng, node: replace(node, version=rng.choice(NUMBERS)))


CHANGES: tuple[Callable[[random.Random, Graph], Graph], ...] = (
    reshape,
    reshape,
    reshape,
    retype,
    retype,
    requantize,
    requantize,
    empty_or_fill,
    rewire,
    rewire,
    more_outputs,
    reversion,
)


def change_options(rng: random.Random, model: Mapping[str, Any]) -> None:
    """Other numbers in the options, or none."""
    for operator in model["subgraphs"][0]["operators"]:
        if "builtin_options" not in operator:
            continue
        table, raw = operator["builtin_options"]
        if rng.random() < 0.2:
            operator["builtin_options_type"] = 0
            operator["builtin_options"] = None
            continue
        changed = dict(raw)
        for name, value in raw.items():
            if rng.random() < 0.6:
                changed[name] = _other(rng, name, value)
        operator["builtin_options"] = (table, changed)


def _other(rng: random.Random, name: str, value: Any) -> Any:
    if name == "fused_activation_function":
        return rng.randrange(6)
    if isinstance(value, bool) or name == "padding":
        return rng.choice((False, True))
    if isinstance(value, int):
        number = rng.choice(NUMBERS)
        return number if abs(number) < 127 or name.startswith(("stride", "filter", "dilation", "axis", "depth")) else 7
    if isinstance(value, float):
        return rng.choice((0.0, -1.0, 1e30, float("inf"), float("nan")))
    if isinstance(value, tuple | list):
        return [rng.choice(NUMBERS) for _ in range(rng.randrange(10))]
    return value
