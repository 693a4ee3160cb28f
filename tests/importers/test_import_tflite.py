# SPDX-License-Identifier: Apache-2.0
"""From a file to a Graph: what is kept, and what every kind of fault is called."""

import copy
import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tinyc.importers.tflite as importer
from tinyc.errors import ModelError
from tinyc.exporters.tflite import file_bytes
from tinyc.importers.schema import BUILTIN_OPERATORS, BUILTIN_OPTIONS, TENSOR_TYPES

# HARD_SWISH and FLOOR_DIV stand for operators that the tests need to know nothing about.
UNARY = BUILTIN_OPERATORS.index("HARD_SWISH")
BINARY = BUILTIN_OPERATORS.index("FLOOR_DIV")
CUSTOM = BUILTIN_OPERATORS.index("CUSTOM")

Model = dict[str, Any]


def tensor(name: str, shape: list[int], type: str = "int8", **fields: Any) -> Model:
    return {"name": name, "shape": shape, "type": TENSOR_TYPES.index(type), **fields}


@pytest.fixture
def model() -> Model:
    """x → HARD_SWISH → FLOOR_DIV by a constant → y."""
    scale = {"scale": [0.1], "zero_point": [-3]}
    return {
        "version": 3,
        "operator_codes": [
            {"builtin_code": UNARY, "deprecated_builtin_code": UNARY},
            {"builtin_code": BINARY, "deprecated_builtin_code": BINARY, "version": 2},
        ],
        "subgraphs": [
            {
                "tensors": [
                    tensor("x", [1, 4], quantization=scale),
                    tensor("middle", [1, 4], quantization=scale),
                    tensor("table", [4], buffer=1, quantization={"scale": [0.25]}),
                    tensor("y", [1, 4], quantization=scale),
                ],
                "operators": [
                    {"opcode_index": 0, "inputs": [0], "outputs": [1]},
                    {"opcode_index": 1, "inputs": [1, 2], "outputs": [3]},
                ],
                "inputs": [0],
                "outputs": [3],
            }
        ],
        "buffers": [{}, {"data": bytes([1, 2, 254, 255])}],
    }


def graph_of(model: Model) -> importer.Graph:
    return importer.from_bytes(file_bytes(model), "x.tflite")


def error_of(data: bytes) -> ModelError:
    with pytest.raises(ModelError) as caught:
        importer.from_bytes(data, "x.tflite")
    assert caught.value.where.startswith("x.tflite")
    return caught.value


def refused(model: Model, *patterns: str) -> ModelError:
    """The error for a model; each pattern is somewhere in its text."""
    error = error_of(file_bytes(model))
    for pattern in patterns:
        assert re.search(pattern, str(error)), str(error)
    return error


# What is kept


def test_graph(model: Model) -> None:
    graph = graph_of(model)
    assert [t.name for t in graph.tensors] == ["x", "middle", "table", "y"]
    assert [t.shape for t in graph.tensors] == [(1, 4), (1, 4), (4,), (1, 4)]
    assert [(n.op, n.version, n.inputs, n.outputs, n.index) for n in graph.nodes] == [
        ("HARD_SWISH", 1, (0,), (1,), 0),
        ("FLOOR_DIV", 2, (1, 2), (3,), 1),
    ]
    assert (graph.inputs, graph.outputs, graph.input_names, graph.output_names) == ((0,), (3,), ("x",), ("y",))
    assert graph.tensors[2].data is not None
    assert graph.tensors[2].data.tolist() == [1, 2, -2, -1]
    assert graph.source.size == len(file_bytes(model))
    assert re.fullmatch("[0-9a-f]{64}", graph.source.sha256)


def test_scale_is_the_float32_of_the_file(model: Model) -> None:
    quantization = graph_of(model).tensors[0].quantization
    assert quantization is not None
    assert quantization.scale == (float(np.float32(0.1)),)
    assert quantization.zero_point == (-3,)


def test_quantization_without_scale_is_none(model: Model) -> None:
    model["subgraphs"][0]["tensors"][0]["quantization"] = {"min": [0.0], "max": [1.0]}
    assert graph_of(model).tensors[0].quantization is None


