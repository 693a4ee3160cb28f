# SPDX-License-Identifier: Apache-2.0
"""Damages `.tflite` files, mostly where their structure is: a random byte of a model is nearly always a weight."""

import random
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tinyc.importers.schema import BUILTIN_OPTIONS, SCALARS, TABLES, Field

SPECIAL = (
    *(0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 32767, 65535, 65536),
    *(1 << 20, 1 << 24, 1 << 30, (1 << 31) - 1, 1 << 31, 0x7FFF_FFF0, 0xFFFF_FFF0, 0xFFFF_FFFE, 0xFFFF_FFFF),
)


@dataclass(frozen=True)
class Schema:
    """Tables, and for each field that says what a union holds, the names of its values."""

    tables: Mapping[str, Mapping[str, Field]]
    unions: Mapping[str, Sequence[str]]


TFLITE = Schema(TABLES, {"builtin_options_type": BUILTIN_OPTIONS})


@dataclass
class Structure:
    """Byte positions of what holds an intact file together."""

    tables: list[int] = field(default_factory=list)
    vtable_entries: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    scalars: list[tuple[int, int]] = field(default_factory=list)
    """Position and size: fields, and elements of short vectors."""

    @property
    def everything(self) -> list[int]:
        return [*self.tables, *self.vtable_entries, *self.offsets, *self.lengths, *(start for start, _ in self.scalars)]


def structure(data: bytes, schema: Schema = TFLITE, root: str = "Model", base: int = 0) -> Structure:
    """Walk an intact flatbuffer, which begins at byte `base`, along its schema."""
    found = Structure(offsets=[base])
    seen: set[tuple[str, int]] = set()
    pending = [(root, base + uint32(data, base))]
    while pending:
        type, table = pending.pop()
        if (type, table) not in seen:
            seen.add((type, table))
            pending.extend(_fields(data, schema, type, table, found))
    return found


def uint32(data: bytes, position: int) -> int:
    return int(struct.unpack_from("<I", data, position)[0])


