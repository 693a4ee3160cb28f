# SPDX-License-Identifier: Apache-2.0
"""Numbers and tables as C text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import Array
from ..program import Params, Table, Value

_C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "int64": "int64_t",
    "float32": "float",
    "bool": "uint8_t",
}

_LINE = 120


def c_type(dtype: str) -> str:
    """The C type that holds an element of this numpy dtype."""
    return _C_TYPES[dtype]


def float_literal(value: float) -> str:
    """A float32 as a C constant that reads back as the same bits (9 significant digits; any not-a-number is the quiet one)."""
    if np.isnan(value):
        return '__builtin_nanf("")'
    if np.isinf(np.float32(value)):
        return "__builtin_inff()" if value > 0 else "-__builtin_inff()"
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if any(c in text for c in ".e") else f"{text}.0f"


def int_literal(value: int) -> str:
    """An integer of up to 32 bits; INT32_MIN has no literal of its own in C."""
    if value == -(2**31):
        return "(-2147483647 - 1)"
    return f"{value}u" if value > 2**31 - 1 else str(value)


def array_definition(name: str, values: Array | None, section: str = "") -> str:
    """`static const int8_t name[n] = {...};` with the values in C order; an empty table has one zero.

    `section` is a macro that says where the linker puts it.
    """
    assert values is not None
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.size == 0:
        flat = np.zeros(1, flat.dtype)
    place = f" {section}" if section else ""
    return f"static const {c_type(str(flat.dtype))} {name}[{flat.size}]{place} = {{\n{_rows(_texts(flat))}\n}};"


def params_definition(name: str, params: Params, tables: Mapping[str, str]) -> str:
    """`static const <type> name = {.field = value, ...};`; tables appear by their C names."""
    fields = "\n".join(f"    .{field} = {_value(value, tables)}," for field, value in params.fields.items())
    return f"static const {params.ctype} {name} = {{\n{fields}\n}};"


def _value(value: Value, tables: Mapping[str, str]) -> str:
    match value:
        case Table(name):
            return tables[name]
        case tuple():
            return "{" + ", ".join(int_literal(int(v)) for v in value) + "}"
        case float():
            return float_literal(value)
        case _:
            return int_literal(int(value))


def _texts(flat: Array) -> list[str]:
    if flat.dtype == np.float32:
        return [float_literal(float(v)) for v in flat]
    if flat.dtype in (np.int32, np.uint32):
        return [int_literal(v) for v in flat.tolist()]
    if flat.dtype == np.int64:
        return [f"INT64_C({v})" for v in flat.tolist()]
    return [str(int(v)) for v in flat.tolist()]


def _rows(texts: list[str]) -> str:
    """Comma-separated values wrapped below the line length."""
    width = max(len(text) for text in texts) + 2
    per_line = max(1, (_LINE - 4) // width)
    rows = (", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line))
    return ",\n".join(f"    {row}" for row in rows)
