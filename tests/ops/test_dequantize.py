# SPDX-License-Identifier: Apache-2.0
"""DEQUANTIZE against TFLite Micro on all 256 inputs, bit for bit, and the messages of its rules."""

import pytest
from elementwise import SCALES, check_inputs, every_byte, only_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import ZERO_POINTS, scale, with_tensor
from oracle import compiled_outputs
from tinyc import reference
from tinyc.graph import Graph
from tinyc.ops._elementwise import one_input_graph

#: Up to infinite results.
WIDE_SCALES = SCALES | st.floats(-126, 127).map(lambda e: scale(2.0**e))
LAYERS = st.builds(
    lambda kind, s, zero_point: one_input_graph(
        "DEQUANTIZE", (256,), (kind, s, zero_point + (128 if kind == "uint8" else 0)), ("float32", 0, 0)
    ),
    st.sampled_from(["int8", "uint8"]),
    WIDE_SCALES,
    ZERO_POINTS,
)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(LAYERS)
def test_every_input(graph: Graph) -> None:
    check_inputs(graph, every_byte(graph))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(LAYERS)
def test_many_quantizations(graph: Graph) -> None:
    check_inputs(graph, every_byte(graph))


def test_output_is_float32() -> None:
    graph = one_input_graph("DEQUANTIZE", (256,), ("int8", 0.25, -128), ("float32", 0, 0))
    [[output]] = compiled_outputs(graph, every_byte(graph))
    assert output.tolist() == [0.25 * (q + 128) for q in [*range(128), *range(-128, 0)]]
    assert reference.outputs(graph, every_byte(graph)[0])[0].dtype == "float32"


def test_rules() -> None:
    graph = one_input_graph("DEQUANTIZE", (3,), ("uint8", 0.1, 0), ("float32", 0, 0))
    assert "int8 or uint8. Found: int16" in only_problem(with_tensor(graph, 0, dtype="int16"))
    assert "must be float32. Found: int8" in only_problem(with_tensor(graph, 1, dtype="int8"))
    tiny = one_input_graph("DEQUANTIZE", (3,), ("int8", 2.0**-127, 0), ("float32", 0, 0))
    assert "at least 2^-126" in only_problem(tiny)
    assert "no quantization" in only_problem(with_tensor(graph, 0, quantization=None))
