# SPDX-License-Identifier: Apache-2.0
"""Writes tables of :mod:`..importers.schema` into a flatbuffer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers

from ..importers.schema import SCALARS, TABLES, Field

#: Alignment of byte vectors: TFLite Micro reads tensor data where it lies in the file.
ALIGNMENT = 16

_PREPEND: Mapping[str, str] = {
    "bool": "Bool",
    "byte": "Int8",
    "ubyte": "Uint8",
    "ushort": "Uint16",
    "int": "Int32",
    "uint": "Uint32",
    "long": "Int64",
    "ulong": "Uint64",
    "float": "Float32",
}


def write(builder: flatbuffers.Builder, table: str, values: Mapping[str, Any]) -> int:
    """Write one table and all below it.

    Args:
        builder: where to.
        table: a name of the schema.
        values: field name → number, truth value, string, bytes or sequence of numbers; a mapping for a sub-table, a
            sequence of mappings for a vector of tables, a pair (table name, mapping) for a union. Fields left out, and
            None, are absent.

    Returns:
        The offset of the table in the builder.
    """
    fields = TABLES[table]
    present = {name: value for name, value in values.items() if value is not None}
    written = {
        name: _reference(builder, fields[name], value) for name, value in present.items() if not _scalar(fields[name])
    }
    builder.StartObject(1 + max((field.slot for field in fields.values()), default=-1))
    for name, value in present.items():
        field = fields[name]
        if _scalar(field):
            getattr(builder, f"Prepend{_PREPEND[field.type]}Slot")(field.slot, value, field.default)
        else:
            builder.PrependUOffsetTRelativeSlot(field.slot, written[name], 0)
    return int(builder.EndObject())


def _scalar(field: Field) -> bool:
    return field.type in SCALARS


def _reference(builder: flatbuffers.Builder, field: Field, value: Any) -> int:
    """Write what the field points to."""
    if field.type == "string":
        return int(builder.CreateString(value, errors="backslashreplace"))
    if field.type == "union":
        return write(builder, value[0], value[1])
    if not field.element:
        return write(builder, field.type, value)
    if field.element == "ubyte":
        return _bytes(builder, bytes(value))
    if field.element in SCALARS:
        return _numbers(builder, field.element, value)
    offsets = [write(builder, field.element, item) for item in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _numbers(builder: flatbuffers.Builder, element: str, values: Sequence[int | float]) -> int:
    size = SCALARS[element][1]
    builder.StartVector(size, len(values), size)
    prepend = getattr(builder, f"Prepend{_PREPEND[element]}")
    for value in reversed(values):
        prepend(value)
    return int(builder.EndVector())


def _bytes(builder: flatbuffers.Builder, data: bytes) -> int:
    builder.StartVector(1, len(data), ALIGNMENT)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    return int(builder.EndVector())
