# SPDX-License-Identifier: Apache-2.0
"""Compiled files made by hand, field by field, and where the public ones are."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import flatbuffers
from flatbuffers import flexbuffers
from tinyc.accelerators.edgetpu.schema import TABLES
from tinyc.exporters import flatbuffer
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import Graph, Node, Quantization, Tensor

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "models" / "edgetpu"

Fields = dict[str, Any]


def index() -> list[Fields]:
    path = FOLDER / "index.json"
    return json.loads(path.read_text()) if path.is_file() else []


def compiled_files() -> list[Path]:
    return [FOLDER.parent / entry["file"] for entry in index() if entry["kind"] == "compiled"]


def pairs() -> list[tuple[Path, Path]]:
    """Compiled file and original. Co-compiled files have the original that their name begins with."""
    found = []
    for path in compiled_files():
        stem = path.name.removesuffix("_edgetpu.tflite").split("_cocompiled_with_")[0]
        if (path.parent / f"{stem}.tflite").is_file():
            found.append((path, path.parent / f"{stem}.tflite"))
    return found


def table(name: str, values: Mapping[str, Any], identifier: bytes | None = None) -> bytes:
    """A flatbuffer with one table of the DarwiNN schema as its root."""
    builder = flatbuffers.Builder(1024)
    with patch.object(flatbuffer, "TABLES", TABLES):
        builder.Finish(flatbuffer.write(builder, name, values), identifier)
    return bytes(builder.Output())


def multi_executable(executables: Sequence[bytes]) -> bytes:
    """The exporter knows no vectors of strings."""
    builder = flatbuffers.Builder(1024)
    strings = [builder.CreateString(data) for data in executables]
    builder.StartVector(4, len(strings), 4)
    for offset in reversed(strings):
        builder.PrependUOffsetTRelative(offset)
    vector = builder.EndVector()
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, vector, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def package(executables: Sequence[Fields], **fields: Any) -> bytes:
    multi = multi_executable([table("Executable", executable) for executable in executables])
    values = {"min_runtime_version": 12, "compiler_version": "cl/1", "serialized_multi_executable": multi, **fields}
    return table("Package", values, b"DWN1")


class Raw(str):
    """Bytes that the FlexBuffer builder takes for a string."""

    data = b""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.data


def raw(data: bytes) -> Raw:
    text = Raw()
    text.data = data
    return text


def options(program: bytes, **entries: Any) -> bytes:
    """The operator's options as Google's compiler writes them. The keys are numbers: `_2="beagle"` is entry "2"."""
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Int("1", entries.pop("_1", 0))
        for key, value in entries.items():
            if isinstance(value, str):
                builder.String(key.removeprefix("_"), value)
            else:
                builder.VectorFromElements(key.removeprefix("_"), value)
        builder.String("4", raw(program))
    return bytes(builder.Finish())


def dma(base: str, size: int, offset: int = 0, name: str | None = None, batch: int = 0) -> Fields:
    """A DMA hint; outputs come from the device."""
    meta = {"desc": ("output", "input", "parameters", "scratch").index(base), "name": name, "batch": batch}
    hint = {"meta": meta, "offset_in_bytes": offset, "size_in_bytes": size}
    return {"any_hint_type": 1, "any_hint": ("DmaDescriptorHint", hint), "direction": int(base == "output")}


def instructions(chunk: int = 0) -> Fields:
    return {"any_hint_type": 2, "any_hint": ("InstructionHint", {"instruction_chunk_index": chunk})}


def interrupt(number: int = 0) -> Fields:
    return {"any_hint_type": 3, "any_hint": ("InterruptHint", {"type": number})}


def fence() -> Fields:
    return {"any_hint_type": 4, "any_hint": ("FenceHint", {})}


def layer(name: str, shape: tuple[int, int, int], size: int, data_type: int = 0, **fields: Any) -> Fields:
    y, x, z = shape
    numerics = {"zero_point": 3, "dequantization_factor": 0.5}
    dims = {"y_dim": y, "x_dim": x, "z_dim": z}
    return {"name": name, "size_bytes": size, **dims, "numerics": numerics, "data_type": data_type, **fields}


def output_layer(layout: Fields | None = None, shape_info: Fields | None = None) -> Fields:
    """The details of an output, to be given to :func:`layer`."""
    return {"any_layer_type": 1, "any_layer": ("OutputLayer", {"layout": layout, "shape_info": shape_info})}


def tiles(columns: int, z: int) -> Fields:
    """Layout of 2 rows, one on each tile of a column of tiles."""
    row = columns * z
    return {
        "y_coordinate_to_linear_tile_id_map": [0, 1],
        "x_coordinate_to_linear_tile_id_map": [0] * columns,
        "linearized_tile_byte_offset": [row, 0],
        "x_coordinate_to_local_byte_offset": [z * x for x in range(columns)],
        "y_coordinate_to_local_y_offset": [0, 0],
        "x_coordinate_to_local_y_row_size": [row] * columns,
    }


CODE = bytes(range(64))
PARAMETERS = bytes(range(100, 228))


def caching(**fields: Any) -> Fields:
    """An executable that loads parameters."""
    hints = [instructions(), dma("parameters", len(PARAMETERS)), interrupt()]
    return {
        "batch_size": 1,
        "instruction_bitstreams": [{"bitstream": CODE[:16]}],
        "parameters": PARAMETERS,
        "dma_hints": {"hints": hints, "fully_deterministic": True},
        "chip": "beagle",
        "type": 1,
        "parameter_caching_token": 0xFEDC_BA98_7654_3210,
        **fields,
    }


HINTS = (
    instructions(),
    dma("input", 8, name="in"),
    dma("output", 16, name="out"),
    dma("output", 8, name="flags"),
    interrupt(),
)


def execution(**fields: Any) -> Fields:
    """An executable that infers: input `in` uint8 [5], output `out` uint8 [2, 2, 4] on two tiles, output `flags` int8 [3]."""
    offsets = [
        {"meta": {"desc": 1, "name": "in", "position": 0}, "offset_bit": 70},
        {"meta": {"desc": 1, "name": "in", "position": 1}, "offset_bit": 198},
    ]
    return {
        "batch_size": 1,
        "name": "model",
        "instruction_bitstreams": [{"bitstream": CODE, "field_offsets": offsets}],
        "dma_hints": {"hints": list(HINTS), "fully_deterministic": True},
        "input_layers": [layer("in", (1, 1, 5), 8, any_layer_type=2, any_layer=("InputLayer", {}))],
        "output_layers": [
            layer("out", (2, 2, 4), 16, **output_layer(tiles(2, 4))),
            layer("flags", (1, 1, 3), 8, 8, **output_layer(tiles(1, 3))),
        ],
        "chip": "beagle",
        "type": 2,
        "parameter_caching_token": 0xFEDC_BA98_7654_3210,
        "estimated_cycles_64bit": 12345,
        "used_narrow_memory_bytes_per_tile": 678,
        **fields,
    }


def model(custom_options: bytes) -> Graph:
    """A network of one Edge TPU operator, with the tensors of :func:`execution`."""
    q = Quantization((0.5,), (3,))
    tensors = (
        Tensor("in", (1, 5), "uint8", q),
        Tensor("out", (1, 2, 2, 4), "uint8", q),
        Tensor("flags", (1, 3), "int8", q),
    )
    node = Node("CUSTOM:edgetpu-custom-op", (0,), (1, 2), {"custom_options": custom_options})
    return Graph(tensors, (node,), (0,), (1, 2), ("in",), ("out", "flags"))


def file(custom_options: bytes) -> bytes:
    return to_bytes(model(custom_options))