def test_absent_zero_point_is_zero(model: Model) -> None:
    quantization = graph_of(model).tensors[2].quantization
    assert quantization is not None
    assert quantization.zero_point == (0,)


def test_per_channel(model: Model) -> None:
    weights = tensor("w", [2, 3], buffer=1, quantization={"scale": [1, 2, 4], "quantized_dimension": 1})
    model["subgraphs"][0]["tensors"].append(weights)
    model["buffers"][1]["data"] = bytes(6)
    model["subgraphs"][0]["tensors"][2]["shape"] = [6]
    found = graph_of(model).tensors[4].quantization
    assert found == importer.Quantization((1.0, 2.0, 4.0), (0, 0, 0), 1)


def test_axis_of_a_vector_is_zero(model: Model) -> None:
    """Old converters give the bias the quantized dimension of the weights."""
    model["subgraphs"][0]["tensors"][2]["quantization"] = {"scale": [1, 2, 3, 4], "quantized_dimension": 3}
    found = graph_of(model).tensors[2].quantization
    assert found is not None
    assert found.axis == 0


@pytest.mark.parametrize("shift", range(8))
@pytest.mark.parametrize("dtype", ["int16", "int32", "int64", "float32"])
def test_any_alignment(model: Model, shift: int, dtype: str) -> None:
    values = np.array([1, -2, 300, -4], dtype)
    model["subgraphs"][0]["tensors"][2] = tensor("table", [4], dtype, buffer=1)
    size = len(values.tobytes())
    model["buffers"][1] = {"offset": 1 << 40, "size": size}
    behind = len(file_bytes(model)) + shift
    model["buffers"][1] = {"offset": behind, "size": size}
    data = file_bytes(model) + bytes(shift) + values.tobytes()
    found = importer.from_bytes(data, "x").tensors[2].data
    assert found is not None
    assert found.dtype == values.dtype
    assert found.tolist() == values.tolist()
    assert found.flags.aligned
    assert not found.flags.writeable


def test_data_behind_the_flatbuffer_must_be_in_the_file(model: Model) -> None:
    model["buffers"][1] = {"offset": 1 << 40, "size": 4}
    refused(model, r"Buffer.offset at byte 1099511627776", "4 bytes are needed")


@pytest.mark.parametrize(
    ("dtype", "stored", "expected"),
    [
        ("int4", b"\x21\xf8\x07", [1, 2, -8, -1, 7]),
        ("uint4", b"\x21\xf8\x07", [1, 2, 8, 15, 7]),
        ("int2", b"\xe4\x01", [0, 1, -2, -1, 1]),
        ("bool", b"\x00\x01\xff\x02\x00", [False, True, True, True, False]),
        ("float16", np.array([0.5, 1, -2, 3, 4], np.float16).tobytes(), [0.5, 1, -2, 3, 4]),
        ("uint64", np.array([1, 2, 3, 4, 1 << 63], np.uint64).tobytes(), [1, 2, 3, 4, 1 << 63]),
    ],
)
def test_element_types(model: Model, dtype: str, stored: bytes, expected: list[Any]) -> None:
    model["subgraphs"][0]["tensors"][2] = tensor("table", [5], dtype, buffer=1)
    model["buffers"][1]["data"] = stored
    found = graph_of(model).tensors[2]
    assert found.dtype == dtype
    assert found.data is not None
    assert found.data.tolist() == expected


@pytest.mark.parametrize("dtype", ["string", "resource", "variant", "bfloat16"])
def test_opaque_types_load(model: Model, dtype: str) -> None:
    model["subgraphs"][0]["tensors"][2] = tensor("table", [2, 3], dtype, buffer=1)
    found = graph_of(model).tensors[2]
    assert (found.dtype, found.constant, found.shape, found.bytes) == (dtype, True, (2, 3), 0)


def test_shape_signature_is_ignored(model: Model) -> None:
    model["subgraphs"][0]["tensors"][0]["shape_signature"] = [-1, 4]
    assert graph_of(model).tensors[0].shape == (1, 4)


def test_variable_tensor(model: Model) -> None:
    model["subgraphs"][0]["tensors"][2]["is_variable"] = True
    found = graph_of(model).tensors[2]
    assert found.variable
    assert not found.constant


