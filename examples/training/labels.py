# SPDX-License-Identifier: Apache-2.0
"""Writes class labels into a model file, as TFLite metadata.

A buffer of the model holds a second flatbuffer that says what the outputs are; the label file that it names lies in a
zip archive appended to the model. Source: `metadata_schema.fbs` of tflite-support.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import flatbuffers
from tinyc.exporters.tflite import file_bytes, model_tables
from tinyc.graph import Graph

LABEL_FILE = "labels.txt"
TENSOR_AXIS_LABELS = 2


def to_labelled_bytes(graph: Graph) -> bytes:
    """The `.tflite` file of `graph` with its `labels` for output 0."""
    model = model_tables(graph)
    model["metadata"] = [{"name": "TFLITE_METADATA", "buffer": len(model["buffers"])}]
    model["buffers"] = [*model["buffers"], {"data": metadata()}]
    return with_archive(file_bytes(model), graph.labels)


def metadata() -> bytes:
    """ModelMetadata → SubGraphMetadata → output TensorMetadata → AssociatedFile: one table in the other."""
    builder = flatbuffers.Builder(256)
    name = builder.CreateString(LABEL_FILE)
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependInt8Slot(2, TENSOR_AXIS_LABELS, 0)
    table = builder.EndObject()
    for slot in (6, 3, 3):  # associated_files, output_tensor_metadata, subgraph_metadata
        builder.StartVector(4, 1, 4)
        builder.PrependUOffsetTRelative(table)
        vector = builder.EndVector()
        builder.StartObject(slot + 1)
        builder.PrependUOffsetTRelativeSlot(slot, vector, 0)
        table = builder.EndObject()
    builder.Finish(table, b"M001")
    return bytes(builder.Output())


def with_archive(model: bytes, labels: Sequence[str]) -> bytes:
    """`model` followed by a zip archive with the label file, one label a line."""
    file = io.BytesIO(model)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(LABEL_FILE), "".join(f"{label}\n" for label in labels))
    return file.getvalue()
