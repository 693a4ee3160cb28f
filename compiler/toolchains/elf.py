# SPDX-License-Identifier: Apache-2.0
"""What tinyc reads from ELF files: section sizes, symbols, loadable segments."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from ..errors import ToolError


@dataclass(frozen=True)
class Sizes:
    """Bytes of an object. `size` prints code + rodata as text; the rest is the same."""

    code: int = 0
    rodata: int = 0
    data: int = 0
    bss: int = 0

    @property
    def text(self) -> int:
        """What `size` (Berkeley format) calls text."""
        return self.code + self.rodata

    def __add__(self, other: Sizes) -> Sizes:
        return Sizes(self.code + other.code, self.rodata + other.rodata, self.data + other.data, self.bss + other.bss)


@dataclass(frozen=True)
class Symbol:
    """A function or object of a linked image; `address` is without the Thumb bit."""

    name: str
    address: int
    size: int


@dataclass(frozen=True)
class Segment:
    """Bytes that the loader puts at `address`; `size` in memory may exceed the data (zeros)."""

    address: int
    data: bytes
    size: int
    executable: bool


def is_elf(data: bytes) -> bool:
    """False for the object formats of macOS and Windows, of which nothing is read."""
    return data[:4] == b"\x7fELF"


def _open(data: bytes, what: str) -> ELFFile:
    try:
        return ELFFile(io.BytesIO(data))
    except ELFError as error:
        raise ToolError(what, f"the compiler wrote a damaged file: {error}") from error


def section_sizes(data: bytes, what: str) -> Sizes:
    """The sizes that `size` reports, with text split into code and read-only data. `what` names the file in errors."""
    total = Sizes()
    if not is_elf(data):
        return total
    for section in _open(data, what).iter_sections():
        flags, size = section["sh_flags"], section["sh_size"]
        if not flags & SH_FLAGS.SHF_ALLOC:
            continue
        if flags & SH_FLAGS.SHF_EXECINSTR:
            total += Sizes(code=size)
        elif not flags & SH_FLAGS.SHF_WRITE:
            total += Sizes(rodata=size)
        elif section["sh_type"] == "SHT_NOBITS":
            total += Sizes(bss=size)
        else:
            total += Sizes(data=size)
    return total


def read_symbols(path: Path) -> tuple[Mapping[str, Symbol], tuple[Symbol, ...]]:
    """All symbols by name (a global one wins over static ones), and the functions in order of address."""
    data = path.read_bytes()
    if not is_elf(data):
        return {}, ()
    file = _open(data, path.name)
    symbols: dict[str, Symbol] = {}
    functions: dict[int, Symbol] = {}
    thumb = file["e_machine"] == "EM_ARM"
    tables = [section for section in file.iter_sections() if isinstance(section, SymbolTableSection)]
    for entry in (entry for table in tables for entry in table.iter_symbols()):
        kind, bind = entry["st_info"]["type"], entry["st_info"]["bind"]
        if entry["st_shndx"] == "SHN_UNDEF" or not entry.name or kind in ("STT_SECTION", "STT_FILE"):
            continue
        is_function = kind == "STT_FUNC"
        address = entry["st_value"] & ~1 if thumb and is_function else entry["st_value"]
        symbol = Symbol(entry.name, address, entry["st_size"])
        if bind != "STB_LOCAL" or entry.name not in symbols:
            symbols[entry.name] = symbol
        if is_function and (address not in functions or bind != "STB_LOCAL"):
            functions[address] = symbol
    return symbols, _with_sizes(file, [functions[address] for address in sorted(functions)])


def _with_sizes(file: ELFFile, functions: Sequence[Symbol]) -> tuple[Symbol, ...]:
    """libgcc's assembly has functions of size 0: they reach to the next function, or to the end of the section."""
    ends = [part["sh_addr"] + part["sh_size"] for part in file.iter_sections() if part["sh_flags"] & SH_FLAGS.SHF_ALLOC]
    sized = []
    for index, function in enumerate(functions):
        size = function.size
        if size == 0:
            limits = [after.address for after in functions[index + 1 : index + 2]]
            limits += [end for end in ends if end > function.address]
            size = min(limits, default=function.address) - function.address
        if size:
            sized.append(replace(function, size=size))
    return tuple(sized)


def read_segments(path: Path) -> tuple[int, tuple[Segment, ...]]:
    """Entry address, and what to load where (physical addresses)."""
    file = _open(path.read_bytes(), path.name)
    segments = [
        Segment(part["p_paddr"], part.data(), part["p_memsz"], bool(part["p_flags"] & 1))
        for part in file.iter_segments()
        if part["p_type"] == "PT_LOAD" and part["p_memsz"]
    ]
    return file["e_entry"], tuple(segments)


def read_section(path: Path, name: str) -> tuple[int, bytes]:
    """Address and bytes of one section; raises ToolError if the image has none of that name."""
    section = _open(path.read_bytes(), path.name).get_section_by_name(name)
    if section is None:
        raise ToolError(path.name, f"the linked image has no section {name}")
    return section["sh_addr"], section.data()
