# SPDX-License-Identifier: Apache-2.0
"""The reader refuses whatever points outside the file, and says where."""

import struct
import time
from collections.abc import Callable

import flatbuffers
import numpy as np
import pytest
from tinyc.errors import ModelError
from tinyc.exporters.flatbuffer import write
from tinyc.importers.flatbuffer import Reader, Table, printable


def file_of(table: str, values: dict[str, object]) -> bytearray:
    builder = flatbuffers.Builder(64)
    builder.Finish(write(builder, table, values))
    return bytearray(builder.Output())


def root(data: bytes | bytearray, table: str) -> Table:
    return Reader(bytes(data), "x.tflite").root(table)


def error(action: Callable[[], object]) -> ModelError:
    with pytest.raises(ModelError) as caught:
        action()
    assert caught.value.where.startswith("x.tflite: ")
    assert " at byte " in caught.value.where
    assert caught.value.found
    assert caught.value.expected
    assert caught.value.hint
    return caught.value


def field_position(data: bytes | bytearray, slot: int) -> int:
    """Position of a field of the root table."""
    table = struct.unpack_from("<I", data, 0)[0]
    vtable = table - struct.unpack_from("<i", data, table)[0]
    return int(table + struct.unpack_from("<H", data, vtable + 4 + 2 * slot)[0])


@pytest.mark.parametrize("size", range(4))
def test_too_short_for_a_root(size: int) -> None:
    assert "the root offset at byte 0" in error(lambda: root(bytes(size), "Model")).where


@pytest.mark.parametrize("offset", [0, 5, 1 << 31, (1 << 32) - 1])
def test_root_offset_outside(offset: int) -> None:
    found = error(lambda: root(struct.pack("<II", offset, 0), "Model"))
    assert found.found == f"the offset {offset}"


@pytest.mark.parametrize("relative", [-100, 100, -(1 << 31), (1 << 31) - 1])
def test_vtable_outside(relative: int) -> None:
    data = file_of("Tensor", {"buffer": 5})
    table = struct.unpack_from("<I", data, 0)[0]
    struct.pack_into("<i", data, table, relative)
    assert "vtable of Tensor" in error(lambda: root(data, "Tensor")).where


@pytest.mark.parametrize(("vtable_size", "table_size"), [(0, 8), (3, 8), (7, 8), (65534, 8), (6, 0), (6, 65535)])
def test_vtable_sizes(vtable_size: int, table_size: int) -> None:
    data = file_of("TensorMap", {"tensor_index": 5})
    table = struct.unpack_from("<I", data, 0)[0]
    struct.pack_into("<HH", data, table - struct.unpack_from("<i", data, table)[0], vtable_size, table_size)
    error(lambda: root(data, "TensorMap"))


@pytest.mark.parametrize("offset", [1, 3, 7, 65535])
def test_field_outside_its_table(offset: int) -> None:
    data = file_of("TensorMap", {"tensor_index": 5})
    table = struct.unpack_from("<I", data, 0)[0]
    vtable = table - struct.unpack_from("<i", data, table)[0]
    struct.pack_into("<H", data, vtable + 4 + 2 * 1, offset)
    found = error(lambda: root(data, "TensorMap").integer("tensor_index"))
    assert "TensorMap.tensor_index" in found.where
    assert found.found == f"the field offset {offset}"


@pytest.mark.parametrize("count", [4, 1000, (1 << 32) - 1])
def test_vector_longer_than_the_file(count: int) -> None:
    data = file_of("Tensor", {"shape": [1, 2, 3]})
    position = field_position(data, 0)
    start = position + struct.unpack_from("<I", data, position)[0]
    struct.pack_into("<I", data, start, count)
    if count == 4:  # the file may have room for one more by chance of its layout
        data = data[: start + 4 + 12]
    found = error(lambda: root(data, "Tensor").vector("shape"))
    assert found.where == f"x.tflite: Tensor.shape at byte {start}"
    assert f"a vector of {count} elements" in found.found


def test_string_longer_than_the_file() -> None:
    data = file_of("Tensor", {"name": "abc"})
    position = field_position(data, 3)
    start = position + struct.unpack_from("<I", data, position)[0]
    struct.pack_into("<I", data, start, 1 << 30)
    assert "Tensor.name" in error(lambda: root(data, "Tensor").text("name")).where


def test_every_truncation_is_an_error_or_reads_the_same() -> None:
    values = {"shape": [1, 2], "name": "abc", "buffer": 3, "quantization": {"scale": [0.5, 0.25], "zero_point": [1]}}
    data = file_of("Tensor", values)

    def read(content: bytes) -> object:
        table = root(content, "Tensor")
        inner = table.table("quantization")
        assert inner is not None
        return table.vector("shape"), table.text("name"), table.integer("buffer"), inner.vector("scale")

    complete = read(bytes(data))
    failures = 0
    for size in range(len(data)):
        try:
            assert read(bytes(data[:size])) == complete
        except ModelError:
            failures += 1
    assert failures > len(data) // 2


def test_few_bytes_cannot_describe_endless_work() -> None:
    """A vector of a million offsets that all lead to one table."""
    count = 1_000_000
    end = 28 + 4 * count
    head = struct.pack("<I4xHHH2xiII", 16, 6, 8, 4, 8, 4, count)
    offsets = np.arange(4 * count, 0, -4, dtype="<u4").tobytes()
    data = head + offsets + struct.pack("<iI", end - 8, 0)
    begin = time.monotonic()
    found = error(lambda: sum(1 for _ in root(data, "SubGraph").tables("tensors")))
    assert "far more tables" in found.found
    assert time.monotonic() - begin < 5


def test_absent_fields() -> None:
    table = root(file_of("Tensor", {}), "Tensor")
    assert table.text("name") is None
    assert table.vector("shape") == ()
    assert table.table("quantization") is None
    assert table.span("shape") is None
    assert root(file_of("Operator", {}), "Operator").union("builtin_options", "AddOptions") is None
    assert root(file_of("Model", {}), "Model").count("subgraphs") == 0


def test_strings_are_safe_to_print() -> None:
    assert printable("plain Größe") == "plain Größe"
    assert printable("a\x1b[2Jb\n\u202e") == "a\\x1b[2Jb\\n\\u202e"
    data = file_of("Tensor", {"name": "abc"})
    position = field_position(data, 3)
    start = position + struct.unpack_from("<I", data, position)[0]
    data[start + 4 : start + 7] = b"\xff\nx"
    assert root(data, "Tensor").text("name") == "\\xff\\nx"
