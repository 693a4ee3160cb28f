# SPDX-License-Identifier: Apache-2.0
"""RELU6: min(max(x, 0), 6), requantized to the output's scale.

TFLite Micro does not requantize: it is wrong when the scales or zero points of input and output differ. The reference
there is TFLite's own kernel, which tinyc follows; with equal quantization the two agree.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import Array, Graph, Layer, Tensor
from . import Integer, Op
from ._constraints import integer_only, not_empty, one_type, per_tensor
from ._elementwise import largest, one_input_graph, real, reference, rescale, rescale_fits, same_shape
from ._fixed_point import round_half_away
from ._floats import clamp


def quantized_six(output: Tensor) -> int:
    """6 at the output's scale, at most its largest value: the quotient is in float32, as in TFLite."""
    most = largest(output)
    if 6.0 / output.scale > 100000.0:
        return most
    return min(most, output.zero_point + round_half_away(float(np.float32(6) / np.float32(output.scale))))


def values(layer: Layer, x: Array) -> Array:
    output = layer.output
    if output.dtype == "float32":
        return clamp(x, "RELU6")
    return np.clip(rescale(layer, x), output.zero_point, quantized_six(output)).astype(output.dtype)


def _cases() -> Iterator[tuple[str, Graph]]:
    yield "six inside", one_input_graph("RELU6", (1, 4, 50), ("int8", 0.1, -5), ("int8", 0.1, -5))
    yield "six above", one_input_graph("RELU6", (1, 200), ("int8", 0.02, 3), ("int8", 0.02, 3))
    yield "tie", one_input_graph("RELU6", (200,), ("int8", 4.0, -128), ("int8", 4.0, -128))
    yield "int16", one_input_graph("RELU6", (2, 90), ("int16", 3e-4, 0), ("int16", 3e-4, 0))
    yield "float32", one_input_graph("RELU6", (2, 3, 90), ("float32", 0, 0), ("float32", 0, 0))


OP = Op(
    name="RELU6",
    versions=(1, 3),
    inputs=("input",),
    constraints=(
        one_type("input and the output", 0),
        not_empty("input", 0),
        per_tensor("input and the output", 0),
        integer_only(rescale_fits),
    ),
    output_shapes=same_shape,
    reference=reference(values),
    cases=_cases,
    real=real(lambda x: np.clip(x, np.float32(0), np.float32(6))),
    integer=Integer("shared", {"float32": 1, "int8": 2, "int16": 3}),
)
