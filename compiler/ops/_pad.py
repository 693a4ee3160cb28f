# SPDX-License-Identifier: Apache-2.0
"""What PAD and PADV2 share: rules, reference and test cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..graph import DTYPES, Array, Graph, Layer, Quantization, Tensor, single_node_graph
from . import Constraint, Integer
from ._constraints import constant, dtype, not_empty, rank
from ._copy import input_types, same_type

#: Element types that TFLite Micro pads.
TYPES: Sequence[str] = ("int8", "int16", "int32", "float32")


def _pairs(layer: Layer) -> str | None:
    """The paddings must be a pair of numbers for each dimension of the input."""
    shape = layer.input(1).shape
    return None if shape == (len(layer.input(0).shape), 2) else f"paddings of shape {list(shape)}"


def _not_negative(layer: Layer) -> str | None:
    """The paddings must not be negative."""
    pairs = [list(pair) for pair in paddings(layer)]
    return None if all(amount >= 0 for pair in pairs for amount in pair) else f"{pairs}"


CONSTRAINTS: tuple[Constraint, ...] = (
    input_types(*TYPES),
    same_type,
    rank("input", 0, 1, 5),
    not_empty("input", 0),
    dtype("paddings", 1, "int32", "int64"),
    constant("paddings", 1),
    _pairs,
    _not_negative,
)


def paddings(layer: Layer) -> list[tuple[int, int]]:
    """(before, after) for each dimension, in elements."""
    data = layer.input(1).data
    assert data is not None
    return [(int(before), int(after)) for before, after in data]


def output_shapes(layer: Layer) -> Sequence[tuple[int, ...]]:
    pairs = zip(layer.input(0).shape, paddings(layer), strict=True)
    return [tuple(before + extent + after for extent, (before, after) in pairs)]


def value(layer: Layer) -> int | float:
    """The number in the padding: PADV2's constant, else what stands for a real 0."""
    table = layer.optional(2)
    if table is not None:
        assert table.data is not None
        number: int | float = table.data.reshape(-1)[0].item()
        return number
    return layer.output.zero_point if layer.output.dtype == "int8" else 0


def reference(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    padded = np.full(layer.output.shape, value(layer), DTYPES[layer.output.dtype])
    inside = tuple(slice(before, before + n) for n, (before, _) in zip(inputs[0].shape, paddings(layer), strict=True))
    padded[inside] = inputs[0]
    return [padded]


def real(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    return [np.pad(inputs[0], paddings(layer), constant_values=value(layer))]


#: How a float32 layer becomes an integer one. Version 4 is for five dimensions.
INTEGER = Integer("shared", {"float32": 1, "int8": 2, "int16": 3})


def cases(op: str) -> Iterator[tuple[str, Graph]]:
    """Small graphs, padded before and after each dimension, some or all."""
    filler = -77 if op == "PADV2" else None
    wide = -1234 if op == "PADV2" else None
    yield "image", case(op, (1, 4, 3, 2), [(0, 0), (1, 2), (2, 1), (0, 0)], filler)
    yield "batch and channels", case(op, (2, 1, 3, 2), [(1, 0), (0, 0), (0, 0), (2, 3)], filler)
    yield "every dimension", case(op, (2, 3, 2, 1, 2), [(1, 2), (2, 0), (0, 1), (1, 1), (3, 1)], filler)
    yield "nothing", case(op, (2, 3), [(0, 0), (0, 0)], filler)
    yield "vector", case(op, (5,), [(2, 3)], filler)
    yield "int16", case(op, (2, 3), [(0, 1), (2, 0)], wide, "int16")
    yield "float32", case(op, (3, 2, 2), [(1, 0), (0, 0), (0, 1)], wide, "float32")


def case(
    op: str,
    shape: tuple[int, ...],
    pairs: Sequence[tuple[int, int]],
    value: int | None = None,
    element: str = "int8",
    *,
    paddings_dtype: str = "int32",
    zero_point: int = -5,
) -> Graph:
    """A graph of one PAD, or PADV2 with its pad value; the output shape is computed."""
    q = Quantization((float(np.float32(0.05)),), (zero_point,)) if element == "int8" else None
    table = np.array(pairs, paddings_dtype).reshape(len(shape), 2)
    inputs: tuple[Tensor, ...] = (
        Tensor("input", shape, element, q),
        Tensor("paddings", table.shape, paddings_dtype, None, table),
    )
    if op == "PADV2":
        inputs = (*inputs, Tensor("value", (1,), element, q, np.array([value], element)))
    padded = tuple(before + extent + after for extent, (before, after) in zip(shape, pairs, strict=True))
    return single_node_graph(op, inputs, (Tensor("output", padded, element, q),))