def _fields(data: bytes, schema: Schema, type: str, table: int, found: Structure) -> list[tuple[str, int]]:
    """Note the fields of one table; the tables below it."""
    below = []
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    found.tables.append(table)
    found.vtable_entries += range(vtable, vtable + size, 2)
    fields = {entry.slot: entry for entry in schema.tables[type].values()}
    union = ""
    for slot in range((size - 4) // 2):
        relative = struct.unpack_from("<H", data, vtable + 4 + 2 * slot)[0]
        entry = fields.get(slot)
        if relative == 0 or entry is None:
            continue
        position = table + relative
        if entry.type in SCALARS:
            found.scalars.append((position, SCALARS[entry.type][1]))
            if entry.name in schema.unions:
                union = schema.unions[entry.name][data[position]]
            continue
        found.offsets.append(position)
        target = position + uint32(data, position)
        if entry.type == "union":
            below += [(union, target)] if union in schema.tables else []
        elif entry.type in schema.tables:
            below.append((entry.type, target))
        else:
            below += _vector(data, schema, entry.element, target, found)
    return below


def _vector(data: bytes, schema: Schema, element: str, start: int, found: Structure) -> list[tuple[str, int]]:
    found.lengths.append(start)
    count = uint32(data, start)
    if element in schema.tables or element == "string":
        positions = range(start + 4, start + 4 + 4 * count, 4)
        found.offsets += positions
        targets = [position + uint32(data, position) for position in positions]
        if element == "string":
            found.lengths += targets
            return []
        return [(element, target) for target in targets]
    size = SCALARS[element][1] if element else 1
    found.scalars += [(start + 4 + size * i, size) for i in range(min(count, 16))]
    return []


def mutate(rng: random.Random, data: bytes, map: Structure, other: bytes) -> bytes:
    """One to four kinds of damage. `other` is a second file for splices."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        rng.choice(MUTATIONS)(rng, damaged, map, other)
    return bytes(damaged)


def _position(rng: random.Random, data: bytearray, map: Structure) -> int:
    if rng.random() < 0.15:
        return rng.randrange(max(1, len(data)))
    return rng.choice(map.everything) + rng.randrange(4)


def _put(data: bytearray, position: int, value: bytes) -> None:
    """Overwrite where the file has room: an earlier mutation may have cut it short."""
    if position >= 0 and position + len(value) <= len(data):
        data[position : position + len(value)] = value


def _word(value: int) -> bytes:
    return struct.pack("<I", value & 0xFFFF_FFFF)


def flip_bit(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    position = _position(rng, data, map)
    if position < len(data):
        data[position] ^= 1 << rng.randrange(8)


def set_byte(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    _put(data, _position(rng, data, map), bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))]))


def truncate(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    del data[rng.randrange(max(1, len(data))) :]


def special_offset(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    _put(data, rng.choice(map.offsets), _word(rng.choice((*SPECIAL, len(data), len(data) - 4))))


def huge_length(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    _put(data, rng.choice(map.lengths), _word(rng.choice((*SPECIAL, len(data), len(data) // 4))))


def special_scalar(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    position, size = rng.choice(map.scalars)
    value = rng.choice((*SPECIAL, rng.randrange(1 << 32), rng.randrange(16)))
    if size == 8 and rng.random() < 0.5:
        value = rng.choice((1 << 63, (1 << 64) - 1, (1 << 63) - 1, 1 << 40))
    _put(data, position, (value & ((1 << 8 * size) - 1)).to_bytes(size, "little"))


def special_float(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    floats = (0.0, -0.0, 1e-45, 1e-38, 1e38, -1.0, float("inf"), float("nan"), 1.0, 0.5, 2.0**-31)
    positions = [position for position, size in map.scalars if size == 4]
    if positions:
        _put(data, rng.choice(positions), struct.pack("<f", rng.choice(floats)))


def lead_elsewhere(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    """An offset to another table of the file: shared, cyclic where the arithmetic wraps, or to itself."""
    position = rng.choice(map.offsets)
    target = rng.choice((*map.tables, *map.lengths, position))
    _put(data, position, _word(target - position))


def other_vtable(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    table, donor = rng.choice(map.tables), rng.choice(map.tables)
    if donor + 4 <= len(data):
        vtable = donor - struct.unpack_from("<i", data, donor)[0]
        _put(data, table, _word(rng.choice((table - vtable, 0, 4, -4, 1 << 31, table - donor))))


def swap_vtable_entries(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    one, two = rng.choice(map.vtable_entries), rng.choice(map.vtable_entries)
    first, second = bytes(data[one : one + 2]), bytes(data[two : two + 2])
    if len(first) == len(second) == 2:
        _put(data, one, second)
        _put(data, two, first)


def set_vtable_entry(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    value = rng.choice((0, 1, 2, 3, 4, 8, 0x7FFF, 0xFFFF, rng.randrange(64), rng.randrange(1 << 16)))
    _put(data, rng.choice(map.vtable_entries), struct.pack("<H", value))


def splice(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    cut = rng.randrange(max(1, len(data)))
    data[cut:] = other[rng.choice((cut, rng.randrange(max(1, len(other))))) :]


def transplant(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    size = rng.choice((4, 8, 16, 64, 256))
    start = rng.randrange(max(1, len(other)))
    _put(data, _position(rng, data, map), other[start : start + size])


def insert_or_delete(rng: random.Random, data: bytearray, map: Structure, other: bytes) -> None:
    position, size = _position(rng, data, map), rng.choice((1, 2, 3, 4, 8, 100))
    if rng.random() < 0.5:
        data[position:position] = bytes(rng.choices(range(256), k=size))
    else:
        del data[position : position + size]


Mutation = Callable[[random.Random, bytearray, Structure, bytes], None]

# What keeps most of a file readable is there more often: it reaches deeper.
MUTATIONS: tuple[Mutation, ...] = (
    flip_bit,
    set_byte,
    truncate,
    special_offset,
    huge_length,
    huge_length,
    special_scalar,
    special_scalar,
    special_scalar,
    special_float,
    lead_elsewhere,
    lead_elsewhere,
    lead_elsewhere,
    other_vtable,
    swap_vtable_entries,
    set_vtable_entry,
    set_vtable_entry,
    splice,
    transplant,
    insert_or_delete,
)
