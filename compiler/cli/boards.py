# SPDX-License-Identifier: Apache-2.0
"""`tinyc boards`: the boards, or one board in detail."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..boards import Board, all_boards, load_board
from ..targets.cpus import CPUS
from ._help import HELP


def size_text(count: int) -> str:
    """A memory size as data sheets write it: 64 KB, 2 MB; exact bytes where that would round."""
    if count >= 1 << 20 and count % (1 << 20) == 0:
        return f"{count >> 20} MB"
    if count % 1024 == 0:
        return f"{count >> 10} KB"
    return f"{count / 1024:.1f} KB"


def clock_text(board: Board) -> str:
    """The clock in MHz, `–` where it means nothing."""
    return f"{board.clock_hz / 1e6:g} MHz" if board.clock_hz else "–"


def emulator_names(board: Board) -> list[str]:
    """The engines that can run the board's code."""
    if board.cpu == "host":
        return ["host"]
    found = board.emulator
    named = (("unicorn", found.unicorn), ("qemu", found.qemu), ("renode", found.renode))
    return [name for name, present in named if present]


def as_json(board: Board) -> dict[str, Any]:
    """Everything about a board in plain JSON types."""
    return {
        "name": board.name,
        "aliases": list(board.aliases),
        "title": board.title,
        "cpu": board.cpu,
        "features": sorted(CPUS[board.cpu].features),
        "clock_hz": board.clock_hz,
        "flash_bytes": board.flash_bytes,
        "ram_bytes": board.ram_bytes,
        "memory": [
            {
                "name": region.name,
                "kind": region.kind,
                "origin": region.origin,
                "size": region.size,
                "usable_by_app": region.usable_by_app,
                "wait": region.wait,
                "cache": region.cache,
                "note": region.note,
            }
            for region in board.memory
        ],
        "frameworks": list(board.frameworks),
        "platformio": board.platformio and {"platform": board.platformio.platform, "board": board.platformio.board},
        "console": {"uart": board.console.uart, "baud": board.console.baud},
        "emulators": emulator_names(board),
        "proves": board.proves,
        "sources": list(board.sources),
    }


def _table(boards: list[Board]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("board", "cpu", "clock", "flash", "RAM", "frameworks", "emulators"):
        table.add_column(heading, justify="right" if heading in ("clock", "flash", "RAM") else "left", no_wrap=True)
    for board in boards:
        host = board.cpu == "host"
        table.add_row(
            board.name,
            board.cpu,
            clock_text(board),
            "–" if host else size_text(board.flash_bytes),
            "–" if host else size_text(board.ram_bytes),
            ", ".join(board.frameworks),
            ", ".join(emulator_names(board)) or "–",
        )
    return table


def _details(board: Board) -> Table:
    cpu = CPUS[board.cpu]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    rows = [("board", board.title), ("cpu", f"{cpu.title} ({board.cpu}), {clock_text(board)}")]
    for region in board.memory:
        usable = "" if region.usable_by_app == region.size else f", usable {size_text(region.usable_by_app)}"
        note = f" {region.note}" if region.note else ""
        if region.wait:
            cached = f" outside of a {size_text(region.cache)} cache" if region.cache else ""
            note = f" About {region.wait} cycles of waiting per word{cached}.{note}"
        rows.append((region.kind, f"{region.name}: {size_text(region.size)} at 0x{region.origin:08X}{usable}.{note}"))
    rows.append(("frameworks", ", ".join(board.frameworks)))
    if board.platformio:
        rows.append(("platformio", f"platform = {board.platformio.platform}, board = {board.platformio.board}"))
    baud = f", {board.console.baud} baud" if board.console.baud else ""
    rows.append(("console", f"{board.console.uart}{baud}"))
    rows.append(("emulators", ", ".join(emulator_names(board)) or "none"))
    if board.proves:
        rows.append(("proves", board.proves))
    if board.aliases:
        rows.append(("also called", ", ".join(board.aliases)))
    rows += [("source" if index == 0 else "", source) for index, source in enumerate(board.sources)]
    for name, text in rows:
        table.add_row(name, Text(text))
    return table


@click.command("boards", context_settings=HELP)
@click.argument("name", required=False)
@click.option("--json", "as_json_text", is_flag=True, help="Print JSON instead of a table.")
def command(name: str | None, as_json_text: bool) -> None:
    """List the boards, or show NAME in detail.

    NAME is a board, one of its other names (- and _ alike), or a path to a .toml file of your own.
    """
    if as_json_text:
        found = as_json(load_board(name)) if name else [as_json(board) for board in all_boards().values()]
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    content = _details(load_board(name)) if name else _table(list(all_boards().values()))
    terminal = Console()
    width = None if terminal.is_terminal else 160  # a pipe has no width: never cut what a script reads
    Console(width=width, highlight=False).print(content)