def test_custom_and_newer_operators(model: Model) -> None:
    model["operator_codes"] = [
        {"builtin_code": CUSTOM, "deprecated_builtin_code": CUSTOM, "custom_code": "edgetpu-custom-op"},
        {"builtin_code": 999, "deprecated_builtin_code": 127},
    ]
    model["subgraphs"][0]["operators"][0]["custom_options"] = b"\x01\x02"
    first, second = graph_of(model).nodes
    assert (first.op, first.attributes) == ("CUSTOM:edgetpu-custom-op", {"custom_options": b"\x01\x02"})
    assert (second.op, second.attributes) == ("BUILTIN:999", {})


def test_old_files_have_only_the_deprecated_code(model: Model) -> None:
    model["operator_codes"][0] = {"deprecated_builtin_code": UNARY}
    assert graph_of(model).nodes[0].op == "HARD_SWISH"


def test_options_of_unknown_operators_are_kept(model: Model) -> None:
    gelu = BUILTIN_OPERATORS.index("GELU")
    model["operator_codes"][0] = {"builtin_code": gelu, "deprecated_builtin_code": 127}
    assert graph_of(model).nodes[0].attributes == {"approximate": False}
    options = {
        "builtin_options_type": BUILTIN_OPTIONS.index("GeluOptions"),
        "builtin_options": ("GeluOptions", {"approximate": True}),
    }
    model["subgraphs"][0]["operators"][0].update(options)
    assert graph_of(model).nodes[0].attributes == {"approximate": True}


def test_options_that_are_absent_have_the_defaults(model: Model) -> None:
    for name, expected in (
        ("VAR_HANDLE", {"container": "", "shared_name": ""}),
        ("BUCKETIZE", {"boundaries": ()}),
        ("UNIQUE", {"idx_out_type": 2}),
    ):
        model["operator_codes"][0] = {"builtin_code": BUILTIN_OPERATORS.index(name)}
        assert graph_of(model).nodes[0].attributes == expected


def test_negative_operator_code(model: Model) -> None:
    model["operator_codes"][0] = {"builtin_code": -66, "deprecated_builtin_code": -66}
    refused(model, "OperatorCode.builtin_code", "operator number -66")


def test_operator_without_outputs(model: Model) -> None:
    call_once = BUILTIN_OPERATORS.index("CALL_ONCE")
    model["operator_codes"].append({"builtin_code": call_once, "deprecated_builtin_code": 127})
    model["subgraphs"][0]["operators"].append({"opcode_index": 2, "inputs": [], "outputs": []})
    assert graph_of(model).nodes[2].op == "CALL_ONCE"


def test_scratch_tensor_of_an_accelerator_operator(model: Model) -> None:
    """Vela writes operators of which some inputs are memory without a value."""
    code = {"builtin_code": CUSTOM, "deprecated_builtin_code": CUSTOM, "custom_code": "ethos-u"}
    model["operator_codes"].append(code)
    model["subgraphs"][0]["tensors"] += [tensor("scratch", [100], "uint8"), tensor("z", [1])]
    model["subgraphs"][0]["operators"].append({"opcode_index": 2, "inputs": [3, 4], "outputs": [5]})
    assert graph_of(model).nodes[2].inputs == (3, 4)


def test_absent_optional_input(model: Model) -> None:
    model["subgraphs"][0]["operators"][1]["inputs"] = [1, 2, -1]
    assert graph_of(model).nodes[1].inputs == (1, 2, -1)


def test_constant_output(model: Model) -> None:
    model["subgraphs"][0]["outputs"] = [3, 2]
    assert graph_of(model).output_names == ("y", "table")


def test_first_of_several_subgraphs(model: Model) -> None:
    model["subgraphs"].append(copy.deepcopy(model["subgraphs"][0]))
    model["subgraphs"][1]["tensors"][0]["shape"] = [-1]
    assert len(graph_of(model).nodes) == 2


def test_signature_names(model: Model) -> None:
    model["signature_defs"] = [
        {"subgraph_index": 1, "inputs": [{"name": "wrong", "tensor_index": 0}]},
        {
            "inputs": [{"name": "audio", "tensor_index": 0}],
            "outputs": [{"name": "other", "tensor_index": 1}],
            "signature_key": "serving_default",
        },
    ]
    graph = graph_of(model)
    assert (graph.input_names, graph.output_names) == (("audio",), ("y",))


