# SPDX-License-Identifier: Apache-2.0
"""The map reader against the flatbuffers package, and against buffers that lie."""

import random

import pytest
from edgetpu_files import raw
from flatbuffers import flexbuffers
from tinyc.accelerators.edgetpu.flexbuffer import MAX_ENTRIES, Elements, read_map
from tinyc.errors import ModelError


@pytest.mark.parametrize("size", [0, 1, 100, 300, 70_000])
@pytest.mark.parametrize("number", [0, -1, 127, -129, 40_000, -(1 << 40)])
def test_like_the_flatbuffers_package(size: int, number: int) -> None:
    """Numbers and sizes that make the map 1, 2, 4 and 8 bytes wide."""
    data = bytes(i % 251 for i in range(size))
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Int("1", number)
        builder.UInt("6", 200)
        builder.Bool("8", True)
        builder.IndirectInt("9", number)
        builder.Float("a", 1.5)
        builder.Blob("b", data)
        builder.VectorFromElements("c", ["x", "y"])
        builder.TypedVectorFromElements("d", [1, 2, 3, 4, 5])
        builder.String("4", raw(data))
    found = read_map(bytes(builder.Finish()), "x")
    assert found == {
        "1": number,
        "4": data,
        "6": 200,
        "8": 1,
        "9": number,
        "a": None,
        "b": data,
        "c": Elements(2),
        "d": Elements(5),
    }


def test_too_many_entries() -> None:
    builder = flexbuffers.Builder()
    with builder.Map():
        for i in range(MAX_ENTRIES + 1):
            builder.Int(f"k{i:02}", i)
    with pytest.raises(ModelError) as caught:
        read_map(bytes(builder.Finish()), "x.tflite: operator 0")
    assert caught.value.where == "x.tflite: operator 0: length of the map"


def test_a_key_without_end() -> None:
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Int("k" * 200, 1)
    with pytest.raises(ModelError) as caught:
        read_map(bytes(builder.Finish()), "x")
    assert caught.value.found == "no end"


def test_any_bytes_are_read_or_refused() -> None:
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Int("1", 0)
        builder.String("4", raw(b"program"))
        builder.VectorFromElements("7", ["x"])
    intact = bytes(builder.Finish())
    refusals = []
    for position in range(len(intact)):
        for value in range(256):
            damaged = bytearray(intact)
            damaged[position] = value
            try:
                read_map(bytes(damaged), "x")
            except ModelError as error:
                refusals.append(error)
    assert len(refusals) > 1000
    assert all(error.found and error.expected and error.hint for error in refusals)
    rng = random.Random(1)
    for _ in range(20_000):
        try:
            read_map(rng.randbytes(rng.randrange(24)) + rng.choice((b"\x24\x01", b"\x25\x01", b"\x26\x02")), "x")
        except ModelError:
            continue
