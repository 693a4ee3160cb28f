# SPDX-License-Identifier: Apache-2.0
"""The schema data against code that others generated from TensorFlow's schema.fbs, field by field."""

import importlib
from types import ModuleType
from typing import Any

import flatbuffers
import pytest
import tinyc.exporters.flatbuffer as writer
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated
from tinyc.importers import schema
from tinyc.importers.flatbuffer import Reader

tflite = pytest.importorskip("tflite", reason="the PyPI package tflite, generated from schema.fbs, is not installed")

# Tables that tinyc reads in part; the reader skips the newer fields at their end.
PARTLY_READ = {"Tensor", "SubGraph", "Operator", "SparsityParameters"}
# Fields of old schemas that still take a slot.
DEPRECATED = {"ResizeBilinearOptions": 2, "SignatureDef": 1}

SCALAR_FIELDS = [
    (table, field.name)
    for table, fields in schema.TABLES.items()
    for field in fields.values()
    if field.type in schema.SCALARS
]
VECTOR_FIELDS = [
    (table, field.name)
    for table, fields in schema.TABLES.items()
    for field in fields.values()
    if field.element in schema.SCALARS
]
STRING_FIELDS = [
    (table, field.name)
    for table, fields in schema.TABLES.items()
    for field in fields.values()
    if field.type == "string"
]


def module_of(table: str) -> ModuleType:
    return importlib.import_module(f"tflite.{table}")


def camel(name: str) -> str:
    return "".join(part[0].upper() + part[1:] for part in name.split("_"))


class SlotCounter:
    def StartObject(self, slots: int) -> None:
        self.slots = slots


def written(table: str, values: dict[str, Any]) -> bytes:
    builder = flatbuffers.Builder(64)
    builder.Finish(writer.write(builder, table, values))
    return bytes(builder.Output())


def theirs(table: str, data: bytes) -> Any:
    return getattr(module_of(table), table).GetRootAs(data, 0)


def example(type: str) -> Any:
    # 177: the tflite package answers OperatorCode.builtin_code with the deprecated field below 128.
    return {"bool": True, "int": 177, "float": 0.625, "byte": -5, "long": -(1 << 40), "ulong": 1 << 40}.get(type, 77)


@pytest.mark.parametrize("table", schema.TABLES)
def test_number_of_slots(table: str) -> None:
    counter = SlotCounter()
    getattr(module_of(table), f"{table}Start")(counter)
    ours = len(schema.TABLES[table]) + DEPRECATED.get(table, 0)
    assert ours < counter.slots if table in PARTLY_READ else ours == counter.slots


@pytest.mark.parametrize(("table", "name"), SCALAR_FIELDS)
def test_scalar_field(table: str, name: str) -> None:
    field = schema.TABLES[table][name]
    value = not field.default if field.type == "bool" else example(field.type)
    data = written(table, {name: value})
    assert getattr(theirs(table, data), camel(name))() == value
    assert Reader(data, "test").root(table).scalar(name) == value


@pytest.mark.parametrize("table", schema.TABLES)
def test_defaults(table: str) -> None:
    data = written(table, {})
    ours = Reader(data, "test").root(table)
    for field in schema.TABLES[table].values():
        if field.type in schema.SCALARS:
            expected = getattr(theirs(table, data), camel(field.name))()
            assert (ours.scalar(field.name), field.default) == (expected, expected), field.name


@pytest.mark.parametrize(("table", "name"), VECTOR_FIELDS)
def test_vector_field(table: str, name: str) -> None:
    element = schema.TABLES[table][name].element
    values = [example(element), 0, 3] if element == "ubyte" else [example(element), 0, 1]
    data = written(table, {name: values})
    read = theirs(table, data)
    assert getattr(read, f"{camel(name)}Length")() == 3
    assert [getattr(read, camel(name))(i) for i in range(3)] == values
    assert list(Reader(data, "test").root(table).vector(name)) == values


