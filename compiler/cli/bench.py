# SPDX-License-Identifier: Apache-2.0
"""`tinyc bench`: measured numbers, side by side with a peer's."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..bench import Row, bench
from ..lower import OPTIMIZE
from ._help import HELP
from .build import output_console, spinner


@click.command("bench", context_settings=HELP)
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--board", "-b", "boards", multiple=True, default=("mps2-an386",), show_default=True, help="Board; may be repeated."
)
@click.option(
    "--compare", type=click.Path(path_type=Path), help="A peer's numbers, such as benchmarks/tflm_cmsis_nn.json."
)
@click.option("--optimize", type=click.Choice(list(OPTIMIZE)), default="speed", show_default=True)
@click.option("--toolchain", type=click.Choice(["auto", "zig", "gcc", "clang"]), default="auto", show_default=True)
@click.option("--layers", is_flag=True, help="One line per layer too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    models: tuple[Path, ...],
    boards: tuple[str, ...],
    compare: Path | None,
    optimize: str,
    toolchain: str,
    layers: bool,
    as_json: bool,
) -> None:
    """Build and verify MODELS for boards and print exact instructions, flash, RAM and stack.

    Instructions are exact counts from emulation, the same on any computer. Cycles are an estimate: these instructions priced with
    the manual of the core, memory without wait states (docs/cycles.md); empty for cores without such a manual.
    """
    with spinner() as progress:
        rows = bench(models, boards, compare=compare, optimize=optimize, toolchain=toolchain, progress=progress)
    if as_json:
        extra = [{"per_mac": row.per_mac, "cycles_per_mac": row.cycles_per_mac, "ratio": row.ratio} for row in rows]
        click.echo(json.dumps([{**asdict(row), **more} for row, more in zip(rows, extra, strict=True)], indent=2))
        return
    console = output_console()
    _print(rows, console)
    if layers:
        for row in rows:
            _print_layers(row, console)


def _print(rows: list[Row], console: Console) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in (
        "model",
        "board",
        "core",
        "instructions",
        "per MAC",
        "cycles (est.)",
        "per MAC",
        "flash B",
        "RAM B",
        "stack B",
        "peer's",
        "share",
        "in",
    ):
        table.add_column(heading, justify="left" if heading in ("model", "board", "core", "in") else "right")
    for row in rows:
        table.add_row(
            escape(row.model),
            escape(row.board),
            row.cpu,
            _number(row.instructions),
            f"{row.per_mac:.2f}" if row.per_mac is not None else "",
            _number(row.cycles_estimate),
            f"{row.cycles_per_mac:.2f}" if row.cycles_per_mac is not None else "",
            _number(row.flash),
            _number(row.ram),
            _number(row.stack),
            _number(row.peer_instructions),
            f"{row.ratio:.2f}" if row.ratio is not None else "",
            row.emulator,
        )
    console.print(table)
    shares = [end / row.cycles_estimate - 1 for row in rows if row.cycles_estimate for end in row.cycles_range or ()]
    if shares:
        console.print(
            "cycles (est.): an estimate, not measured on silicon; the instructions priced with the core's manual, "
            f"whose ranges allow {min(shares):+.0%} to {max(shares):+.0%}; no wait states (docs/cycles.md)"
        )
    peers = {row.peer.title for row in rows if row.peer is not None}
    for title in sorted(peers):
        console.print(f"peer: {escape(title)}; share: our instructions / its")


def _print_layers(row: Row, console: Console) -> None:
    table = Table(
        box=None, padding=(0, 2, 0, 0), header_style="bold", title=f"{row.model} on {row.board}", title_justify="left"
    )
    for heading in ("", "operator", "output", "kernel", "MACs", "instructions", "per MAC", "cycles (est.)", "per MAC"):
        table.add_column(heading, justify="left" if heading in ("operator", "output", "kernel") else "right")
    for layer in row.layers:
        shape = "×".join(str(extent) for extent in layer.output_shape)
        macs = _number(layer.macs) if layer.macs else ""
        counts = [
            cell
            for value in (layer.instructions, layer.cycles_estimate)
            for cell in (_number(value), _per_mac(value, layer.macs))
        ]
        table.add_row(str(layer.index), layer.op, shape, layer.kernel, macs, *counts)
    console.print(table)


def _per_mac(value: float | None, macs: int) -> str:
    return f"{value / macs:.2f}" if value is not None and macs else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
