# SPDX-License-Identifier: Apache-2.0
"""What a model file says beside its network: class labels, as TFLite metadata, and how its inputs are made.

A buffer of the model holds a second flatbuffer that says what the outputs are; the label file that it names lies in a zip archive
appended to the model. Source: `metadata_schema.fbs` of tflite-support. Preprocessing is JSON in a metadata buffer of our own.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers

from ..graph import Graph
from ..importers.metadata import PREPROCESSING, TENSOR_AXIS_LABELS, TFLITE_METADATA

LABEL_FILE = "labels.txt"


def entries(graph: Graph) -> Mapping[str, bytes]:
    """The metadata buffers that the graph needs, by name."""
    found = {}
    if graph.labels:
        found[TFLITE_METADATA] = _output_labels()
    if graph.preprocessing:
        found[PREPROCESSING] = graph.preprocessing.encode()
    return found


def with_metadata(model: dict[str, Any], found: Mapping[str, bytes]) -> dict[str, Any]:
    """The schema's `Model` table with these buffers."""
    if not found:
        return model
    first = len(model["buffers"])
    return {
        **model,
        "metadata": [{"name": name, "buffer": first + position} for position, name in enumerate(found)],
        "buffers": [*model["buffers"], *({"data": data} for data in found.values())],
    }


def _output_labels() -> bytes:
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


def with_labels(model: bytes, labels: Sequence[str]) -> bytes:
    """`model` followed by a zip archive with the label file, one label a line; without labels, as it is."""
    if not labels:
        return model
    file = io.BytesIO(model)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(LABEL_FILE), "".join(f"{label}\n" for label in labels))
    return file.getvalue()
