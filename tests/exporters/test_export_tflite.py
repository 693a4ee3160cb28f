# SPDX-License-Identifier: Apache-2.0
"""What is exported is what is imported again, and TFLite Micro takes it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_micro import runtime
from tinyc.errors import ModelError
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import DTYPES, Graph, Node, Quantization, Tensor, single_node_graph
from tinyc.importers import schema
from tinyc.importers.tflite import OPAQUE_TYPES, PACKED_BITS, from_bytes, load
from tinyc.ops import all_ops

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT.parent / "shared" / "models"
MODELS = sorted(FOLDER.rglob("*.tflite")) if FOLDER.is_dir() else []


def assert_same(found: Graph, expected: Graph) -> None:
    assert found.nodes == tuple(replace(node, index=i) for i, node in enumerate(expected.nodes))
    assert (found.inputs, found.outputs) == (expected.inputs, expected.outputs)
    assert (found.input_names, found.output_names) == (expected.input_names, expected.output_names)
    assert len(found.tensors) == len(expected.tensors)
    for one, other in zip(found.tensors, expected.tensors, strict=True):
        assert (one.name, one.shape, one.dtype, one.variable) == (other.name, other.shape, other.dtype, other.variable)
        assert one.quantization == other.quantization
        assert one.constant == other.constant
        if one.data is not None and other.data is not None:
            assert (one.data.shape, one.data.dtype) == (other.data.shape, other.data.dtype)
            assert one.data.tobytes() == other.data.tobytes()


# Any graph

NAMES = st.text(st.characters(codec="utf-8").filter(str.isprintable), max_size=12)
FLOAT32 = st.floats(2.0**-100, 2.0**100, width=32)


def scalar_values(type: str) -> st.SearchStrategy[Any]:
    bits = {"byte": 8, "int": 32, "long": 64}
    if type in bits:
        return st.integers(-(1 << bits[type] - 1), (1 << bits[type] - 1) - 1)
    unsigned = {"ubyte": 8, "ushort": 16, "uint": 32, "ulong": 64}
    if type in unsigned:
        return st.integers(0, (1 << unsigned[type]) - 1)
    return st.booleans() if type == "bool" else st.floats(width=32, allow_nan=False)


def option_values(field: schema.Field) -> st.SearchStrategy[Any]:
    if field.name == "padding":
        return st.sampled_from([0, 1])
    if field.name == "fused_activation_function":
        return st.integers(0, 5)
    if field.type == "string":
        return NAMES
    if field.element:
        return st.lists(scalar_values(field.element), max_size=4).map(tuple)
    return scalar_values(field.type)


#: Operators that tinyc does not know: their attributes are the raw options.
UNKNOWN = sorted(set(schema.BUILTIN_OPERATORS) - set(all_ops()) - {"CUSTOM", "PLACEHOLDER_FOR_GREATER_OP_CODES"})


@st.composite
def operators(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    op = draw(st.sampled_from([*UNKNOWN, "CUSTOM:a-b", "CUSTOM:x:y", "BUILTIN:4000"]))
    if op.startswith("CUSTOM:"):
        options = draw(st.binary(max_size=20))
        return op, {"custom_options": options} if options else {}
    fields = schema.TABLES[schema.OPTIONS_OF[op]].values() if op in schema.OPTIONS_OF else ()
    return op, {field.name: draw(option_values(field)) for field in fields}


@st.composite
def quantizations(draw: st.DrawFn, shape: tuple[int, ...], dtype: str) -> Quantization | None:
    numpy_type = np.dtype(DTYPES[dtype])
    low, high = (-9, 9) if numpy_type.kind not in "iu" else (np.iinfo(numpy_type).min, np.iinfo(numpy_type).max)
    axis = draw(st.integers(0, len(shape) - 1)) if shape else 0
    count = draw(st.sampled_from([0, 1, shape[axis] if shape else 1]))
    zero_points = st.integers(int(max(low, -(1 << 63))), int(min(high, (1 << 63) - 1)))
    if count == 0:
        return None
    scale = draw(st.lists(FLOAT32, min_size=count, max_size=count))
    zero_point = draw(st.lists(zero_points, min_size=count, max_size=count))
    return Quantization(tuple(scale), tuple(zero_point), axis)


@st.composite
def tensors(draw: st.DrawFn, kind: str) -> Tensor:
    shape = tuple(draw(st.lists(st.integers(1, 5), max_size=4)))
    dtype = draw(st.sampled_from(sorted(DTYPES if kind == "value" else set(DTYPES) - OPAQUE_TYPES)))
    tensor = Tensor(draw(NAMES), shape, dtype, draw(quantizations(shape, dtype)), variable=kind == "variable")
    if kind != "constant":
        return tensor
    numpy_type = np.dtype(DTYPES[dtype])
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    if dtype in PACKED_BITS:
        bits = PACKED_BITS[dtype]
        low = 0 if dtype.startswith("u") else -(1 << bits - 1)
        data = random.integers(low, low + (1 << bits), shape).astype(numpy_type)
    elif dtype == "bool":
        data = random.integers(0, 2, shape).astype(np.bool_)
    else:
        data = np.frombuffer(random.bytes(tensor.elements * numpy_type.itemsize), numpy_type).reshape(shape)
    return replace(tensor, data=data)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    kinds = draw(st.lists(st.sampled_from(["constant", "variable", "value"]), min_size=1, max_size=6))
    found = [draw(tensors(kind)) for kind in kinds]
    inputs = tuple(i for i, kind in enumerate(kinds) if kind == "value")
    nodes: list[Node] = []
    for index in range(draw(st.integers(1, 4))):
        op, attributes = draw(operators())
        read = tuple(draw(st.lists(st.integers(-1, len(found) - 1), max_size=4)))
        made = tuple(range(len(found), len(found) + draw(st.integers(1, 2))))
        found.extend(draw(tensors("value")) for _ in made)
        nodes.append(Node(op, read, made, attributes, draw(st.integers(1, 20)), index))
    outputs = tuple(draw(st.lists(st.integers(len(kinds), len(found) - 1), min_size=1, max_size=3, unique=True)))
    signature = st.lists(NAMES.filter(bool), min_size=len(inputs), max_size=len(inputs), unique=True)
    input_names = tuple(draw(signature))
    output_names = tuple(f"out {index}" for index in outputs)
    return Graph(tuple(found), tuple(nodes), inputs, outputs, input_names, output_names)


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_round_trip(graph: Graph) -> None:
    data = to_bytes(graph)
    assert_same(from_bytes(data, "x.tflite"), graph)
    assert to_bytes(graph) == data


@pytest.mark.skipif(not MODELS, reason="no folder shared/models beside the repository")
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_round_trip_of_real_models(path: Path) -> None:
    try:
        graph = load(path)
    except ModelError:
        return  # tests/importers/test_real_models.py lists which these are
    if any(tensor.constant and tensor.dtype in OPAQUE_TYPES for tensor in graph.tensors):
        with pytest.raises(ModelError, match="cannot be exported"):
            to_bytes(graph)
        return
    assert_same(from_bytes(to_bytes(graph), path.name), graph)


KNOWN_CASES = [pytest.param(graph, id=f"{op.name}-{name}") for op in all_ops().values() for name, graph in op.cases()]


@pytest.mark.skipif(not KNOWN_CASES, reason="tinyc has no operators yet")
@pytest.mark.parametrize("graph", KNOWN_CASES)
def test_round_trip_of_operator_cases(graph: Graph) -> None:
    """`export` of an operator undoes its `attributes`. The first import rounds the options' numbers to float32."""
    data = to_bytes(graph)
    first = from_bytes(data, "x.tflite")
    assert to_bytes(first) == data
    for node, original in zip(first.nodes, graph.nodes, strict=True):
        rounded = {k: float(np.float32(v)) if isinstance(v, float) else v for k, v in original.attributes.items()}
        assert node.attributes == rounded


