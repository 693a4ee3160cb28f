# SPDX-License-Identifier: Apache-2.0
"""The boards: one TOML file each in `boards/`, read and checked here. Adding a board is adding a file."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .errors import TinycError, UsageError, suggestion
from .resources import resource
from .targets.cpus import CPUS

FRAMEWORKS = ("arduino", "espidf", "baremetal", "host")
#: `psram` is RAM outside of the chip, behind a serial bus: used for what fits nowhere else.
MEMORY_KINDS = ("flash", "ram", "psram")

#: What a board's file says about a memory's use: the model's context (and inputs apart from it), its constant tables.
PLACEABLE = ("arena", "tables")


@dataclass(frozen=True)
class Memory:
    """One memory region. Sizes in bytes; `usable_by_app` is what a bootloader, partition or linker script leaves.

    Attributes:
        kind: one of MEMORY_KINDS.
        wait: core cycles that a word costs more than one in a memory without wait states, when words are read in order and
            are in no cache; an estimate.
        cache: bytes of the data cache in front of it.
        place: framework → thing of PLACEABLE → how a project puts it here: the name of an attribute of `esp_attr.h`, or `link` for
            a section of our own, on top of the framework's linker script (PlatformIO; the arena only, since nothing is copied there
            at start). Where the framework's linker puts it anyway, nothing is needed.
    """

    name: str
    kind: str
    origin: int
    size: int
    usable_by_app: int
    note: str = ""
    wait: int = 0
    cache: int = 0
    place: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class PlatformIO:
    """How PlatformIO names the board; `framework_options` are platformio.ini lines that one framework needs."""

    platform: str
    board: str
    framework_options: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Console:
    """The serial port a person sees: `uart` in words, `baud`, and the Arduino object that drives it."""

    uart: str
    baud: int
    arduino: str = "Serial"


@dataclass(frozen=True)
class Renode:
    """What our own .repl needs: the core and one UART.

    Attributes:
        core: Renode's `cpuType`.
        uart: name of the UART in the platform, as in `sysbus.usart2`.
        uart_model: its class; `uart_options` are its constructor arguments.
        uart_size: the bus window, for a class that does not know its own.
        code_origin: where code is executed from, if that is another window than the flash (the ESP32 family), else 0.
    """

    core: str
    uart: str
    uart_model: str
    uart_address: int
    uart_size: int = 0
    uart_options: Mapping[str, str] = field(default_factory=dict)
    code_origin: int = 0


@dataclass(frozen=True)
class Emulator:
    """Where the board's code runs without the board; empty names mean: not there.

    Attributes:
        unicorn: unicorn core, a key of CPUS.
        qemu: machine of qemu-system-arm or qemu-system-riscv32; for Xtensa a core of qemu-xtensa.
        renode: what Renode needs, or None.
    """

    unicorn: str = ""
    qemu: str = ""
    renode: Renode | None = None


@dataclass(frozen=True)
class Board:
    """One board. `clock_hz` is 0 where a clock means nothing (this computer, an instruction-counting machine)."""

    name: str
    title: str
    cpu: str
    clock_hz: int
    memory: tuple[Memory, ...]
    frameworks: tuple[str, ...]
    platformio: PlatformIO | None
    console: Console
    emulator: Emulator
    proves: str
    sources: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    accelerator: str = ""
    """The chip beside the processor that models can use: a folder of `accelerators/`."""

    @property
    def flash_bytes(self) -> int:
        """Bytes of flash that an application can use."""
        return sum(region.usable_by_app for region in self.memory if region.kind == "flash")

    @property
    def ram_bytes(self) -> int:
        """Bytes that an application can use of the largest RAM in the chip: the arena is in one piece."""
        return self.main_memory("ram").usable_by_app

    @property
    def is_emulated(self) -> bool:
        """True for an emulator machine or this computer: nothing to flash, built with CMake."""
        return self.platformio is None and (not self.accelerator or self.cpu == "host")

    def main_memory(self, kind: str) -> Memory:
        """The largest usable region of `kind` ("flash" or "ram"): where a linker script puts code or data."""
        return max((region for region in self.memory if region.kind == kind), key=lambda region: region.usable_by_app)


class _Table:
    """A TOML table that is read key by key; every complaint names the file and the key."""

    def __init__(self, where: str, path: str, data: Mapping[str, Any]) -> None:
        self.where, self.path, self.data = where, path, data
        self.seen: set[str] = set()

    def error(self, key: str, found: str, expected: str = "", hint: str = "") -> TinycError:
        return UsageError(f"{self.where}: {self.path}{key}", found, expected=expected, hint=hint)

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        """The value of `key`, of TOML type `kind`; without a default the key is required."""
        self.seen.add(key)
        if key not in self.data:
            if default is None:
                raise self.error(key, "is missing", expected=_TYPE_NAMES[kind])
            return default
        value = self.data[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(key, f"is {value!r}", expected=_TYPE_NAMES[kind])
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value: str = self.get(key, str, default)
        if default is None and not value.strip():
            raise self.error(key, "is empty", expected="a text")
        return value

    def number(self, key: str, default: int | None = None, *, low: int = 0, high: int = 2**32) -> int:
        value: int = self.get(key, int, default)
        if not low <= value <= high:
            raise self.error(key, f"is {value}", expected=f"{low} to {high}")
        return value

    def texts(self, key: str, default: list[str] | None = None) -> tuple[str, ...]:
        values: list[Any] = self.get(key, list, default)
        if not all(isinstance(value, str) and value for value in values):
            raise self.error(key, f"is {values!r}", expected="a list of texts")
        return tuple(values)

    def one_of(self, key: str, allowed: Mapping[str, object] | tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in allowed:
            raise self.error(key, f"is '{value}'", hint=suggestion(value, allowed))
        return value

    def table(self, key: str) -> _Table | None:
        """The sub-table `key`, or None."""
        self.seen.add(key)
        if key not in self.data:
            return None
        return _Table(self.where, f"{self.path}{key}.", self.get(key, dict))

    def text_map(self) -> Mapping[str, str]:
        """The whole table as a map of texts; numbers and booleans are written as TOML writes them."""
        self.seen |= self.data.keys()
        for key, value in self.data.items():
            if not isinstance(value, str | int):
                raise self.error(key, f"is {value!r}", expected="a text, a number or true/false")
        return MappingProxyType(
            {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in self.data.items()}
        )

    def done(self) -> None:
        """Complains about keys that nobody asked for: mostly misspelled ones."""
        for key in self.data:
            if key not in self.seen:
                raise self.error(key, "is not a known key", hint=suggestion(key, self.seen))


_TYPE_NAMES = {str: "a text", int: "a whole number", list: "a list", dict: "a table"}


def _place(memory: _Table, frameworks: tuple[str, ...]) -> Mapping[str, Mapping[str, str]]:
    table = memory.table("place")
    if table is None:
        return MappingProxyType({})
    found: dict[str, Mapping[str, str]] = {}
    for framework in frameworks:
        inner = table.table(framework)
        if inner is not None:
            found[framework] = inner.text_map()
            for what, how in found[framework].items():
                if what not in PLACEABLE:
                    raise inner.error(what, "cannot be placed", hint=suggestion(what, PLACEABLE))
                if how == "link" and what != "arena":
                    raise inner.error(what, "is 'link'", expected="an attribute such as DRAM_ATTR")
                if how != "link" and not re.fullmatch(r"[A-Z][A-Z0-9_]*_ATTR", how):
                    raise inner.error(what, f"is '{how}'", expected="'link' or an attribute such as DRAM_ATTR")
    table.done()
    return MappingProxyType(found)


def _memory(top: _Table, frameworks: tuple[str, ...]) -> tuple[Memory, ...]:
    regions = []
    for index, data in enumerate(top.get("memory", list)):
        if not isinstance(data, dict):
            raise top.error("memory", f"is {data!r}", expected="[[memory]] tables")
        table = _Table(top.where, f"memory[{index}].", data)
        name, kind = table.text("name"), table.one_of("kind", MEMORY_KINDS)
        origin, size = table.number("origin"), table.number("size", low=1)
        usable = table.number("usable_by_app", size, high=size)
        wait, cache = table.number("wait", 0, high=1000), table.number("cache", 0)
        note, place = table.text("note", ""), _place(table, frameworks)
        regions.append(Memory(name, kind, origin, size, usable, note, wait, cache, place))
        table.done()
    for kind in ("flash", "ram"):
        if not any(region.kind == kind and region.usable_by_app for region in regions):
            raise top.error("memory", f"has no usable {kind}", expected=f"a [[memory]] table with kind = '{kind}'")
    _check_names(top, regions)
    _check_overlap(top, regions)
    return tuple(regions)


def _check_names(top: _Table, regions: list[Memory]) -> None:
    """A memory's name becomes part of section names and of `--place`."""
    names = [region.name for region in regions]
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise top.error("memory", f"has the name '{name}'", expected="a-z, 0-9 and _")
        if names.count(name) > 1:
            raise top.error("memory", f"has '{name}' twice", expected="a name for each")


