# SPDX-License-Identifier: Apache-2.0
"""A bounds-checked flatbuffer reader, driven by the tables of :mod:`.schema`.

The file is not trusted: every offset, vtable, vector length and scalar is compared with the size of the file before it
is read, nothing recurses, and a work budget stops files whose few bytes describe an endless number of tables.
Format: https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import cache

from ..errors import ModelError
from .schema import SCALARS, TABLES, Field

DAMAGED = "the file is damaged or cut short; download, copy or convert it again"

#: Work that one file may cause: so much for each table, and for each byte of a string or of a vector of numbers. Ten
#: times what the largest networks for microcontrollers take, and about a second.
WORK_BUDGET = 16 << 20
TABLE_COST = 256
BYTE_COST = 4


@cache
def _struct(format: str) -> struct.Struct:
    return struct.Struct(format)


_UINT16 = struct.Struct("<H")
_INT32 = struct.Struct("<i")
_UINT32 = struct.Struct("<I")


def printable(text: str) -> str:
    """The text with control characters, line ends included, as escapes."""
    if text.isprintable():
        return text
    unprintable = [c for c in set(text) if not c.isprintable()]
    return text.translate({ord(c): c.encode("unicode_escape").decode("ascii") for c in unprintable})


class Reader:
    """The bytes of one file, the name for messages, and what is left of the work budget.

    Args:
        data: the whole file.
        file_name: the name that error messages show.
        tables: the schema.
        budget: how much work the file may cause, see :data:`WORK_BUDGET`.
    """

    def __init__(
        self,
        data: bytes,
        file_name: str,
        tables: Mapping[str, Mapping[str, Field]] = TABLES,
        budget: int = WORK_BUDGET,
    ) -> None:
        self.data = data
        self.file_name = file_name
        self.tables = tables
        self.budget = budget

    def root(self, table: str) -> Table:
        """The root table, of type `table`."""
        return Table(self, table, self.offset(0, "the root offset"))

    def error(self, what: str, position: int, found: str, expected: str, hint: str = DAMAGED) -> ModelError:
        """A `ModelError` about `what` (such as `Tensor.shape`) at byte `position`."""
        return ModelError(f"{self.file_name}: {what} at byte {position}", found, expected=expected, hint=hint)

    def spend(self, work: int, what: str, position: int) -> None:
        """Take `work` from the budget.

        Raises:
            ModelError: nothing is left.
        """
        self.budget -= work
        if self.budget < 0:
            raise self.error(
                what,
                position,
                "the file describes far more tables and values than a network for a microcontroller has",
                f"at most {WORK_BUDGET // TABLE_COST} tables in all",
                "check where the file comes from; it is damaged or made to exhaust its reader",
            )

    def check(self, start: int, size: int, what: str) -> None:
        """Bytes `start` to `start + size` lie inside the file.

        Raises:
            ModelError: they do not.
        """
        if start < 0 or size < 0 or start + size > len(self.data):
            raise self.error(
                what, start, f"{size} bytes are needed there", f"at most the {len(self.data)} bytes of the file"
            )

    def offset(self, position: int, what: str) -> int:
        """Where the forward offset stored at `position` points to; at least 4 bytes are there."""
        self.check(position, 4, what)
        relative: int = _UINT32.unpack_from(self.data, position)[0]
        if relative == 0 or position + relative + 4 > len(self.data):
            raise self.error(
                what, position, f"the offset {relative}", f"an offset from 1 to {max(1, len(self.data) - position - 4)}"
            )
        return position + relative

    def vector(self, position: int, element_size: int, what: str) -> tuple[int, int]:
        """First byte and number of elements of the vector that the offset at `position` points to."""
        start = self.offset(position, what)
        count: int = _UINT32.unpack_from(self.data, start)[0]
        if start + 4 + count * element_size > len(self.data):
            room = (len(self.data) - start - 4) // element_size
            raise self.error(
                what, start, f"a vector of {count} elements", f"at most {room}, which is where the file ends"
            )
        return start + 4, count


class Table:
    """One table of the file. Fields are read when asked for; an absent one gives its default or nothing."""

    __slots__ = ("_fields", "_size", "_vtable", "position", "reader", "type")

    def __init__(self, reader: Reader, type: str, position: int) -> None:
        reader.spend(TABLE_COST, type, position)
        reader.check(position, 4, type)
        vtable = position - _INT32.unpack_from(reader.data, position)[0]
        reader.check(vtable, 4, f"vtable of {type}")
        vtable_size: int = _UINT16.unpack_from(reader.data, vtable)[0]
        size: int = _UINT16.unpack_from(reader.data, vtable + 2)[0]
        if vtable_size < 4 or vtable_size % 2 or size < 4:
            raise reader.error(
                f"vtable of {type}",
                vtable,
                f"the sizes {vtable_size} and {size}",
                "an even size and a size, each at least 4",
            )
        reader.check(vtable, vtable_size, f"vtable of {type}")
        reader.check(position, size, type)
        self.reader = reader
        self.type = type
        self.position = position
        self._vtable = vtable
        self._fields = (vtable_size - 4) // 2
        self._size = size

    def _where(self, field: Field) -> str:
        return f"{self.type}.{field.name}"

    def _find(self, field: Field, size: int) -> int | None:
        """Position of the field's `size` bytes in the file, or None when it is absent."""
        if field.slot >= self._fields:
            return None
        offset: int = _UINT16.unpack_from(self.reader.data, self._vtable + 4 + 2 * field.slot)[0]
        if offset == 0:
            return None
        if offset < 4 or offset + size > self._size:
            raise self.reader.error(
                self._where(field),
                self.position,
                f"the field offset {offset}",
                f"an offset from 4 to {self._size - size}",
            )
        return self.position + offset

    def _field(self, name: str) -> Field:
        return self.reader.tables[self.type][name]

    def scalar(self, name: str) -> int | float | bool:
        """A number or a truth value."""
        field = self._field(name)
        format, size = SCALARS[field.type]
        position = self._find(field, size)
        if position is None:
            return field.default
        value: int | float = _struct(format).unpack_from(self.reader.data, position)[0]
        return bool(value) if field.type == "bool" else value

    def integer(self, name: str) -> int:
        return int(self.scalar(name))

    def text(self, name: str) -> str | None:
        """A string. Bytes that are not UTF-8 and characters that a terminal would obey are shown as escapes."""
        field = self._field(name)
        position = self._find(field, 4)
        if position is None:
            return None
        start, size = self.reader.vector(position, 1, self._where(field))
        self.reader.spend(BYTE_COST * size, self._where(field), start)
        return printable(self.reader.data[start : start + size].decode("utf-8", errors="backslashreplace"))

    def vector(self, name: str) -> tuple[int | float | bool, ...]:
        """A vector of numbers or truth values, empty when absent."""
        field = self._field(name)
        position = self._find(field, 4)
        if position is None:
            return ()
        format, size = SCALARS[field.element]
        start, count = self.reader.vector(position, size, self._where(field))
        self.reader.spend(BYTE_COST * size * count, self._where(field), start)
        values = struct.unpack_from(f"<{count}{format[1]}", self.reader.data, start)
        return tuple(map(bool, values)) if field.element == "bool" else values

    def integers(self, name: str) -> tuple[int, ...]:
        return tuple(int(value) for value in self.vector(name))

    def span(self, name: str) -> tuple[int, int] | None:
        """Start and size of a vector of bytes, which is not read; None when absent."""
        field = self._field(name)
        position = self._find(field, 4)
        return None if position is None else self.reader.vector(position, 1, self._where(field))

    def spans(self, name: str) -> Iterator[tuple[int, int]]:
        """Start and size of every string of a vector of strings, which are not read."""
        field = self._field(name)
        start, count = self._tables(field)
        for position in range(start, start + 4 * count, 4):
            yield self.reader.vector(position, 1, self._where(field))

    def table(self, name: str) -> Table | None:
        """A sub-table, None when absent."""
        field = self._field(name)
        position = self._find(field, 4)
        if position is None:
            return None
        return Table(self.reader, field.type, self.reader.offset(position, self._where(field)))

    def union(self, name: str, type: str) -> Table | None:
        """The table in the union `name`, read as `type`; None when absent."""
        field = self._field(name)
        position = self._find(field, 4)
        return None if position is None else Table(self.reader, type, self.reader.offset(position, self._where(field)))

    def tables(self, name: str) -> Iterator[Table]:
        """The tables of a vector, one after the other."""
        field = self._field(name)
        start, count = self._tables(field)
        for position in range(start, start + 4 * count, 4):
            yield Table(self.reader, field.element, self.reader.offset(position, self._where(field)))

    def count(self, name: str) -> int:
        """How many tables the vector `name` has."""
        return self._tables(self._field(name))[1]

    def element(self, name: str, index: int) -> Table:
        """Table `index` of the vector `name`; the index must be in range."""
        field = self._field(name)
        start, count = self._tables(field)
        assert 0 <= index < count
        return Table(self.reader, field.element, self.reader.offset(start + 4 * index, self._where(field)))

    def _tables(self, field: Field) -> tuple[int, int]:
        position = self._find(field, 4)
        return (0, 0) if position is None else self.reader.vector(position, 4, self._where(field))

    def values(self) -> dict[str, int | float | bool | str | tuple[int | float | bool, ...]]:
        """Every field of a table that has only scalars, strings and vectors of scalars: an options table."""
        found: dict[str, int | float | bool | str | tuple[int | float | bool, ...]] = {}
        for name, field in self.reader.tables[self.type].items():
            if field.element:
                found[name] = self.vector(name)
            elif field.type == "string":
                found[name] = self.text(name) or ""
            else:
                found[name] = self.scalar(name)
        return found
