# SPDX-License-Identifier: Apache-2.0
"""What operators share that only move bytes, or only rename them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph import Array, Layer, Tensor
from . import Constraint, Integer
from ._constraints import dtype

#: Element types that are moved as bytes.
MOVED_TYPES: Sequence[str] = ("int8", "uint8", "int16", "int32", "int64", "float32", "bool")


def input_types(*allowed: str) -> Constraint:
    """Input 0 must have one of the element types `allowed`."""
    return dtype("input", 0, *allowed)


def same_type(layer: Layer) -> str | None:
    """The output must have the input's element type."""
    source, output = layer.input(0), layer.output
    return None if source.dtype == output.dtype else f"{source.dtype} and {output.dtype}"


def same_elements(layer: Layer) -> str | None:
    """The output must have as many elements as the input, and at least one."""
    source, output = layer.input(0), layer.output
    filled = all(extent >= 1 for tensor in (source, output) for extent in tensor.shape)
    agree = filled and source.elements == output.elements
    return None if agree else f"shapes {list(source.shape)} and {list(output.shape)}"


def scale_and_zero_point(tensor: Tensor) -> tuple[tuple[float, ...], tuple[int, ...]] | None:
    """What must be equal where bytes are moved between quantized tensors; None without quantization."""
    q = tensor.quantization
    return None if q is None else (q.scale, q.zero_point)


#: The rules of a view, before those of its shape.
VIEW_CONSTRAINTS: tuple[Constraint, ...] = (input_types(*MOVED_TYPES), same_type, same_elements)


def view_reference(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    """The same bytes in the output's shape."""
    assert inputs[0] is not None
    return [np.ascontiguousarray(inputs[0]).reshape(layer.output.shape)]


def view_real(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    """Every sample in the output's shape."""
    assert inputs[0] is not None
    shape = layer.output.shape
    return [inputs[0].reshape(-1, *shape[1:]) if shape[:1] == (1,) else inputs[0].reshape(shape)]


#: How a float32 view becomes an integer one.
VIEW_INTEGER = Integer("shared", {"float32": 1, "int8": 1, "int16": 1})