def _check_overlap(top: _Table, regions: list[Memory]) -> None:
    ordered = sorted(regions, key=lambda region: region.origin)
    for low, high in itertools.pairwise(ordered):
        if low.origin + low.size > high.origin:
            raise top.error("memory", f"'{low.name}' and '{high.name}' overlap at 0x{high.origin:08X}")


def _platformio(top: _Table, frameworks: tuple[str, ...]) -> PlatformIO | None:
    table = top.table("platformio")
    if table is None:
        return None
    options: dict[str, Mapping[str, str]] = {}
    for framework in frameworks:
        extra = table.table(framework)
        options[framework] = extra.text_map() if extra else MappingProxyType({})
    result = PlatformIO(table.text("platform"), table.text("board"), MappingProxyType(options))
    table.done()
    return result


def _console(top: _Table) -> Console:
    table = top.table("console")
    if table is None:
        raise top.error("console", "is missing", expected="a [console] table with uart and baud")
    result = Console(table.text("uart"), table.number("baud", high=10_000_000), table.text("arduino", "Serial"))
    table.done()
    return result


def _emulator(top: _Table) -> Emulator:
    table = top.table("emulator")
    if table is None:
        return Emulator()
    renode, inner = None, table.table("renode")
    if inner is not None:
        options = inner.table("uart_options")
        renode = Renode(
            core=inner.text("core"),
            uart=inner.text("uart"),
            uart_model=inner.text("uart_model"),
            uart_address=inner.number("uart_address"),
            uart_size=inner.number("uart_size", 0),
            uart_options=options.text_map() if options else {},
            code_origin=inner.number("code_origin", 0),
        )
        inner.done()
    result = Emulator(table.text("unicorn", ""), table.text("qemu", ""), renode)
    table.done()
    return result


