# SPDX-License-Identifier: Apache-2.0
"""`problems` must answer, never raise, whatever a layer looks like: the operators' cases with fields replaced at random."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tinyc.graph import DTYPES, Graph, Layer, Quantization, Tensor
from tinyc.ops import all_ops, problems

GRAPHS = [graph for op in all_ops().values() for _, graph in op.cases()]
NUMBERS = st.sampled_from([0, 1, -1, 2, 3, 5, -(2**31), 2**31 - 1]) | st.integers(-(2**31), 2**31 - 1)
EXTENTS = st.sampled_from([0, 1, 1, 2, 3, 4, 2**20, 2**31 - 1])
SCALES = st.sampled_from([0.0, 1.0, 0.05, 1e-45, 3.4e38])


def data(shape: tuple[int, ...], dtype: str, numbers: list[int]) -> Any:
    """A constant of that shape and type from `numbers`, repeated; None when it is too large or has no bytes."""
    numpy_type = np.dtype(DTYPES[dtype])
    if math.prod(shape) > 4096 or max(shape, default=0) > 4096 or numpy_type.kind not in "iufb":
        return None
    with np.errstate(over="ignore"):
        return np.resize(np.array(numbers, np.int64), shape).astype(numpy_type)


@st.composite
def quantizations(draw: st.DrawFn) -> Quantization | None:
    scales = draw(st.lists(SCALES, max_size=3))
    zero_points = draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3))
    return draw(st.none() | st.just(Quantization(tuple(scales), tuple(zero_points), draw(st.integers(-1, 4)))))


@st.composite
def tensors(draw: st.DrawFn, tensor: Tensor) -> Tensor:
    """The tensor with its shape, type, quantization or data replaced."""
    kind = draw(st.sampled_from(["shape", "dtype", "quantization", "data", "computed"]))
    shape, dtype, constant = tensor.shape, tensor.dtype, tensor.constant
    if kind == "quantization":
        return replace(tensor, quantization=draw(quantizations()))
    if kind == "computed":
        return replace(tensor, data=None)
    if kind == "shape":
        shape = tuple(draw(st.lists(EXTENTS, max_size=6)))
    if kind == "dtype":
        dtype = draw(st.sampled_from(sorted(DTYPES)))
    values = data(shape, dtype, draw(st.lists(NUMBERS, min_size=1, max_size=8))) if constant else None
    return replace(tensor, shape=shape, dtype=dtype, data=values)


@st.composite
def attributes(draw: st.DrawFn, found: dict[str, Any]) -> dict[str, Any]:
    """One attribute replaced by another of its type."""
    if not found:
        return found
    name = draw(st.sampled_from(sorted(found)))
    match found[name]:
        case bool():
            value: Any = draw(st.booleans())
        case int():
            value = draw(NUMBERS)
        case tuple() as values if name in ("new_shape", "squeeze_dims") or not values:
            value = tuple(draw(st.lists(NUMBERS, max_size=10)))
        case tuple() as values:
            value = tuple(draw(NUMBERS) for _ in values)
        case str():
            value = draw(st.sampled_from(["value 9", "TANH", "SAME", "VALID", "NONE"]))
        case other:
            value = other
    return {**found, name: value}


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    graph: Graph = draw(st.sampled_from(GRAPHS))
    layer = next(graph.layers())
    inputs, outputs = list(layer.inputs), list(layer.outputs)
    node = layer.node
    for _ in range(draw(st.integers(1, 3))):
        what = draw(st.sampled_from(["input", "input", "input", "output", "attribute", "inputs"]))
        if what == "output":
            outputs[0] = draw(tensors(outputs[0]))
        elif what == "attribute":
            node = replace(node, attributes=draw(attributes(dict(node.attributes))))
        elif what == "inputs":
            inputs = draw(st.sampled_from([inputs[:-1], [*inputs, None], [*inputs[:-1], None], inputs * 2]))
        elif inputs:
            position = draw(st.integers(0, len(inputs) - 1))
            tensor = inputs[position]
            inputs[position] = None if tensor is None else draw(tensors(tensor))
    return Layer(node, tuple(inputs), tuple(outputs))


@settings(max_examples=600, deadline=None, derandomize=True)
@given(layers())
def test_problems_never_raises(layer: Layer) -> None:
    assert all(isinstance(text, str) and text for text in problems(layer))
