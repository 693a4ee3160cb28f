# SPDX-License-Identifier: Apache-2.0
"""Tables → C text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...emit.literals import array_definition
from .tables import ExecutableTables, Tables

PREFIX = "tinyc_edgetpu"


def definitions(tables: Tables, name: str, section: str = "") -> list[str]:
    """Definitions of everything that `<name>_program` of type tinyc_edgetpu_program points to, and of itself, in order.

    `section` is a macro that says where the linker puts code and parameters.
    """
    found = []
    if tables.caching is not None:
        found += _executable(tables.caching, f"{name}_caching", section)
    found += _executable(tables.inference, f"{name}_inference", section)
    for index, row in enumerate(tables.outputs):
        if row.runs:
            rows = [(run.source, run.length, run.count, run.stride) for run in row.runs]
            found.append(_rows("run_of_bytes", f"{name}_runs_{index}", rows))
    inputs = [(row.size, row.flip) for row in tables.inputs]
    outputs = [
        (row.place, row.size, row.flip, len(row.runs), f"{name}_runs_{index}" if row.runs else "NULL")
        for index, row in enumerate(tables.outputs)
    ]
    found += [_rows("input", f"{name}_inputs", inputs), _rows("output", f"{name}_outputs", outputs)]
    caching = f"&{name}_caching" if tables.caching is not None else "NULL"
    found.append(
        f"static const {PREFIX}_program {name}_program = {{\n"
        f"    {caching}, &{name}_inference, {name}_inputs, {name}_outputs, UINT64_C({tables.token:#018x}),\n}};"
    )
    return found


def _executable(tables: ExecutableTables, name: str, section: str) -> list[str]:
    found = [array_definition(f"{name}_code", np.frombuffer(tables.code, np.uint8), section)]
    if tables.parameters:
        found.append(array_definition(f"{name}_parameters", np.frombuffer(tables.parameters, np.uint8), section))
    steps = [(step.tag, int(step.last), step.port, step.offset, step.length) for step in tables.steps]
    found.append(_rows("step", f"{name}_steps", steps))
    parameters = f"{name}_parameters" if tables.parameters else "NULL"
    found.append(
        f"static const {PREFIX}_executable {name} = {{{name}_code, {parameters}, {name}_steps, {len(tables.steps)}}};"
    )
    return found


def _rows(kind: str, name: str, rows: Sequence[Sequence[int | str]]) -> str:
    """A table of structs; an empty one has one row of zeros, since C has no empty arrays."""
    texts = ["    {" + ", ".join(map(str, row)) + "}," for row in rows] or ["    {0},"]
    return "\n".join([f"static const {PREFIX}_{kind} {name}[{len(texts)}] = {{", *texts, "};"])