def test_names_become_unique(model: Model) -> None:
    tensors = model["subgraphs"][0]["tensors"]
    for index, name in enumerate(["same", "same", "same_2", ""]):
        tensors[index]["name"] = name
    model["subgraphs"][0]["outputs"] = [1, 3, 2, 1]
    assert graph_of(model).output_names == ("same", "output_1", "same_2", "same_3")


def test_data_after_the_end_changes_nothing(model: Model) -> None:
    first = graph_of(model)
    second = importer.from_bytes(file_bytes(model) + b"garbage" * 100, "x.tflite")
    assert (first.nodes, first.inputs, first.outputs) == (second.nodes, second.inputs, second.outputs)


# Faults


def test_truncated_file_says_so(model: Model) -> None:
    """Cut anywhere before its last table, the file is refused; the exporter writes the tables front to back."""
    data = file_bytes(model)
    for size in range(8, len(data) // 2):
        assert "cut short" in error_of(data[:size]).hint


@pytest.mark.parametrize("shape", [[-1, 4], [0, 4], [1, -4], [4, 0]])
def test_dynamic_shape(model: Model, shape: list[int]) -> None:
    model["subgraphs"][0]["tensors"][0]["shape"] = shape
    refused(model, r"tensor 0 'x'", re.escape(f"shape {shape}"), "fixed input shape")


def test_empty_constant(model: Model) -> None:
    """The axes of a MEAN over none, the new shape of a RESHAPE to a scalar."""
    model["subgraphs"][0]["tensors"][2] = tensor("axes", [0], "int32", buffer=0)
    found = graph_of(model).tensors[2]
    assert found.data is not None
    assert (found.data.shape, found.data.dtype) == ((0,), np.int32)
    model["subgraphs"][0]["tensors"][2]["shape"] = [-1]
    refused(model, "tensor 2 'axes'", r"shape \[-1\]")


def test_shape_limits(model: Model) -> None:
    model["subgraphs"][0]["tensors"][1]["shape"] = [1] * 9
    refused(model, "tensor 1 'middle'", "9 dimensions", "at most 8")
    model["subgraphs"][0]["tensors"][1]["shape"] = [1 << 16, (1 << 15) + 1]
    refused(model, "tensor 1 'middle'", "2,147,549,184 elements")


@pytest.mark.parametrize("size", [0, 3, 5, 400])
def test_data_size(model: Model, size: int) -> None:
    model["buffers"][1]["data"] = bytes(size)
    if size == 0:
        refused(model, r"operator 1 FLOOR_DIV: reads tensor 2 'table' before any operator has made it")
    else:
        refused(model, "tensor 2 'table'", f"buffer 1\\) has {size} bytes", r"4 bytes for int8 of shape \[4\]")


@pytest.mark.parametrize(
    ("quantization", "pattern"),
    [
        ({"scale": [float("nan")]}, "not finite"),
        ({"scale": [float("inf")]}, "not finite"),
        ({"scale": [-1.0]}, "negative"),
        ({"scale": [0.0]}, "scale of 0"),
        ({"scale": [1.0], "zero_point": [200]}, "zero point outside its type"),
        ({"scale": [1.0], "zero_point": [1, 2]}, "1 scales and 2 zero points"),
        ({"scale": [1.0, 2.0]}, r"2 scales along dimension 0 of shape \[1, 4\]"),
        ({"scale": [1.0] * 4, "quantized_dimension": 2}, "4 scales along dimension 2"),
        ({"scale": [1.0] * 4, "quantized_dimension": -1}, "4 scales along dimension -1"),
        ({"details_type": 1, "scale": [1.0]}, "custom or blockwise"),
    ],
)
def test_quantization_faults(model: Model, quantization: Model, pattern: str) -> None:
    model["subgraphs"][0]["tensors"][0]["quantization"] = quantization
    refused(model, "tensor 0 'x'", pattern)


def test_type_number(model: Model) -> None:
    model["subgraphs"][0]["tensors"][0]["type"] = 77
    refused(model, "tensor 0 'x'", "element type number 77")


def test_sparse_tensor(model: Model) -> None:
    model["subgraphs"][0]["tensors"][2]["sparsity"] = {"traversal_order": [0]}
    refused(model, "tensor 2 'table'", "sparse")


def test_buffer_number(model: Model) -> None:
    model["subgraphs"][0]["tensors"][2]["buffer"] = 9
    refused(model, "tensor 2 'table'", "buffer 9", "2 buffers")


@pytest.mark.parametrize(
    ("change", "patterns"),
    [
        (lambda s: s["operators"][0].update(inputs=[4]), ["operator 0 HARD_SWISH", "input tensor 4", "0 to 3"]),
        (lambda s: s["operators"][0].update(inputs=[-2]), ["operator 0 HARD_SWISH", "input tensor -2"]),
        (lambda s: s["operators"][0].update(outputs=[-1]), ["operator 0 HARD_SWISH", "output tensor -1"]),
        (lambda s: s["operators"][0].update(opcode_index=2), ["operator 0", "operator code 2", "2 codes"]),
        (lambda s: s["operators"][0].update(outputs=[2]), ["writes tensor 2 'table', which already has a value"]),
        (lambda s: s["operators"][0].update(outputs=[0]), ["writes tensor 0 'x', which already has a value"]),
        (lambda s: s["operators"][1].update(outputs=[1]), ["operator 1 FLOOR_DIV", "writes tensor 1"]),
        (lambda s: s["operators"].reverse(), ["operator 0 FLOOR_DIV", "reads tensor 1 'middle' before"]),
        (lambda s: s.update(inputs=[7]), ["inputs of the network", "tensor 7"]),
        (lambda s: s.update(inputs=[2]), ["tensor 2 'table'", "input that is a constant"]),
        (lambda s: s.update(inputs=[0, 0]), ["tensor 0 'x'", "listed twice"]),
        (lambda s: s.update(outputs=[-1]), ["outputs of the network", "tensor -1"]),
        (lambda s: s.update(outputs=[]), ["outputs of the network", "none"]),
        (lambda s: s.update(outputs=[3] * 5), ["outputs of the network", "5 tensors", "at most 4"]),
        (lambda s: s["operators"].pop(), ["tensor 3 'y'", "no operator computes"]),
    ],
)
def test_wiring(model: Model, change: Callable[[Model], object], patterns: list[str]) -> None:
    change(model["subgraphs"][0])
    refused(model, *patterns)


def test_wrong_options_table(model: Model) -> None:
    options = {
        "builtin_options_type": BUILTIN_OPTIONS.index("SoftmaxOptions"),
        "builtin_options": ("SoftmaxOptions", {}),
    }
    model["subgraphs"][0]["operators"][0].update(options)
    refused(model, "operator 0 HARD_SWISH", "SoftmaxOptions as its options", "HardSwishOptions")


def test_enumeration_out_of_range(model: Model) -> None:
    code = BUILTIN_OPERATORS.index("DIV")
    model["operator_codes"][1] = {"builtin_code": code, "deprecated_builtin_code": code}
    options = {
        "builtin_options_type": BUILTIN_OPTIONS.index("DivOptions"),
        "builtin_options": ("DivOptions", {"fused_activation_function": 9}),
    }
    model["subgraphs"][0]["operators"][1].update(options)
    refused(model, "operator 1 DIV", "fused_activation_function 9", "0 to 5")


def test_no_subgraph(model: Model) -> None:
    model["subgraphs"] = []
    refused(model, "Model.subgraphs", "holds no network")


def test_schema_version(model: Model) -> None:
    model["version"] = 2
    refused(model, "schema version 2")


def test_names_in_messages_are_safe_and_short(model: Model) -> None:
    model["subgraphs"][0]["tensors"][0].update(name="\x1b[31m" + "n" * 5000, shape=[0])
    text = str(refused(model, "tensor 0"))
    assert "\x1b" not in text
    assert len(text) < 500


def test_buffers_that_overlap(model: Model) -> None:
    """A few hundred buffers that each claim the whole file would fill the memory."""
    size = 1000
    subgraph = model["subgraphs"][0]
    subgraph["tensors"] += [tensor(f"t{i}", [size], "int16", buffer=2 + i) for i in range(100)]
    model["buffers"] += [{"offset": 2 + i, "size": 2 * size} for i in range(100)]
    refused(model, "overlaps other data")


# Labels


def metadata_flatbuffer(names: list[str]) -> bytes:
    """A metadata buffer that names label files for output 0, written slot by slot from metadata_schema.fbs."""
    builder = flatbuffers.Builder(64)

    def table(slots: int, references: dict[int, int], numbers: dict[int, int] | None = None) -> int:
        builder.StartObject(slots)
        for slot, offset in references.items():
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, number in (numbers or {}).items():
            builder.PrependInt8Slot(slot, number, 0)
        return int(builder.EndObject())

    def vector(offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    files = vector([table(4, {0: builder.CreateString(name)}, {2: 2}) for name in names])
    output = table(7, {6: files})
    subgraph = table(5, {3: vector([output])})
    builder.Finish(table(8, {3: vector([subgraph])}), b"M001")
    return bytes(builder.Output())


def with_metadata(model: Model, names: list[str], files: dict[str, bytes]) -> bytes:
    model["buffers"].append({"data": metadata_flatbuffer(names)})
    model["metadata"] = [{"name": "TFLITE_METADATA", "buffer": len(model["buffers"]) - 1}]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, content in files.items():
            writer.writestr(name, content)
    return file_bytes(model) + archive.getvalue()


FOUR = b"yes\nno\r\nmaybe\nunknown\n"


@pytest.mark.parametrize(
    ("names", "files", "expected"),
    [
        (["labels.txt"], {"labels.txt": FOUR}, ("yes", "no", "maybe", "unknown")),
        (["labels.txt"], {"labels.txt": FOUR, "other.txt": b"1\n2\n3\n4"}, ("yes", "no", "maybe", "unknown")),
        ([], {"any.txt": FOUR, "readme.txt": b"two\nlines"}, ("yes", "no", "maybe", "unknown")),
        ([], {"a.txt": FOUR, "b.txt": FOUR}, ()),
        (["en.txt", "de.txt"], {"en.txt": FOUR, "de.txt": b"ja\nnein\nvielleicht\nunbekannt"}, ()),
        (["labels.txt"], {"labels.txt": b"one\ntwo"}, ()),
        (["labels.txt"], {"labels.txt": b"\xff\xfe\n\n\n"}, ()),
        (["labels.txt"], {"labels.bin": FOUR}, ()),
        (["labels.txt"], {f"{i}.txt": FOUR for i in range(100)}, ()),
        (["labels.txt"], {"labels.txt": b"\n" * (2 << 20)}, ()),
    ],
)
def test_labels(model: Model, names: list[str], files: dict[str, bytes], expected: tuple[str, ...]) -> None:
    assert importer.from_bytes(with_metadata(model, names, files), "x.tflite").labels == expected


def test_broken_metadata_is_ignored(model: Model) -> None:
    data = with_metadata(model, ["labels.txt"], {"labels.txt": FOUR})
    complete = importer.from_bytes(data, "x.tflite")
    assert complete.labels
    archive = data.index(b"PK\x03\x04")
    for position in range(archive, len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        assert importer.from_bytes(bytes(damaged), "x.tflite").nodes == complete.nodes
    model["metadata"][0]["buffer"] = 1000
    assert graph_of(model).labels == ()
    model["metadata"][0]["buffer"] = len(model["buffers"]) - 1
    metadata = bytearray(model["buffers"][-1]["data"])
    for position in range(len(metadata)):
        model["buffers"][-1]["data"] = bytes(metadata[:position]) + b"\xff\xff" + bytes(metadata[position + 2 :])
        assert graph_of(model).nodes == complete.nodes


def test_zip_bomb(model: Model) -> None:
    """An entry that lies about its size: 64 MiB behind a directory that says 20 bytes."""
    data = bytearray(with_metadata(model, ["labels.txt"], {"labels.txt": b"\n" * (64 << 20)}))
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (20).to_bytes(4, "little")
    assert importer.from_bytes(bytes(data), "x.tflite").labels == ()


# Files that are no models


def zipped(names: list[str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name in names:
            writer.writestr(name, b"content")
    return archive.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 300568\n"

WRONG_FILES = {
    "empty": (b"", "an empty file", "download"),
    "zeros": (bytes(5000), "5000 bytes that begin with zeros", "download"),
    "lfs": (LFS, "a git-lfs pointer", "git lfs pull"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "a Keras model or weights", "tinyc quantize FILE"),
    "keras": (
        zipped(["metadata.json", "config.json", "model.weights.h5"]),
        r"a Keras model \(.keras\)",
        "tinyc quantize FILE",
    ),
    "pytorch": (zipped(["archive/data.pkl", "archive/data/0"]), "a PyTorch model", "litert-torch"),
    "zipped tflite": (zipped(["model.tflite"]), "a zip archive with a .tflite file", "unzip"),
    "npz": (zipped(["a.npy"]), "a numpy archive", "check"),
    "zip": (zipped(["a.bin"]), "a zip archive", "unzip"),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\xff\x01", "an ONNX model", "onnx2tf"),
    "saved model": (b"\x08\x01\x12\xf0\x01\x0a\x05serve tags tensorflow", "saved_model.pb", "tinyc quantize FOLDER"),
    "frozen graph": (b"\x0a\x20\x0a\x05input\x12\x0bPlaceholder", "a frozen TensorFlow graph", "from_frozen_graph"),
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "a gzip archive", "gunzip"),
    "json": (b'{"version": 3, "operator_codes": []}', "a JSON file", "flatc"),
    "html": (b"\n<!DOCTYPE html><html></html>", "a web page", "raw file"),
    "text": (b"hello, this is a note\n", "a text file", "check"),
    "elf": (b"\x7fELF\x02\x01\x01" + bytes(100), "an ELF", "check"),
    "numpy": (b"\x93NUMPY\x01\x00" + bytes(100), "a numpy array", "check"),
    "old schema": (b"\x1c\0\0\0TFL2" + bytes(100), "another schema, TFL2", "recent"),
    "noise": (bytes(range(200, 256)), "begins with c8 c9 ca", "check"),
    "C array": (
        b"#include <x.h>\nalignas(16) const unsigned char g_model[] = {0x1c, 0x00,",
        "the array g_model",
        "python3 -c",
    ),
    "xxd": (b"unsigned char model_tflite[] = {\n  0x1c, 0x00, 0x00", "the array model_tflite", "python3 -c"),
    "C array with attribute": (
        b'const unsigned char g[] __attribute__((aligned(8))) = {\n 0x20, 0x00, 0x00, 0x00, 0x54, // "TFL3"',
        "the array g,",
        "python3 -c",
    ),
}


@pytest.mark.parametrize("kind", WRONG_FILES)
def test_wrong_file(kind: str) -> None:
    data, found, hint = WRONG_FILES[kind]
    error = error_of(data)
    assert re.search(found, error.found), error.found
    assert re.search(hint, error.hint), error.hint
    assert ".tflite file" in error.expected


def test_leading_garbage(model: Model) -> None:
    error = error_of(b"HTTP/1.1 200 OK\r\n\r\n" + file_bytes(model))
    assert "with 19 other bytes in front" in error.found
    assert "tail -c +20" in error.hint


def test_c_array_hint_works(model: Model, tmp_path: Path) -> None:
    data = file_bytes(model)
    source = (
        "unsigned char g_model[] = {"
        + ", ".join(f"0x{byte:02x}" for byte in data)
        + "};\nunsigned int g_model_len = 5;\n"
    )
    (tmp_path / "model.cc").write_text(source)
    hint = error_of(source.encode()).hint
    command = hint[hint.index("python3 -c") :].replace("python3", sys.executable, 1).replace(" FILE", " model.cc")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert (tmp_path / "model.tflite").read_bytes() == data


# Reading from disk


def test_load(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "kws.tflite"
    path.write_bytes(file_bytes(model))
    assert importer.load(path).source == replace(graph_of(model).source, file_name="kws.tflite")
    assert importer.load(str(path)).source.file_name == "kws.tflite"


def test_missing_file(model: Model, tmp_path: Path) -> None:
    (tmp_path / "keywords.tflite").write_bytes(b"")
    with pytest.raises(ModelError, match=r"no such file(.|\n)*did you mean 'keywords.tflite'"):
        importer.load(tmp_path / "keyword.tflite")
    with pytest.raises(ModelError, match=r"folder .* does not exist"):
        importer.load(tmp_path / "nowhere" / "keyword.tflite")
    (tmp_path / "none").mkdir()
    with pytest.raises(ModelError, match=r"there is no .tflite file in the folder"):
        importer.load(tmp_path / "none" / "keyword.tflite")
    with pytest.raises(ModelError, match="cannot be read: File name too long"):
        importer.load("n" * 5000)


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a folder(.|\n)*path of a .tflite file"):
        importer.load(tmp_path)
    (tmp_path / "a.tflite").touch()
    with pytest.raises(ModelError, match=r"one of the files in it: a.tflite"):
        importer.load(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelError, match="SavedModel"):
        importer.load(tmp_path)


def test_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tflite")
    with pytest.raises(ModelError, match="not a regular file"):
        importer.load(tmp_path / "pipe.tflite")


def test_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tflite"
    with path.open("wb") as file:
        file.truncate(importer.MAX_FILE_BYTES + 1)
    with pytest.raises(ModelError, match=r"537 MB(.|\n)*at most 512 MiB"):
        importer.load(path)


# Files that would exhaust their reader

HEADROOM = """
import resource, sys, tinyc.importers.tflite as importer
from tinyc.errors import ModelError
from tinyc.ops import problems
from pathlib import Path
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    graph = importer.load(sys.argv[1])
    for layer in graph.layers():
        problems(layer)
    print("loaded", len(graph.nodes))
except ModelError as error:
    print("refused", str(error)[:300])
"""


def many_inputs(model: Model) -> Model:
    code = BUILTIN_OPERATORS.index("CONCATENATION")
    model["operator_codes"][0] = {"builtin_code": code, "deprecated_builtin_code": code}
    model["subgraphs"][0]["operators"][0]["inputs"] = np.zeros(900_000, int).tolist()
    return model


def long_names(model: Model) -> Model:
    for entry in model["subgraphs"][0]["tensors"]:
        entry["name"] = "\x1b" * 900_000
    return model


def many_operators(model: Model) -> Model:
    code = BUILTIN_OPERATORS.index("RELU")
    model["operator_codes"][0] = {"builtin_code": code, "deprecated_builtin_code": code}
    subgraph = model["subgraphs"][0]
    for index in range(20_000):
        subgraph["tensors"].append(tensor("t", [1, 4], quantization={"scale": [0.1]}))
        subgraph["operators"].append({"opcode_index": 0, "inputs": [index + 3], "outputs": [index + 4]})
    return model


def same_names(model: Model) -> Model:
    subgraph = model["subgraphs"][0]
    for index in range(40_000):
        subgraph["tensors"].append(tensor("same", [1]))
        subgraph["inputs"].append(index + 4)
    return model


def packed_constants(model: Model) -> Model:
    model["subgraphs"][0]["tensors"][2] = tensor("table", [100 << 20], "int2", buffer=1)
    model["buffers"][1] = {"data": bytes(25 << 20)}
    return model


def millions_of_labels(model: Model) -> Model:
    model["subgraphs"][0]["tensors"][3]["shape"] = [1, 1 << 16]
    model["labels"] = {f"{i}.txt": b"\x1b\n" * (1 << 16) for i in range(60)}
    return model


@pytest.mark.parametrize(
    "build", [many_inputs, long_names, many_operators, same_names, packed_constants, millions_of_labels]
)
def test_hostile_file_takes_little_time_and_memory(
    model: Model, build: Callable[[Model], Model], tmp_path: Path
) -> None:
    model = build(model)
    files = model.pop("labels", None)
    (tmp_path / "hostile.tflite").write_bytes(with_metadata(model, [], files) if files else file_bytes(model))
    process = subprocess.run(
        [sys.executable, "-c", HEADROOM, str(tmp_path / "hostile.tflite")],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(("loaded", "refused")), process.stdout
