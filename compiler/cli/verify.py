# SPDX-License-Identifier: Apache-2.0
"""`tinyc verify`: run the byte comparison again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from ..pipeline import VERIFY
from ..recheck import open_subject, recheck
from ..verification.vectors import load_inputs
from ._help import HELP
from .build import output_console, spinner


@click.command("verify", context_settings=HELP)
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--emulator",
    type=click.Choice([name for name in VERIFY if name != "none"]),
    default="auto",
    show_default=True,
    help="Where to run it.",
)
@click.option("--board", "-b", help="For a model: the board whose core it is compiled for.  [default: host]")
@click.option("--seed", default=1, show_default=True, help="Seed of the made input sets.")
@click.option("--count", default=4, show_default=True, type=click.IntRange(min=1), help="How many made input sets.")
@click.option(
    "--input", "inputs", multiple=True, type=click.Path(path_type=Path), help="Own inputs: .npy, one per model input."
)
@click.option("--layers", is_flag=True, help="Compare every layer and name the first differing element.")
@click.option("--toolchain", type=click.Choice(["auto", "zig", "gcc", "clang"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    target: Path,
    emulator: str,
    board: str | None,
    seed: int,
    count: int,
    inputs: tuple[Path, ...],
    layers: bool,
    toolchain: str,
    as_json: bool,
) -> None:
    """Compare a build (the C files that are in its folder now), or a model, with the reference, byte for byte.

    Exit code 5 names the first layer and element that differ.
    """
    sets = load_inputs(open_subject(target, board).program.graph, inputs) if inputs else []
    with spinner() as progress:
        results = recheck(
            target,
            emulator=emulator,
            board=board,
            seed=seed,
            count=count,
            inputs=sets,
            layers=layers,
            toolchain=toolchain,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps([asdict(result) for result in results], indent=2))
        return
    console = output_console()
    for result in results:
        compared = f", all {result.layers_compared} layers" if result.layers_compared else ""
        counted = f"; {result.instructions:,.0f} instructions per inference" if result.instructions is not None else ""
        console.print(
            f"[green]equal[/]  {result.emulator}: {result.inputs} inputs, {result.bytes_compared:,} bytes{compared}{counted}"
        )
        console.print(f"       {result.proves} ({result.toolchain})")
