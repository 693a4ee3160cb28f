# SPDX-License-Identifier: Apache-2.0
"""Shapes of operators with two inputs that broadcast as in numpy: aligned at the last dimension, 1 repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Array, Graph, Layer, Quantization, Tensor, single_node_graph
from ._floats import activate, clamp
from ._options import ACTIVATION_TYPES, name_of

#: Dimensions that TFLite Micro's shapes hold, and `TINYC_BROADCAST_RANK` of `tinyc_broadcast.h`.
MAX_RANK = 6


def activation_attributes(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"activation": name_of(ACTIVATION_TYPES, options["fused_activation_function"])}


def activation_export(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"fused_activation_function": ACTIVATION_TYPES.index(attributes["activation"])}


def broadcast_shape(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...] | None:
    """The common shape of `a` and `b`, or None when they do not broadcast."""
    rank = max(len(a), len(b))
    pairs = list(zip(_extended(a, rank), _extended(b, rank), strict=True))
    if any(x != y and 1 not in (x, y) for x, y in pairs):
        return None
    return tuple(y if x == 1 else x for x, y in pairs)


def _extended(shape: Sequence[int], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(shape)) + tuple(shape)


def fold(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int, int]]:
    """The broadcast of `a` and `b` with as few dimensions as possible, outermost first, at least one.

    Each dimension is (extent, stride in a, stride in b), strides in elements, 0 where the input repeats. Neighbouring
    dimensions in which the same input repeats, or none does, become one.
    """
    rank = max(len(a), len(b))
    folded: list[tuple[int, int, int]] = []
    stride_a = stride_b = 1
    for x, y in zip(reversed(_extended(a, rank)), reversed(_extended(b, rank)), strict=True):
        extent, step_a, step_b = max(x, y), stride_a if x > 1 else 0, stride_b if y > 1 else 0
        stride_a, stride_b = stride_a * x, stride_b * y
        if extent == 1:
            continue
        if folded and (step_a > 0, step_b > 0) == (folded[-1][1] > 0, folded[-1][2] > 0):
            inner, inner_a, inner_b = folded[-1]
            folded[-1] = (inner * extent, inner_a, inner_b)
        else:
            folded.append((extent, step_a, step_b))
    return folded[::-1] or [(1, 1, 1)]


def inputs_broadcast(layer: Layer) -> str | None:
    """The inputs' shapes must be equal or broadcast, in at most 6 dimensions and without empty ones."""
    a, b = layer.input(0).shape, layer.input(1).shape
    fits = min((*a, *b), default=1) >= 1 and broadcast_shape(a, b) is not None and max(len(a), len(b)) <= MAX_RANK
    return None if fits else f"{list(a)} and {list(b)}"


def output_shapes(layer: Layer) -> Sequence[tuple[int, ...]]:
    shape = broadcast_shape(layer.input(0).shape, layer.input(1).shape)
    assert shape is not None, layer.where
    return [shape]


def float_reference(function: Callable[[Array, Array], Array], layer: Layer, a: Array, b: Array) -> Array:
    """A float32 layer: one operation per element, then the activation."""
    with np.errstate(all="ignore"):
        return clamp(function(a, b), layer.attributes["activation"]).reshape(layer.output.shape)


def real(function: Callable[[Array, Array], Array]) -> Callable[[Layer, Sequence[Array | None]], Sequence[Array]]:
    """`Op.real` of an operator that applies `function` to every pair of elements."""

    def evaluate(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
        a, b = (_aligned(layer, position, array) for position, array in enumerate(inputs))
        with np.errstate(all="ignore"):
            return [activate(function(a, b), layer.attributes["activation"])]

    return evaluate


def _aligned(layer: Layer, position: int, array: Array | None) -> Array:
    """An input with as many dimensions as the output, where its samples are along axis 0."""
    assert array is not None
    shape = layer.input(position).shape
    missing = len(layer.output.shape) - len(shape)
    if missing == 0 or shape[:1] != (1,) or len(array) == 1:
        return array
    return array.reshape(len(array), *[1] * missing, *shape[1:])


def two_input_graph(
    op: str,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    scales: tuple[float, float, float],
    zero_points: tuple[int, int, int] = (0, 0, 0),
    *,
    activation: str = "NONE",
    constants: tuple[Array | None, Array | None] = (None, None),
    same: bool = False,
    element: str = "int8",
) -> Graph:
    """A test graph of `op`; scales and zero points are of input 1, input 2 and the output, and do not count in float32.

    `constants` are the inputs' values where they are constant; with `same` input 1 is also input 2.
    """
    pairs = zip(scales, zero_points, strict=True)
    q = [None if element == "float32" else Quantization((float(np.float32(s)),), (z,)) for s, z in pairs]
    first = Tensor("input1", shapes[0], element, q[0], constants[0])
    second = first if same else Tensor("input2", shapes[1], element, q[1], constants[1])
    shape = broadcast_shape(first.shape, second.shape)
    assert shape is not None, shapes
    return single_node_graph(op, (first, second), (Tensor("output", shape, element, q[2]),), {"activation": activation})


def wide_cases(op: str) -> Iterator[tuple[str, Graph]]:
    """Test graphs in int16 and float32."""
    random = np.random.default_rng(4)
    scales = (0.002, 0.0007, 0.003)
    for element in ("int16", "float32"):
        values = random.integers(-20, 20, 5)
        channels = (values * 1000).astype(element) if element == "int16" else (values / 7).astype(element)
        for name, shapes, activation, constants in (
            ("same shape", ((1, 3, 4, 5), (1, 3, 4, 5)), "NONE", (None, None)),
            ("channels", ((1, 3, 4, 5), (5,)), "RELU", (None, channels)),
            ("constant first", ((5,), (2, 5)), "RELU6", (channels, None)),
            ("both broadcast", ((2, 1, 3, 1, 2), (1, 4, 3, 2, 1)), "RELU_N1_TO_1", (None, None)),
        ):
            yield (
                f"{element} {name}",
                two_input_graph(op, shapes, scales, activation=activation, constants=constants, element=element),
            )
