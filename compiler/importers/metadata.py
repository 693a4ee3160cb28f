# SPDX-License-Identifier: Apache-2.0
"""Class labels from the metadata of a `.tflite` file.

TFLite metadata is a flatbuffer of its own in one of the model's buffers; the label files that it names are in a zip
archive appended to the model. Both are optional extras: broken ones give no labels, never an error.
Source: `tensorflow_lite_support/metadata/metadata_schema.fbs` of tflite-support.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

from ..errors import ModelError
from .flatbuffer import Reader, printable
from .schema import parse_tables

TABLES = parse_tables(
    """
    ModelMetadata: name:string description:string version:string subgraph_metadata:[SubGraphMetadata]
    SubGraphMetadata: name:string description:string - output_tensor_metadata:[TensorMetadata]
    TensorMetadata: name:string description:string - - - - associated_files:[AssociatedFile]
    AssociatedFile: name:string description:string type:byte locale:string
"""
)

TENSOR_AXIS_LABELS = 2

#: Names of a model's metadata buffers: TFLite's own, and the JSON of how this model's inputs are made (tinyc.data).
TFLITE_METADATA = "TFLITE_METADATA"
PREPROCESSING = "TINYC_PREPROCESSING"
MAX_PREPROCESSING_BYTES = 64 << 10

WORK_BUDGET = 1 << 20
MAX_ENTRIES = 64
MAX_DIRECTORY_BYTES = 64 << 10
MAX_LABEL_BYTES = 1 << 20
MAX_CLASSES = 1 << 16
MAX_METADATA_BYTES = 1 << 20

_END_SIGNATURE = b"PK\x05\x06"
_ZIP64_SIGNATURE = b"PK\x06\x07"
_END_RECORD = struct.Struct("<4s4H2LH")
_MAX_COMMENT = 65535


def class_labels(data: bytes, metadata: bytes, classes: int) -> tuple[str, ...]:
    """The labels of output 0, or none.

    Args:
        data: the whole model file, with the archive at its end.
        metadata: the metadata flatbuffer, may be empty.
        classes: how many labels there must be.

    Returns:
        The lines of the one label file that the metadata names for output 0; else of the one text file in the archive
        that has `classes` lines; else nothing.
    """
    files = _text_files(data, classes)
    named = [name for name in _label_files(metadata) if name in files]
    chosen = named if len(named) == 1 else list(files)
    return tuple(printable(line.strip()) for line in files[chosen[0]]) if len(chosen) == 1 else ()


def _label_files(metadata: bytes) -> list[str]:
    """Names of the files that label the last axis of output 0."""
    if len(metadata) > MAX_METADATA_BYTES:
        return []
    try:
        subgraphs = Reader(metadata, "metadata", TABLES, WORK_BUDGET).root("ModelMetadata").tables("subgraph_metadata")
        subgraph = next(subgraphs, None)
        output = next(subgraph.tables("output_tensor_metadata"), None) if subgraph else None
        files = list(output.tables("associated_files")) if output else []
        return [file.text("name") or "" for file in files if file.integer("type") == TENSOR_AXIS_LABELS]
    except ModelError:
        return []


def _text_files(data: bytes, classes: int) -> Mapping[str, list[str]]:
    """The lines of each small text file with `classes` lines in the archive at the end of `data`."""
    if classes > MAX_CLASSES or not _small_archive(data):
        return {}
    found: dict[str, list[str]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".txt") and entry.file_size <= MAX_LABEL_BYTES:
                    lines = _lines(archive, entry)
                    if len(lines) == classes:
                        found[entry.filename] = lines
    except Exception:  # zipfile raises a dozen unrelated types on broken archives
        return {}
    return found


def _lines(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> list[str]:
    """The entry's lines; none when it unpacks to more than it says."""
    with archive.open(entry) as file:
        content = file.read(MAX_LABEL_BYTES + 1)
    return content.decode("utf-8").splitlines() if len(content) <= MAX_LABEL_BYTES else []


def _small_archive(data: bytes) -> bool:
    """Whether an archive ends the file whose directory is small enough to be read without care."""
    tail = data[-(_MAX_COMMENT + _END_RECORD.size) :]
    start = tail.rfind(_END_SIGNATURE)
    if start < 0 or start + _END_RECORD.size > len(tail) or _ZIP64_SIGNATURE in tail[max(0, start - 20) : start]:
        return False
    _, _, _, _, entries, directory_bytes, _, _ = _END_RECORD.unpack_from(tail, start)
    return bool(entries <= MAX_ENTRIES and directory_bytes <= MAX_DIRECTORY_BYTES)