def parse_board(text: str, where: str) -> Board:
    """The board that `text` (TOML) describes; `where` names the file in errors. Raises UsageError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(where, f"is not valid TOML: {error}") from error
    top = _Table(where, "", data)
    frameworks = top.texts("frameworks")
    for framework in frameworks or ("",):
        if framework not in FRAMEWORKS:
            raise top.error("frameworks", f"has '{framework}'", hint=suggestion(framework, FRAMEWORKS))
    sources = top.texts("sources")
    if not sources:
        raise top.error("sources", "is empty", expected="at least one address where the facts come from")
    name = top.text("name")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise top.error("name", f"is '{name}'", expected="a-z, 0-9, - and _")
    board = Board(
        name=name,
        title=top.text("title"),
        cpu=top.one_of("cpu", CPUS),
        clock_hz=top.number("clock_hz"),
        memory=_memory(top, frameworks),
        frameworks=frameworks,
        platformio=_platformio(top, frameworks),
        console=_console(top),
        emulator=_emulator(top),
        proves=top.text("proves", ""),
        sources=sources,
        aliases=top.texts("aliases", []),
        accelerator=top.text("accelerator", ""),
    )
    top.done()
    return board


def _read(path: Path) -> Board:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise UsageError(str(path), f"cannot be read: {reason}", expected="a board description in TOML") from error
    return parse_board(text, str(path))


@cache
def all_boards() -> Mapping[str, Board]:
    """Every board that comes with tinyc, by name, sorted."""
    boards = [_read(path) for path in sorted(resource("boards").glob("*.toml"))]
    return MappingProxyType({board.name: board for board in sorted(boards, key=lambda board: board.name)})


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def load_board(name: str) -> Board:
    """The board called `name` (`-` and `_` alike, or an alias), or read from a path to a .toml file.

    Raises UsageError: unknown name, with a suggestion; or a file that is not a board, with file and key.
    """
    if name.endswith(".toml"):
        return _read(Path(name))
    known: dict[str, Board] = {}
    for board in all_boards().values():
        for spelling in (board.name, *board.aliases):
            known[_plain(spelling)] = board
    if _plain(name) not in known:
        close = suggestion(name, all_boards())
        if "did you mean" not in close and "did you mean" in suggestion(_plain(name), known):
            close = suggestion(_plain(name), known)
        stop = "" if close.endswith("?") else "."
        hint = f"{close}{stop} `tinyc boards` lists them, and a path to a .toml file is taken too"
        raise UsageError("--board", f"unknown board '{name}'", hint=hint)
    return known[_plain(name)]