@pytest.mark.parametrize(("table", "name"), STRING_FIELDS)
def test_string_field(table: str, name: str) -> None:
    data = written(table, {name: "Größe"})
    assert getattr(theirs(table, data), camel(name))().decode() == "Größe"
    assert Reader(data, "test").root(table).text(name) == "Größe"


@pytest.mark.parametrize(
    ("table", "name", "inner"),
    [
        ("Model", "operator_codes", {"version": 7}),
        ("Model", "subgraphs", {"name": "x"}),
        ("Model", "buffers", {"data": b"abc"}),
        ("Model", "metadata", {"buffer": 3}),
        ("Model", "signature_defs", {"signature_key": "x"}),
        ("SubGraph", "tensors", {"name": "x"}),
        ("SubGraph", "operators", {"opcode_index": 3}),
        ("SignatureDef", "inputs", {"tensor_index": 3}),
        ("SignatureDef", "outputs", {"tensor_index": 3}),
    ],
)
def test_vector_of_tables(table: str, name: str, inner: dict[str, Any]) -> None:
    data = written(table, {name: [{}, inner]})
    field, value = next(iter(inner.items()))
    found = getattr(theirs(table, data), camel(name))(1)
    if isinstance(value, bytes):
        assert found.DataAsNumpy().tobytes() == value
    else:
        assert getattr(found, camel(field))() in (value, str(value).encode())
    ours = Reader(data, "test").root(table)
    assert ours.count(name) == 2
    element = ours.element(name, 1)
    if isinstance(value, bytes):
        assert element.vector(field) == tuple(value)
    else:
        assert value == (element.text(field) if isinstance(value, str) else element.scalar(field))


def test_every_vector_of_tables_is_tested() -> None:
    tested = {mark[:2] for mark in test_vector_of_tables.pytestmark[0].args[1]}
    assert tested == {
        (table, field.name)
        for table, fields in schema.TABLES.items()
        for field in fields.values()
        if field.element and field.element not in schema.SCALARS
    }


def test_sub_tables() -> None:
    quantized = theirs("Tensor", written("Tensor", {"quantization": {"scale": [0.5]}}))
    assert quantized.Quantization().Scale(0) == 0.5
    assert theirs("Tensor", written("Tensor", {"sparsity": {"block_map": [4]}})).Sparsity().BlockMap(0) == 4


@pytest.mark.parametrize("number", range(1, len(schema.BUILTIN_OPTIONS)))
def test_options_union(number: int) -> None:
    table = schema.BUILTIN_OPTIONS[number]
    assert getattr(tflite.BuiltinOptions, table) == number
    data = written("Operator", {"builtin_options_type": number, "builtin_options": (table, {})})
    read = theirs("Operator", data)
    assert read.BuiltinOptionsType() == number
    assert read.BuiltinOptions() is not None


@pytest.mark.parametrize(
    ("names", "generated"),
    [
        (schema.BUILTIN_OPERATORS, schema_py_generated.BuiltinOperator),
        (schema.BUILTIN_OPTIONS, schema_py_generated.BuiltinOptions),
        (schema.TENSOR_TYPES, schema_py_generated.TensorType),
        (schema.PADDING, schema_py_generated.Padding),
        (schema.ACTIVATIONS, schema_py_generated.ActivationFunctionType),
    ],
)
def test_enum(names: tuple[str, ...], generated: type) -> None:
    numbers = {name: value for name, value in vars(generated).items() if isinstance(value, int)}
    assert {name.upper(): number for name, number in numbers.items()} == {
        name.upper(): number for number, name in enumerate(names)
    }


def test_options_of_operators() -> None:
    assert schema.OPTIONS_OF["CONV_2D"] == "Conv2DOptions"
    assert schema.OPTIONS_OF["MAX_POOL_2D"] == "Pool2DOptions"
    assert set(schema.OPTIONS_OF.values()) == set(schema.BUILTIN_OPTIONS[1:])
    assert set(schema.OPTIONS_OF) <= set(schema.BUILTIN_OPERATORS)
