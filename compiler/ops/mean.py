# SPDX-License-Identifier: Apache-2.0
"""MEAN: the mean over some dimensions, requantized.

TFLite Micro sums the raw int8 values, subtracts the zero points of all of them at once, and multiplies by the ratio of
the scales with the division by their number folded into the fixed-point multiplier (QuantizedMeanOrSum in its reference
reduce.h). It does so for all axes, and also where both quantizations are equal. In float32 it adds the
values one by one in the order of the input, and divides by their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph import Array, Graph, Layer, Quantization, Tensor, single_node_graph
from . import Integer, Op
from ._constraints import constant, dtype, integer_only, not_empty, one_type, per_tensor, rank
from ._fixed_point import multiply_by_quantized_multiplier, quantize_multiplier, wrap_int32

#: With this many values of up to 255, zero points subtracted, the sum still fits in 32 bits. float32 holds any such number.
MAX_COUNT = 1 << 23
#: The same for int16 values.
MAX_COUNT_INT16 = (1 << 16) - 1


def _attributes(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"keep_dims": options["keep_dims"]}


def _export(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"keep_dims": attributes["keep_dims"]}


def _axes_in_range(layer: Layer) -> str | None:
    """Each axis must be a dimension of the input, or a negative number that counts from the last one."""
    dimensions = len(layer.input(0).shape)
    wrong = [axis for axis in _raw_axes(layer) if not -dimensions <= axis < dimensions]
    return f"axis {wrong[0]} of {dimensions} dimensions" if wrong else None


def _sum_fits(layer: Layer) -> str | None:
    """At most 8388608 values (in int16, 65535) may be averaged into one."""
    most = MAX_COUNT_INT16 if layer.input(0).dtype == "int16" else MAX_COUNT
    return None if count(layer) <= most else f"{count(layer)} values"


def _scales_in_range(layer: Layer) -> str | None:
    """The input's scale must be at most 2^29 (in int16, 2^15) times the output's."""
    # Beyond that, TFLite Micro shifts by more bits than its integers have, or than a sum of int16 values leaves free.
    source, output = layer.input(0).scale, layer.output.scale
    limit = 2.0**15 if layer.input(0).dtype == "int16" else 2.0**29
    return None if source <= output * limit else f"{source:.4g} and {output:.4g}"


def _two_runs(layer: Layer) -> str | None:
    """The axes must be at most two groups of neighbouring dimensions."""
    runs = [run for run in _runs(layer) if run[0]]
    return None if len(runs) <= 2 else f"axes {axes(layer)} of shape {list(layer.input(0).shape)}"


def _raw_axes(layer: Layer) -> list[int]:
    data = layer.input(1).data
    assert data is not None
    return [int(axis) for axis in data.reshape(-1)]


def axes(layer: Layer) -> tuple[int, ...]:
    """The dimensions averaged over, in order, each once."""
    dimensions = len(layer.input(0).shape)
    return tuple(sorted({axis % dimensions for axis in _raw_axes(layer)}))


def count(layer: Layer) -> int:
    """How many values become one."""
    return math.prod(layer.input(0).shape[axis] for axis in axes(layer))


def _runs(layer: Layer) -> list[tuple[bool, int]]:
    """(averaged over, number of entries) for each run of neighbouring dimensions; dimensions of 1 count for nothing."""
    averaged = axes(layer)
    runs: list[tuple[bool, int]] = []
    for axis, extent in enumerate(layer.input(0).shape):
        kind = axis in averaged
        if extent == 1:
            continue
        if runs and runs[-1][0] == kind:
            runs[-1] = (kind, runs[-1][1] * extent)
        else:
            runs.append((kind, extent))
    return runs


@dataclass(frozen=True)
class Loops:
    """The input as [outer, outer_count, middle, inner_count, inner], averaged over both counts."""

    outer: int
    outer_count: int
    middle: int
    inner_count: int
    inner: int


def loops(layer: Layer) -> Loops:
    """The five loops of a mean; unused ones, at the outside, have one iteration."""
    sizes = [1, 1, 1, 1, 1]
    position = len(sizes)
    for averaged, extent in reversed(_runs(layer)):
        position -= 1
        if averaged != (position % 2 == 1):
            position -= 1
        sizes[position] = extent
    return Loops(*sizes)


def multiplier(layer: Layer) -> tuple[int, int]:
    """(q, shift) that turns a sum into a mean at the output's scale; q is 0 to 2**31 - 1, the shift -31 to 30."""
    q, shift = quantize_multiplier(layer.input(0).scale / layer.output.scale)
    values = count(layer)
    folded = min(values.bit_length() - 1, 32, 31 + shift)
    return (q << folded) // values, shift - folded


def _output_shapes(layer: Layer) -> Sequence[tuple[int, ...]]:
    averaged = axes(layer)
    keep = layer.attributes["keep_dims"]
    return [tuple(1 if i in averaged else n for i, n in enumerate(layer.input(0).shape) if keep or i not in averaged)]


