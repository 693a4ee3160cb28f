# SPDX-License-Identifier: Apache-2.0
"""CONCATENATION: the inputs one after the other along an axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Array, Graph, Layer, Quantization, Tensor, single_node_graph
from . import Integer, Op
from ._constraints import activation, rank
from ._copy import MOVED_TYPES, input_types, same_type, scale_and_zero_point
from ._options import ACTIVATION_TYPES, name_of


def _attributes(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"axis": options["axis"], "activation": name_of(ACTIVATION_TYPES, options["fused_activation_function"])}


def _export(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"axis": attributes["axis"], "fused_activation_function": ACTIVATION_TYPES.index(attributes["activation"])}


def _all_present(layer: Layer) -> str | None:
    """There must be at least one input, and none may be absent."""
    if layer.inputs and all(tensor is not None for tensor in layer.inputs):
        return None
    return f"{len(layer.inputs)} inputs, {sum(tensor is None for tensor in layer.inputs)} of them absent"


def inputs(layer: Layer) -> list[Tensor]:
    """The inputs, all present."""
    return [layer.input(position) for position in range(len(layer.inputs))]


def _one_type(layer: Layer) -> str | None:
    """All inputs must have one element type."""
    found = sorted({tensor.dtype for tensor in inputs(layer)})
    return None if len(found) == 1 else " and ".join(found)


def _axis_in_range(layer: Layer) -> str | None:
    """The axis must be a dimension of the inputs, and may be negative to count from the last one."""
    dimensions = len(layer.input(0).shape)
    found = layer.attributes["axis"]
    return None if -dimensions <= found < dimensions else f"axis {found} of {dimensions} dimensions"


def axis(layer: Layer) -> int:
    """The axis, counted from the first dimension."""
    found: int = layer.attributes["axis"]
    return found % len(layer.input(0).shape)


def _shapes_agree(layer: Layer) -> str | None:
    """The inputs must have the same shape but for the axis, and none may be empty."""
    shapes = [tensor.shape for tensor in inputs(layer)]
    others = {(*shape[: axis(layer)], *shape[axis(layer) + 1 :]) for shape in shapes}
    same_rank = len({len(shape) for shape in shapes}) == 1
    filled = all(extent >= 1 for shape in shapes for extent in shape)
    agree = same_rank and filled and len(others) == 1
    return None if agree else f"shapes {', '.join(str(list(shape)) for shape in shapes[:8])}"


def _same_quantization(layer: Layer) -> str | None:
    """Quantized inputs must have the output's scale and zero point."""
    if layer.output.dtype not in ("int8", "uint8", "int16"):
        return None
    for tensor in inputs(layer):
        found, wanted = scale_and_zero_point(tensor), scale_and_zero_point(layer.output)
        if found != wanted:
            return f"{found} in '{tensor.name}', {wanted} in the output"
    return None


def _output_shapes(layer: Layer) -> Sequence[tuple[int, ...]]:
    shape = list(layer.input(0).shape)
    shape[axis(layer)] = sum(tensor.shape[axis(layer)] for tensor in inputs(layer))
    return [tuple(shape)]


def _reference(layer: Layer, arrays: Sequence[Array | None]) -> Sequence[Array]:
    return [np.concatenate([array for array in arrays if array is not None], axis=axis(layer))]


def _real(layer: Layer, arrays: Sequence[Array | None]) -> Sequence[Array]:
    present = [array for array in arrays if array is not None]
    samples = max(len(array) for array in present)
    if axis(layer) > 0:
        # Constants are the same for every sample.
        present = [np.broadcast_to(array, (samples, *array.shape[1:])) for array in present]
    return [np.concatenate(present, axis=axis(layer))]


def case(
    shape: tuple[int, ...],
    axis: int,
    extents: Sequence[int],
    dtype: str = "int8",
    constants: Sequence[int] = (),
    zero_point: int = 4,
) -> Graph:
    """A graph of one CONCATENATION: inputs of `shape` but for `extents` along the axis; `constants` are constant."""
    random = np.random.default_rng(3)
    quantized = dtype in ("int8", "uint8", "int16")
    q = Quantization((float(np.float32(0.05)),), (0 if dtype == "int16" else zero_point,)) if quantized else None
    at = axis % len(shape)

    def tensor(name: str, extent: int, constant: bool) -> Tensor:
        full = (*shape[:at], extent, *shape[at + 1 :])
        data = random.integers(0, 2 if dtype == "bool" else 100, full).astype(dtype) if constant else None
        return Tensor(name, full, dtype, q, data)

    sources = tuple(tensor(f"input_{i}", extent, i in constants) for i, extent in enumerate(extents))
    output = tensor("output", sum(extents), False)
    return single_node_graph("CONCATENATION", sources, (output,), {"axis": axis, "activation": "NONE"})


def _cases() -> Iterator[tuple[str, Graph]]:
    yield "channels", case((1, 3, 2, 0), -1, (4, 1, 2))
    yield "height", case((1, 0, 3, 2), 1, (2, 3))
    yield "batch", case((0, 4), 0, (1, 2, 1))
    yield "constant input", case((2, 0, 3), 1, (1, 2, 1), constants=(1,))
    yield "one input", case((2, 0), 1, (5,))
    yield "ten inputs", case((2, 0), 1, (1, 2, 3, 1, 2, 3, 1, 2, 3, 1))
    yield "five dimensions", case((2, 1, 0, 2, 1), 2, (1, 2))
    yield "int32", case((2, 0), -1, (3, 2), "int32")
    yield "float32", case((0, 3), -2, (1, 2), "float32")
    yield "int16", case((2, 0), -1, (3, 2), "int16")


OP = Op(
    name="CONCATENATION",
    versions=(1, 4),
    inputs=("input*",),
    options="ConcatenationOptions",
    attributes=_attributes,
    export=_export,
    constraints=(
        _all_present,
        input_types(*MOVED_TYPES),
        _one_type,
        same_type,
        rank("input", 0, 1, 8),
        activation("NONE"),
        _axis_in_range,
        _shapes_agree,
        _same_quantization,
    ),
    output_shapes=_output_shapes,
    reference=_reference,
    cases=_cases,
    real=_real,
    integer=Integer("shared", {"float32": 1, "int8": 2, "int16": 3}),
)
