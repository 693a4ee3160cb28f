# SPDX-License-Identifier: Apache-2.0
"""TANH: hyperbolic tangent.

In float32 with an exp of our own (`_float_exp.py`), the same bits on every target: some units in the last place away from TFLite Micro,
which calls the C library's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import Graph, Quantization
from . import Integer, Op, _float_exp
from ._constraints import integer_only, not_empty, one_type, per_tensor
from ._elementwise import one_input_graph, real, reference, same_shape
from ._exponential import tanh
from ._sigmoid import INT16_OUTPUT, input_scale_fits, output_quantization, sigmoid_values

values = sigmoid_values(tanh, output_bits=7, zero_point=0, float_values=_float_exp.tanh)


def _cases() -> Iterator[tuple[str, Graph]]:
    for name, scale, zero_point in [
        ("usual", 0.03, 4),
        ("fine", 1e-4, -128),
        ("coarse", 3.0, 0),
        ("saturated", 40.0, 127),
    ]:
        yield name, one_input_graph("TANH", (4, 50), ("int8", scale, zero_point), ("int8", 1 / 128, 0))
    for name, scale in [
        ("usual", 2e-4),
        ("power of two", 2.0**-12),
        ("2^-11", 2.0**-11),
        ("coarse", 2.5),
        ("fine", 1e-8),
    ]:
        yield f"int16 {name}", one_input_graph("TANH", (4, 50), ("int16", scale, 0), ("int16", 2.0**-15, 0))
    yield "float32", one_input_graph("TANH", (4, 90), ("float32", 0, 0), ("float32", 0, 0))


OP = Op(
    name="TANH",
    versions=(1, 3),
    inputs=("input",),
    constraints=(
        one_type("input and the output", 0),
        not_empty("input", 0),
        per_tensor("input and the output", 0),
        integer_only(output_quantization(1 / 128, 0)),
        integer_only(input_scale_fits),
    ),
    output_shapes=same_shape,
    reference=reference(values),
    cases=_cases,
    real=real(np.tanh),
    integer=Integer(
        "fixed",
        {"float32": 1, "int8": 2, "int16": 3},
        {"int8": Quantization((1 / 128,), (0,)), "int16": INT16_OUTPUT},
    ),
)