def _reference(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    if layer.output.dtype == "float32":
        return [_float_means(layer, inputs[0]).reshape(layer.output.shape)]
    sums = inputs[0].sum(axis=axes(layer), dtype=np.int64) - layer.input(0).zero_point * count(layer)
    q, shift = multiplier(layer)
    means = wrap_int32(multiply_by_quantized_multiplier(sums, q, shift) + layer.output.zero_point)
    info = np.iinfo(layer.output.dtype)
    return [np.clip(means, info.min, info.max).astype(layer.output.dtype).reshape(layer.output.shape)]


def _float_means(layer: Layer, x: Array) -> Array:
    """Sums from 0 in the order of the input: `accumulate` does not pair them up as `sum` does."""
    averaged = axes(layer)
    kept = [axis for axis in range(x.ndim) if axis not in averaged]
    columns = x.transpose(*averaged, *kept).reshape(count(layer), -1)
    zero = np.zeros((1, columns.shape[1]), np.float32)
    with np.errstate(all="ignore"):
        sums: Array = np.add.accumulate(np.concatenate([zero, columns]), axis=0, dtype=np.float32)[-1]
        return sums / np.float32(count(layer))


def _real(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    batched = layer.input(0).shape[:1] == layer.output.shape[:1] == (1,)
    means = inputs[0].mean(axis=tuple(axis for axis in axes(layer) if not (batched and axis == 0)))
    return [means.reshape(-1, *layer.output.shape[1:]) if batched else means.reshape(layer.output.shape)]


def case(
    shape: tuple[int, ...],
    averaged: Sequence[int],
    *,
    keep: bool = False,
    source: Quantization | None = None,
    output: Quantization | None = None,
    element: str = "int8",
) -> Graph:
    """A graph of one MEAN, its output shape computed; axes as the file holds them: negative and repeated ones too."""
    dropped = {axis % len(shape) for axis in averaged}
    output_shape = tuple(1 if i in dropped else n for i, n in enumerate(shape) if keep or i not in dropped)
    source = source or Quantization((float(np.float32(0.05)),), (-3 if element == "int8" else 0,))
    output = output or Quantization((float(np.float32(0.017)),), (11 if element == "int8" else 0,))
    if element == "float32":
        source = output = None
    table = np.array(averaged, np.int32)
    return single_node_graph(
        "MEAN",
        (Tensor("input", shape, element, source), Tensor("axes", table.shape, "int32", None, table)),
        (Tensor("output", output_shape, element, output),),
        {"keep_dims": keep},
    )


def _cases() -> Iterator[tuple[str, Graph]]:
    same = Quantization((float(np.float32(0.05)),), (-3,))
    yield "height and width", case((1, 7, 5, 6), (1, 2))
    yield "height and width, same quantization", case((2, 3, 3, 8), (1, 2), source=same, output=same)
    yield "height and width kept", case((1, 4, 6, 3), (2, 1), keep=True)
    yield "channels", case((2, 3, 4, 5), (-1,), keep=True)
    yield "batch and channels", case((3, 2, 2, 5), (0, 3))
    yield "height and channels", case((2, 3, 4, 5), (1, 3))
    yield "all", case((2, 3, 4, 5), (0, 1, 2, 3))
    yield "repeated", case((3, 5), (1, -1, 1))
    yield "none", case((4, 9), ())
    yield "depth 1", case((1, 8, 8, 1), (1, 2), source=same, output=same)
    yield "left shift", case((2, 9), (1,), source=Quantization((8.0,), (5,)), output=Quantization((0.015625,), (-128,)))
    tiny, large = Quantization((2.0**-40,), (5,)), Quantization((4.0,), (-7,))
    yield "right shift to nothing", case((2, 9), (1,), source=tiny, output=large)
    yield "five dimensions", case((2, 3, 2, 3, 2), (1, 4))
    for element in ("int16", "float32"):
        yield f"{element} height and width", case((1, 7, 5, 6), (1, 2), element=element)
        yield f"{element} height and channels", case((2, 3, 4, 5), (1, 3), keep=True, element=element)
        yield f"{element} batch", case((5, 7), (0,), element=element)
        yield f"{element} none", case((4, 9), (), element=element)


OP = Op(
    name="MEAN",
    versions=(1, 3),
    inputs=("input", "axes"),
    options="ReducerOptions",
    attributes=_attributes,
    export=_export,
    constraints=(
        one_type("input and the output", 0),
        dtype("axes", 1, "int32"),
        per_tensor("input and the output", 0),
        rank("input", 0, 1, 5),
        constant("axes", 1),
        _axes_in_range,
        not_empty("input", 0),
        _sum_fits,
        _two_runs,
        integer_only(_scales_in_range),
    ),
    output_shapes=_output_shapes,
    reference=_reference,
    cases=_cases,
    real=_real,
    integer=Integer("own", {"float32": 1, "int8": 2, "int16": 3}),
)
