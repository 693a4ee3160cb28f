# SPDX-License-Identifier: Apache-2.0
"""SQUEEZE: drops dimensions of 1, the listed ones or all. It costs nothing: the output is the input's memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Graph, Layer, Quantization, Tensor, single_node_graph
from . import Op
from ._copy import VIEW_CONSTRAINTS, VIEW_INTEGER, view_real, view_reference


def _attributes(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"squeeze_dims": tuple(options["squeeze_dims"])}


def _export(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"squeeze_dims": attributes["squeeze_dims"]}


def _dimensions_are_one(layer: Layer) -> str | None:
    """Each squeezed dimension must be one of the input's, be 1, and may be negative to count from the last one."""
    shape, dimensions = layer.input(0).shape, len(layer.input(0).shape)
    for dimension in layer.attributes["squeeze_dims"]:
        if not -dimensions <= dimension < dimensions or shape[dimension] != 1:
            return f"dimension {dimension} of shape {list(shape)}"
    return None


def _output_shapes(layer: Layer) -> Sequence[tuple[int, ...]]:
    shape = layer.input(0).shape
    squeezed = {dimension % len(shape) for dimension in layer.attributes["squeeze_dims"]}
    if not squeezed:
        return [tuple(extent for extent in shape if extent != 1)]
    return [tuple(extent for position, extent in enumerate(shape) if position not in squeezed)]


def case(shape: tuple[int, ...], squeezed: tuple[int, ...], output: tuple[int, ...], dtype: str = "int8") -> Graph:
    """A graph of one SQUEEZE."""
    q = Quantization((float(np.float32(0.05)),), (-3,)) if dtype == "int8" else None
    tensors = Tensor("input", shape, dtype, q), Tensor("output", output, dtype, q)
    return single_node_graph("SQUEEZE", tensors[:1], tensors[1:], {"squeeze_dims": squeezed})


def _cases() -> Iterator[tuple[str, Graph]]:
    yield "listed", case((1, 1, 5, 1), (1, 3), (1, 5))
    yield "negative and repeated", case((1, 4, 1, 3), (-2, 2), (1, 4, 3))
    yield "all", case((1, 4, 1, 3), (), (4, 3))
    yield "to a scalar", case((1, 1), (), ())
    yield "int32", case((1, 4), (0,), (4,), "int32")
    yield "float32", case((1, 1, 5, 1), (1, 3), (1, 5), "float32")


OP = Op(
    name="SQUEEZE",
    versions=(1, 2),
    inputs=("input",),
    options="SqueezeOptions",
    attributes=_attributes,
    export=_export,
    constraints=(*VIEW_CONSTRAINTS, _dimensions_are_one),
    output_shapes=_output_shapes,
    reference=view_reference,
    cases=_cases,
    view=True,
    real=view_real,
    integer=VIEW_INTEGER,
)
