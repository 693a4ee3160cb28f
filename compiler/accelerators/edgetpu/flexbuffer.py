# SPDX-License-Identifier: Apache-2.0
"""A bounds-checked reader for the FlexBuffer map that holds the options of a custom operator.

Only what such a map needs: numbers and strings by key; a vector is only counted. Nothing recurses. Every offset counts
backwards, and is compared with the buffer before use.
Format: https://flatbuffers.dev/internals/#flexbuffers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import ModelError
from ...importers.flatbuffer import DAMAGED, printable

MAX_ENTRIES = 64
MAX_KEY = 64

NULL, INT, UINT, FLOAT, KEY, STRING, INDIRECT_INT, INDIRECT_UINT, INDIRECT_FLOAT, MAP, VECTOR = range(11)
VECTORS = frozenset({VECTOR, 11, 12, 13, 14, 15, 36})
BLOB, BOOL = 25, 26


@dataclass(frozen=True)
class Elements:
    """A vector of which only the length is read."""

    count: int


Value = int | bytes | Elements | None


def read_map(data: bytes, where: str) -> Mapping[str, Value]:
    """The entries of the map in `data`, a whole FlexBuffer. Values of types not named in this module are None.

    Raises:
        ModelError: `data` is no FlexBuffer with a map of few entries, or is damaged.
    """
    return _Flexbuffer(data, where).entries()


class _Flexbuffer:
    def __init__(self, data: bytes, where: str) -> None:
        self.data = data
        self.where = where

    def error(self, what: str, found: str, expected: str) -> ModelError:
        return ModelError(f"{self.where}: {what}", found, expected=expected, hint=DAMAGED)

    def number(self, position: int, width: int, what: str, signed: bool = False) -> int:
        if position < 0 or position + width > len(self.data):
            raise self.error(what, f"at byte {position}", f"inside the {len(self.data)} bytes")
        return int.from_bytes(self.data[position : position + width], "little", signed=signed)

    def back(self, position: int, width: int, what: str) -> int:
        """Where the offset stored at `position` leads; offsets count backwards."""
        distance = self.number(position, width, what)
        if not 0 < distance <= position:
            raise self.error(what, f"the offset {distance} at byte {position}", f"1 to {position}")
        return position - distance

    def entries(self) -> Mapping[str, Value]:
        if len(self.data) < 3:
            raise self.error("FlexBuffer", f"{len(self.data)} bytes", "at least 3")
        width = self.data[-1]
        if width not in (1, 2, 4, 8):
            raise self.error("FlexBuffer", f"a root of {width} bytes", "1, 2, 4 or 8")
        kind = self.data[-2] >> 2
        if kind != MAP:
            raise self.error("FlexBuffer", f"a root of type {kind}", f"a map (type {MAP})")
        map = self.back(len(self.data) - 2 - width, width, "root of the FlexBuffer")
        return self._map(map, 1 << (self.data[-2] & 3))

    def _map(self, map: int, width: int) -> Mapping[str, Value]:
        """A map is a vector of values, its types behind it, and before it: the place and width of its keys, its length."""
        count = self.number(map - width, width, "length of the map")
        if count > MAX_ENTRIES:
            raise self.error("length of the map", str(count), f"at most {MAX_ENTRIES}")
        key_width = self.number(map - 2 * width, width, "width of the keys")
        if key_width not in (1, 2, 4, 8):
            raise self.error("width of the keys", str(key_width), "1, 2, 4 or 8")
        keys = self.back(map - 3 * width, width, "keys of the map")
        found: dict[str, Value] = {}
        for index in range(count):
            key = self._key(self.back(keys + index * key_width, key_width, f"key {index} of the map"))
            packed = self.number(map + count * width + index, 1, f"type of entry {key}")
            found[key] = self._value(map + index * width, width, packed, f"entry {key}")
        return found

    def _key(self, start: int) -> str:
        end = self.data.find(b"\0", start, start + MAX_KEY + 1)
        if end < 0:
            raise self.error(f"key at byte {start}", "no end", f"at most {MAX_KEY} bytes and a NUL")
        return printable(self.data[start:end].decode("utf-8", errors="backslashreplace"))

    def _value(self, position: int, width: int, packed: int, what: str) -> Value:
        kind, target_width = packed >> 2, 1 << (packed & 3)
        if kind in (INT, UINT, BOOL):
            return self.number(position, width, what, signed=kind == INT)
        if kind in (INDIRECT_INT, INDIRECT_UINT):
            return self.number(self.back(position, width, what), target_width, what, signed=kind == INDIRECT_INT)
        if kind in (STRING, BLOB):
            start = self.back(position, width, what)
            size = self.number(start - target_width, target_width, f"length of {what}")
            if start + size > len(self.data):
                raise self.error(what, f"{size} bytes from byte {start}", f"at most {len(self.data) - start}")
            return self.data[start : start + size]
        if kind in VECTORS:
            start = self.back(position, width, what)
            return Elements(self.number(start - target_width, target_width, f"length of {what}"))
        return None
