# SPDX-License-Identifier: Apache-2.0
"""DEQUANTIZE: int8, uint8 or int16 to float32, and constants from float16, which is done at build time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import Array, Graph, Layer
from . import Op
from ._constraints import dtype, not_empty, only_in, output_dtype, per_tensor
from ._elementwise import float_scale_fits, one_input_graph, real, reference, same_shape


def values(layer: Layer, x: Array) -> Array:
    """One float32 product, so one rounding; it may overflow to infinity."""
    source = layer.input(0)
    if source.dtype == "float16":
        return x.astype(np.float32)
    with np.errstate(all="ignore"):
        return np.float32(source.scale) * (x.astype(np.int32) - source.zero_point).astype(np.float32)


def _float16_constant(layer: Layer) -> str | None:
    """A float16 input must be a constant."""
    source = layer.input(0)
    return f"'{source.name}' is computed at run time" if source.dtype == "float16" and not source.constant else None


def _cases() -> Iterator[tuple[str, Graph]]:
    yield "int8", one_input_graph("DEQUANTIZE", (2, 90), ("int8", 0.1, 5), ("float32", 0, 0))
    yield "uint8", one_input_graph("DEQUANTIZE", (200,), ("uint8", 0.003, 250), ("float32", 0, 0))
    yield "int16", one_input_graph("DEQUANTIZE", (3, 70), ("int16", 0.0007, 0), ("float32", 0, 0))


OP = Op(
    name="DEQUANTIZE",
    versions=(1, 6),
    inputs=("input",),
    options="DequantizeOptions",
    constraints=(
        dtype("input", 0, "int8", "uint8", "int16", "float16"),
        output_dtype("float32"),
        not_empty("input", 0),
        per_tensor("integer input", 0, output=False),
        only_in(("int8", "uint8", "int16"), float_scale_fits),
        _float16_constant,
    ),
    output_shapes=same_shape,
    reference=reference(values),
    cases=_cases,
    real=real(lambda x: x.astype(np.float32)),
)
