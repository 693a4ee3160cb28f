# SPDX-License-Identifier: Apache-2.0
"""RELU6: min(max(x, 0), 6), requantized to the output's scale.

TFLite Micro does not requantize: it is wrong when the scales or zero points of input and output differ. The reference
there is TFLite's own kernel, which tinyc follows; with equal quantization the two agree.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import Array, Graph, Layer, Tensor
from . import Op
from ._constraints import dtype, not_empty, output_dtype, per_tensor
from ._elementwise import one_input_graph, reference, rescale, rescale_fits, same_shape
from ._fixed_point import round_half_away


def _quantized_six(output: Tensor) -> int:
    """6 at the output's scale, at most 127: the quotient is in float32, as in TFLite."""
    if 6.0 / output.scale > 1000.0:
        return 127
    return min(127, output.zero_point + round_half_away(float(np.float32(6) / np.float32(output.scale))))


def values(layer: Layer, x: Array) -> Array:
    output = layer.output
    return np.clip(rescale(layer, x), output.zero_point, _quantized_six(output)).astype(np.int8)


def _cases() -> Iterator[tuple[str, Graph]]:
    yield "six inside", one_input_graph("RELU6", (1, 4, 50), ("int8", 0.1, -5), ("int8", 0.1, -5))
    yield "six above", one_input_graph("RELU6", (1, 200), ("int8", 0.02, 3), ("int8", 0.02, 3))
    yield "tie", one_input_graph("RELU6", (200,), ("int8", 4.0, -128), ("int8", 4.0, -128))


OP = Op(
    name="RELU6",
    versions=(1, 3),
    inputs=("input",),
    constraints=(
        dtype("input", 0, "int8"),
        output_dtype("int8"),
        not_empty("input", 0),
        per_tensor("input and the output", 0),
        rescale_fits,
    ),
    output_shapes=same_shape,
    reference=reference(values),
    cases=_cases,
)
