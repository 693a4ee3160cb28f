# SPDX-License-Identifier: Apache-2.0
"""DEQUANTIZE against TFLite Micro on all 256 inputs, bit for bit, and the messages of its rules."""

import numpy as np
import pytest
from elementwise import SCALES, check_inputs, every_byte, every_int16, only_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import ZERO_POINTS, scale, with_tensor
from oracle import compiled_outputs
from tinyc import reference
from tinyc.graph import Graph, Tensor, single_node_graph
from tinyc.ops import problems
from tinyc.ops._elementwise import one_input_graph
from tinyc.passes.fold_constants import fold_constants

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


@settings(max_examples=10, deadline=None, derandomize=True)
@given(WIDE_SCALES)
def test_every_int16(s: float) -> None:
    graph = one_input_graph("DEQUANTIZE", (2**16,), ("int16", s, 0), ("float32", 0, 0))
    check_inputs(graph, every_int16(graph))


def test_float16_constants_are_folded() -> None:
    halves = np.array([0.0, -0.0, 1.5, -65504.0, 6e-8, np.inf], np.float16)
    tensors = Tensor("half", (6,), "float16", None, halves), Tensor("whole", (6,), "float32")
    graph = single_node_graph("DEQUANTIZE", tensors[:1], tensors[1:])
    assert problems(next(graph.layers())) == []
    folded = fold_constants(graph)
    assert folded.nodes == ()
    whole = folded.tensors[1].data
    assert whole is not None
    assert whole.dtype == np.float32
    assert whole.tobytes() == halves.astype(np.float32).tobytes()
    computed = with_tensor(graph, 0, data=None)
    assert "float16 input must be a constant. Found: 'half' is computed at run time" in only_problem(computed)


def test_output_is_float32() -> None:
    graph = one_input_graph("DEQUANTIZE", (256,), ("int8", 0.25, -128), ("float32", 0, 0))
    [[output]] = compiled_outputs(graph, every_byte(graph))
    assert output.tolist() == [0.25 * (q + 128) for q in [*range(128), *range(-128, 0)]]
    assert reference.outputs(graph, every_byte(graph)[0])[0].dtype == "float32"


def test_rules() -> None:
    graph = one_input_graph("DEQUANTIZE", (3,), ("uint8", 0.1, 0), ("float32", 0, 0))
    assert "int16 or float16. Found: int32" in only_problem(with_tensor(graph, 0, dtype="int32"))
    assert "must be float32. Found: int8" in only_problem(with_tensor(graph, 1, dtype="int8"))
    tiny = one_input_graph("DEQUANTIZE", (3,), ("int8", 2.0**-127, 0), ("float32", 0, 0))
    assert "at least 2^-126" in only_problem(tiny)
    assert "no quantization" in only_problem(with_tensor(graph, 0, quantization=None))
