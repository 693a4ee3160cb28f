# SPDX-License-Identifier: Apache-2.0
"""QUANTIZE: float32 to int8, uint8 or int16, or from one integer quantization to another.

Where TFLite Micro's conversion from float32 is undefined (quotients beyond 32 bits, infinities, NaN) the result saturates;
NaN becomes the lowest value. float32 to uint8, which TFLite Micro lacks, follows the same formula, as in TFLite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..graph import DTYPES, Array, Graph, Layer
from . import Op
from ._constraints import dtype, integer_only, not_empty, per_tensor
from ._elementwise import float_scale_fits, one_input_graph, real, reference, rescale, rescale_fits, same_shape


def values(layer: Layer, x: Array) -> Array:
    output = layer.output
    info = np.iinfo(output.dtype)
    wide = _round_quotients(x, output.scale) + output.zero_point if x.dtype == np.float32 else rescale(layer, x)
    clamped: Array = np.clip(wide, info.min, info.max).astype(DTYPES[output.dtype])
    return clamped


def _round_quotients(x: Array, scale: float) -> Array:
    """x / scale in float32, rounded half away from zero and bounded to +-65536, NaN to -65536."""
    with np.errstate(all="ignore"):
        quotient = x / np.float32(scale)
    bounded = np.where(quotient > -65536, np.minimum(quotient, np.float32(65536)), np.float32(-65536))
    whole = np.trunc(bounded)
    rest = bounded - whole
    return whole.astype(np.int64) + (rest >= 0.5) - (rest <= -0.5)


#: The types that each type of input may become.
_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "float32": ("int8", "uint8", "int16"),
    "int8": ("int8", "uint8", "int16"),
    "uint8": ("int8",),
    "int16": ("int8", "int16"),
}


def _types_pair(layer: Layer) -> str | None:
    """float32 and int8 may become int8, uint8 or int16; uint8 int8; and int16 int8 or int16."""
    source, output = layer.input(0).dtype, layer.output.dtype
    return None if output in _OUTPUTS[source] else f"{source} to {output}"


def _rescale_fits(layer: Layer) -> str | None:
    """An integer input's scale must be less than 2^30 times the output scale, from int16 2^15 times."""
    return rescale_fits(layer)


def _cases() -> Iterator[tuple[str, Graph]]:
    shape = (2, 5, 20)
    yield "float32 to int8", one_input_graph("QUANTIZE", shape, ("float32", 0, 0), ("int8", 0.05, -7))
    yield "int8", one_input_graph("QUANTIZE", shape, ("int8", 0.1, 3), ("int8", 0.07, -12))
    yield "int8 ties", one_input_graph("QUANTIZE", shape, ("int8", 0.1, 3), ("int8", 0.2, 0))
    yield "int8 left shift", one_input_graph("QUANTIZE", shape, ("int8", 1.0, 0), ("int8", 0.01, 0))
    yield "int8 to uint8", one_input_graph("QUANTIZE", shape, ("int8", 0.1, 3), ("uint8", 0.1, 131))
    yield "uint8 to int8", one_input_graph("QUANTIZE", shape, ("uint8", 0.1, 100), ("int8", 0.13, 4))
    yield "uint8 flip", one_input_graph("QUANTIZE", shape, ("uint8", 0.1, 128), ("int8", 0.1, 0))
    yield "float32 to int16", one_input_graph("QUANTIZE", shape, ("float32", 0, 0), ("int16", 2e-4, 0))
    yield "int8 to int16", one_input_graph("QUANTIZE", shape, ("int8", 0.1, 3), ("int16", 0.001, 0))
    yield "int16 to int8", one_input_graph("QUANTIZE", shape, ("int16", 0.001, 0), ("int8", 0.2, -7))
    yield "int16", one_input_graph("QUANTIZE", shape, ("int16", 0.001, 0), ("int16", 0.0007, 0))
    yield "int16 ties", one_input_graph("QUANTIZE", shape, ("int16", 0.001, 0), ("int16", 0.002, 0))


OP = Op(
    name="QUANTIZE",
    versions=(1, 4),
    inputs=("input",),
    options="QuantizeOptions",
    constraints=(
        dtype("input", 0, *_OUTPUTS),
        not_empty("input", 0),
        _types_pair,
        per_tensor("integer input and the output", 0),
        integer_only(_rescale_fits),
        float_scale_fits,
    ),
    output_shapes=same_shape,
    reference=reference(values),
    cases=_cases,
    real=real(lambda x: x),
)
