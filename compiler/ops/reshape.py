# SPDX-License-Identifier: Apache-2.0
"""RESHAPE: the same bytes in another shape. It costs nothing: the output is the input's memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Graph, Layer, Quantization, Tensor, single_node_graph
from . import Op
from ._constraints import dtype
from ._copy import VIEW_CONSTRAINTS, VIEW_INTEGER, view_real, view_reference


def _attributes(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"new_shape": tuple(options["new_shape"])}


def _export(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"new_shape": attributes["new_shape"]}


def _wanted(layer: Layer) -> tuple[int, ...] | None:
    """The shape that the model asks for, -1 included: from the constant input, else from the option.

    None where the shape is computed at run time, or not given at all: then the output tensor's own shape counts, as it
    always does in TFLite Micro.
    """
    shape = layer.optional(1)
    if shape is not None and shape.data is not None:
        return tuple(int(extent) for extent in shape.data.reshape(-1))
    if shape is not None or not layer.attributes["new_shape"]:
        return None
    # Old converters write [0] for a scalar.
    new_shape: tuple[int, ...] = layer.attributes["new_shape"]
    return () if new_shape == (0,) and layer.output.shape == () else new_shape


def _few_dimensions(layer: Layer) -> str | None:
    """The new shape must have at most 8 dimensions."""
    shape = layer.optional(1)
    dimensions = max(0 if shape is None else shape.elements, len(layer.attributes["new_shape"]))
    return None if dimensions <= 8 else f"{dimensions} dimensions"


def _wanted_shape_fits(layer: Layer) -> str | None:
    """The new shape must be made of positive numbers and at most one -1, and hold as many elements as the input."""
    wanted = _wanted(layer)
    if wanted is None:
        return None
    known = math.prod(extent for extent in wanted if extent != -1)
    elements = layer.input(0).elements
    free = wanted.count(-1)
    fits = elements == known if free == 0 else free == 1 and known >= 1 and elements % known == 0
    usable = all(extent >= 1 or extent == -1 for extent in wanted) and fits
    return None if usable else f"new shape {list(wanted)} for {elements} elements"


def _output_shapes(layer: Layer) -> Sequence[tuple[int, ...]]:
    wanted = _wanted(layer)
    if wanted is None:
        return [layer.output.shape]
    known = math.prod(extent for extent in wanted if extent != -1)
    return [tuple(layer.input(0).elements // known if extent == -1 else extent for extent in wanted)]


def case(
    shape: tuple[int, ...],
    output: tuple[int, ...],
    *,
    element: str = "int8",
    table: Sequence[int] | None = None,
    option: tuple[int, ...] = (),
) -> Graph:
    """A graph of one RESHAPE whose shape is in the constant `table`, or only in the option."""
    q = Quantization((float(np.float32(0.05)),), (-3,)) if element == "int8" else None
    inputs: tuple[Tensor, ...] = (Tensor("input", shape, element, q),)
    if table is not None:
        inputs = (*inputs, Tensor("shape", (len(table),), "int32", None, np.array(table, np.int32)))
    return single_node_graph("RESHAPE", inputs, (Tensor("output", output, element, q),), {"new_shape": option})


def _cases() -> Iterator[tuple[str, Graph]]:
    yield "constant", case((2, 3, 4), (4, 6), table=(4, 6))
    yield "free dimension", case((2, 3, 4), (2, 12), table=(2, -1))
    yield "option", case((1, 1, 1, 8), (1, 8), option=(1, 8))
    yield "free dimension in the option", case((4, 2), (1, 8, 1), option=(1, -1, 1))
    yield "not given", case((4, 2), (8,))
    yield "scalar", case((1, 1), (), option=(0,))
    yield "float32", case((2, 3), (3, 2), element="float32", table=(3, 2))
    yield "int32", case((2, 3), (6,), element="int32", table=(-1,))


OP = Op(
    name="RESHAPE",
    versions=(1, 1),
    inputs=("input", "shape?"),
    options="ReshapeOptions",
    attributes=_attributes,
    export=_export,
    constraints=(*VIEW_CONSTRAINTS, dtype("shape", 1, "int32", "int64"), _few_dimensions, _wanted_shape_fits),
    output_shapes=_output_shapes,
    reference=view_reference,
    cases=_cases,
    view=True,
    real=view_real,
    integer=VIEW_INTEGER,
)
