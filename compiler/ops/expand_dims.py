# SPDX-License-Identifier: Apache-2.0
"""EXPAND_DIMS: adds a dimension of 1 before an axis. It costs nothing: the output is the input's memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..graph import Graph, Layer, Quantization, Tensor, single_node_graph
from . import Op
from ._constraints import constant, dtype
from ._copy import VIEW_CONSTRAINTS, VIEW_INTEGER, view_real, view_reference


def _one_axis(layer: Layer) -> str | None:
    """The axis must be one number."""
    shape = layer.input(1).shape
    return None if layer.input(1).elements == 1 else f"shape {list(shape)}"


def _axis_in_range(layer: Layer) -> str | None:
    """The axis must be a dimension of the output, and may be negative to count from its last one."""
    dimensions = len(layer.input(0).shape) + 1
    axis = _axis(layer)
    return None if -dimensions <= axis < dimensions else f"axis {axis} of {dimensions} dimensions"


def _axis(layer: Layer) -> int:
    data = layer.input(1).data
    assert data is not None
    return int(data.reshape(-1)[0])


def _output_shapes(layer: Layer) -> Sequence[tuple[int, ...]]:
    shape = layer.input(0).shape
    axis = _axis(layer) % (len(shape) + 1)
    return [(*shape[:axis], 1, *shape[axis:])]


def case(
    shape: tuple[int, ...], axis: int, output: tuple[int, ...], element: str = "int8", axis_dtype: str = "int32"
) -> Graph:
    """A graph of one EXPAND_DIMS."""
    q = Quantization((float(np.float32(0.05)),), (-3,)) if element == "int8" else None
    table = np.array([axis], axis_dtype)
    return single_node_graph(
        "EXPAND_DIMS",
        (Tensor("input", shape, element, q), Tensor("axis", table.shape, axis_dtype, None, table)),
        (Tensor("output", output, element, q),),
    )


def _cases() -> Iterator[tuple[str, Graph]]:
    yield "first", case((4, 3), 0, (1, 4, 3))
    yield "middle", case((4, 3), 1, (4, 1, 3))
    yield "last", case((4, 3), -1, (4, 3, 1))
    yield "from a scalar", case((), 0, (1,))
    yield "float32", case((4,), 1, (4, 1), "float32")


OP = Op(
    name="EXPAND_DIMS",
    versions=(1, 1),
    inputs=("input", "axis"),
    options="ExpandDimsOptions",
    constraints=(
        *VIEW_CONSTRAINTS,
        dtype("axis", 1, "int32", "int64"),
        constant("axis", 1),
        _one_axis,
        _axis_in_range,
    ),
    output_shapes=_output_shapes,
    reference=view_reference,
    cases=_cases,
    view=True,
    real=view_real,
    integer=VIEW_INTEGER,
)
