# SPDX-License-Identifier: Apache-2.0
"""QUANTIZE: float32 to int8 or uint8, or from one 8-bit quantization to another.

Where TFLite Micro's conversion from float32 is undefined (quotients beyond 32 bits, infinities, NaN) the result saturates;
NaN becomes the lowest value. float32 to uint8, which TFLite Micro lacks, follows the same formula, as in TFLite.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import DTYPES, Array, Graph, Layer
from . import Op
from ._constraints import dtype, not_empty, output_dtype, per_tensor
from ._elementwise import float_scale_fits, one_input_graph, reference, rescale, rescale_fits, same_shape


def values(layer: Layer, x: Array) -> Array:
    output = layer.output
    low, high = (-128, 127) if output.dtype == "int8" else (0, 255)
    wide = _round_quotients(x, output.scale) + output.zero_point if x.dtype == np.float32 else rescale(layer, x)
    clamped: Array = np.clip(wide, low, high).astype(DTYPES[output.dtype])
    return clamped


def _round_quotients(x: Array, scale: float) -> Array:
    """x / scale in float32, rounded half away from zero and bounded to +-1024, NaN to -1024."""
    with np.errstate(all="ignore"):
        quotient = x / np.float32(scale)
    bounded = np.where(quotient > -1024, np.minimum(quotient, np.float32(1024)), np.float32(-1024))
    whole = np.trunc(bounded)
    rest = bounded - whole
    return whole.astype(np.int64) + (rest >= 0.5) - (rest <= -0.5)


def _types_pair(layer: Layer) -> str | None:
    """uint8 to uint8 is not supported."""
    return None if (layer.input(0).dtype, layer.output.dtype) != ("uint8", "uint8") else "uint8 to uint8"


def _rescale_fits(layer: Layer) -> str | None:
    """An 8-bit input's scale must be less than 2^30 times the output scale."""
    return None if layer.input(0).dtype == "float32" else rescale_fits(layer)


def _cases() -> Iterator[tuple[str, Graph]]:
    shape = (2, 5, 20)
    yield "float32 to int8", one_input_graph("QUANTIZE", shape, ("float32", 0, 0), ("int8", 0.05, -7))
    yield "int8", one_input_graph("QUANTIZE", shape, ("int8", 0.1, 3), ("int8", 0.07, -12))
    yield "int8 ties", one_input_graph("QUANTIZE", shape, ("int8", 0.1, 3), ("int8", 0.2, 0))
    yield "int8 left shift", one_input_graph("QUANTIZE", shape, ("int8", 1.0, 0), ("int8", 0.01, 0))
    yield "int8 to uint8", one_input_graph("QUANTIZE", shape, ("int8", 0.1, 3), ("uint8", 0.1, 131))
    yield "uint8 to int8", one_input_graph("QUANTIZE", shape, ("uint8", 0.1, 100), ("int8", 0.13, 4))
    yield "uint8 flip", one_input_graph("QUANTIZE", shape, ("uint8", 0.1, 128), ("int8", 0.1, 0))


OP = Op(
    name="QUANTIZE",
    versions=(1, 4),
    inputs=("input",),
    options="QuantizeOptions",
    constraints=(
        dtype("input", 0, "float32", "int8", "uint8"),
        output_dtype("int8", "uint8"),
        not_empty("input", 0),
        _types_pair,
        per_tensor("8-bit input and the output", 0),
        _rescale_fits,
        float_scale_fits,
    ),
    output_shapes=same_shape,
    reference=reference(values),
    cases=_cases,
)
