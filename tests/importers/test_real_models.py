# SPDX-License-Identifier: Apache-2.0
"""Every public model at hand, compared with what the PyPI package `tflite` reads in the same file."""

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tinyc.importers.tflite as importer
from tinyc.errors import ModelError
from tinyc.importers import schema
from tinyc.importers.flatbuffer import Reader

tflite = pytest.importorskip("tflite", reason="the PyPI package tflite, generated from schema.fbs, is not installed")

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT.parent / "shared" / "models"
MODELS = sorted(FOLDER.rglob("*.tflite")) if FOLDER.is_dir() else []

# Real files that tinyc refuses: what its message must say.
REFUSED = {
    "litert-blockwise_quantized.tflite": "custom or blockwise quantization",
}


def options_of(operator: Any, op: str) -> dict[str, Any]:
    """Their view of an operator's options, with the schema's defaults when it has none."""
    table = schema.OPTIONS_OF.get(op)
    fields = schema.TABLES[table].values() if table else ()
    raw = operator.BuiltinOptions()
    if raw is None:
        kinds = {"string": ""}
        return {field.name: () if field.element else kinds.get(field.type, field.default) for field in fields}
    options = getattr(tflite, table)()
    options.Init(raw.Bytes, raw.Pos)
    found = {}
    for field in fields:
        camel = "".join(part[0].upper() + part[1:] for part in field.name.split("_"))
        if field.element:
            found[field.name] = tuple(getattr(options, camel)(i) for i in range(getattr(options, f"{camel}Length")()))
        else:
            value = getattr(options, camel)()
            found[field.name] = (value or b"").decode() if field.type == "string" else value
    return found


def listed(table: Any, name: str) -> tuple[int, ...]:
    return tuple(getattr(table, name)(i) for i in range(getattr(table, f"{name}Length")()))


@pytest.mark.skipif(not MODELS, reason="no folder shared/models beside the repository")
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_same_as_generated_code(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without operators, attributes are the raw options.
    monkeypatch.setattr(importer, "all_ops", dict)
    if path.name in REFUSED:
        with pytest.raises(ModelError, match=REFUSED[path.name]):
            importer.load(path)
        return
    graph = importer.load(path)
    data = path.read_bytes()
    model = tflite.Model.GetRootAsModel(data, 0)
    subgraph = model.Subgraphs(0)
    assert graph.inputs == listed(subgraph, "Inputs")
    assert graph.outputs == listed(subgraph, "Outputs")
    assert len(graph.tensors) == subgraph.TensorsLength()
    assert len(graph.nodes) == subgraph.OperatorsLength()
    for index, node in enumerate(graph.nodes):
        compare_node(node, subgraph.Operators(index), model)
    for index, tensor in enumerate(graph.tensors):
        compare_tensor(tensor, subgraph.Tensors(index), model)


def compare_node(node: Any, operator: Any, model: Any) -> None:
    code = model.OperatorCodes(operator.OpcodeIndex())
    number = max(builtin_code(code), code.DeprecatedBuiltinCode())
    name = tflite.opcode2name(number)
    assert node.op == (f"CUSTOM:{code.CustomCode().decode()}" if name == "CUSTOM" else name)
    assert node.version == code.Version()
    assert node.inputs == listed(operator, "Inputs")
    assert node.outputs == listed(operator, "Outputs")
    if name == "CUSTOM":
        size = operator.CustomOptionsLength()
        expected = {"custom_options": operator.CustomOptionsAsNumpy().tobytes()} if size else {}
        assert node.attributes == expected
    else:
        assert node.attributes == options_of(operator, node.op)


def builtin_code(code: Any) -> int:
    """The field as stored; the package's own accessor ignores it below 127."""
    offset = code._tab.Offset(10)
    return int(code._tab.Get(flatbuffers.number_types.Int32Flags, offset + code._tab.Pos)) if offset else 0


def compare_tensor(tensor: Any, theirs: Any, model: Any) -> None:
    assert tensor.name == (theirs.Name() or b"").decode()
    assert tensor.shape == listed(theirs, "Shape")
    assert tensor.variable == theirs.IsVariable()
    assert schema.TENSOR_TYPES[theirs.Type()] == tensor.dtype
    compare_quantization(tensor, theirs.Quantization())
    buffer = model.Buffers(theirs.Buffer())
    stored = buffer.DataAsNumpy() if buffer.DataLength() else None
    assert tensor.constant == (not tensor.variable and (stored is not None or 0 in tensor.shape))
    if tensor.constant and tensor.dtype not in importer.OPAQUE_TYPES:
        assert tensor.data.shape == tensor.shape
        if tensor.dtype not in importer.PACKED_BITS:
            assert tensor.data.tobytes() == (b"" if stored is None else stored.tobytes())


def compare_quantization(tensor: Any, theirs: Any) -> None:
    if theirs is None or theirs.ScaleLength() == 0:
        assert tensor.quantization is None
        return
    assert np.array_equal(np.array(tensor.quantization.scale, np.float32), theirs.ScaleAsNumpy())
    zero_points = listed(theirs, "ZeroPoint") or (0,) * theirs.ScaleLength()
    assert tensor.quantization.zero_point == zero_points
    if len(tensor.shape) > 1:
        assert tensor.quantization.axis == theirs.QuantizedDimension()


@pytest.mark.skipif(not MODELS, reason="no folder shared/models beside the repository")
def test_the_reader_reads_every_table_of_every_model() -> None:
    """All subgraphs, not only the first."""
    tables = 0
    for path in MODELS:
        pending = [Reader(path.read_bytes(), path.name).root("Model")]
        while pending:
            table = pending.pop()
            tables += 1
            for field in schema.TABLES[table.type].values():
                if field.element in schema.TABLES:
                    pending.extend(table.tables(field.name))
                elif field.type in schema.TABLES:
                    pending.extend(inner for inner in [table.table(field.name)] if inner is not None)
                elif field.type in schema.SCALARS:
                    table.scalar(field.name)
    assert tables > 50 * len(MODELS)