# For TFLite Micro


def hard_swish() -> Graph:
    quantization = Quantization((0.05,), (3,))
    shape = (1, 6)
    return single_node_graph(
        "HARD_SWISH", (Tensor("x", shape, "int8", quantization),), (Tensor("y", shape, "int8", quantization),)
    )


def maximum() -> Graph:
    quantization = Quantization((0.05,), (3,))
    data = np.array([[-100, 3, 50]], np.int8)
    table = Tensor("table", (1, 3), "int8", quantization, data)
    return single_node_graph(
        "MAXIMUM", (Tensor("x", (1, 3), "int8", quantization), table), (Tensor("y", (1, 3), "int8", quantization),)
    )


def test_tflite_micro_runs_what_is_exported() -> None:
    interpreter = runtime.Interpreter.from_bytes(to_bytes(maximum()))
    interpreter.set_input(np.array([[-128, 10, 40]], np.int8), 0)
    interpreter.invoke()
    assert interpreter.get_output(0).tolist() == [[-100, 10, 50]]
    interpreter = runtime.Interpreter.from_bytes(to_bytes(hard_swish()))
    interpreter.set_input(np.full((1, 6), 3, np.int8), 0)
    interpreter.invoke()
    assert interpreter.get_output(0).tolist() == [[3] * 6]


def test_constants_are_aligned_in_the_file() -> None:
    shapes = [(9,), (16,), (17,), (5, 7)]
    constants = [
        Tensor(f"c{i}", shape, "int8", data=np.full(shape, 101 + i, np.int8)) for i, shape in enumerate(shapes)
    ]
    graph = single_node_graph("CONCATENATION", tuple(constants), (Tensor("y", (1,), "int8"),))
    data = to_bytes(replace(graph, nodes=(replace(graph.nodes[0], op="CUSTOM:any", attributes={}),)))
    for i, constant in enumerate(constants):
        assert data.index(bytes([101 + i]) * constant.bytes) % 16 == 0


def test_identifier_and_description() -> None:
    data = to_bytes(hard_swish())
    assert data[4:8] == b"TFL3"
    assert b"tinyc" in data
    assert data.count(b"serving_default") == 1


# Faults


def test_operator_that_tflite_does_not_have() -> None:
    graph = hard_swish()
    with pytest.raises(ModelError, match="operator CONV_9D: TFLite has no such operator"):
        to_bytes(replace(graph, nodes=(replace(graph.nodes[0], op="CONV_9D"),)))


@pytest.mark.parametrize("op", ["HARD_SWISH", "FLOOR", "GELU"])
def test_option_that_tflite_does_not_have(op: str) -> None:
    graph = hard_swish()
    with pytest.raises(ModelError, match=f"operator 0 {op} 'y': TFLite has no option colour"):
        to_bytes(replace(graph, nodes=(replace(graph.nodes[0], op=op, attributes={"colour": 1}),)))


def test_opaque_constant() -> None:
    table = Tensor("table", (2,), "string", data=np.zeros(2, np.void))
    graph = single_node_graph("CUSTOM:lookup", (table,), (Tensor("y", (1,), "int8"),))
    with pytest.raises(ModelError, match="tensor 'table': constants of type string cannot be exported"):
        to_bytes(graph)
