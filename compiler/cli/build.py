# SPDX-License-Identifier: Apache-2.0
"""`tinyc build`: a model to a firmware project, verified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from ..importers.tflite import load
from ..lower import OPTIMIZE
from ..pipeline import VERIFY, Compilation, Options, compile_model, dump
from ..projects import KINDS, next_step
from ..report.html import PAGE
from ..report.text import render
from ..report.text_map import memory_map
from ..verification.vectors import load_inputs
from ._help import HELP


@click.command("build", context_settings=HELP)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--board", "-b", required=True, help="Board name (see `tinyc boards`), or a path to a board's .toml.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Output folder.  [default: <name>-<board>]")
@click.option("--name", help="C prefix of the model.  [default: from the file name]")
@click.option(
    "--format",
    "kind",
    type=click.Choice(list(KINDS)),
    help="What to write.  [default: platformio, or cmake for emulator machines]",
)
@click.option("--framework", help="Framework of the project, such as arduino or espidf.  [default: the board's first]")
@click.option("--optimize", type=click.Choice(list(OPTIMIZE)), default="balanced", show_default=True)
@click.option(
    "--verify",
    "engine",
    type=click.Choice(VERIFY),
    default="auto",
    show_default=True,
    help="Where to run the byte comparison.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Inputs to verify with: .npy, one per model input.",
)
@click.option("--count", default=4, show_default=True, help="How many made input sets to verify with.")
@click.option("--seed", default=1, show_default=True, help="Seed of the made input sets.")
@click.option("--layers", is_flag=True, help="Compare every layer, not only the outputs.")
@click.option("--toolchain", type=click.Choice(["auto", "zig", "gcc", "clang"]), default="auto", show_default=True)
@click.option(
    "--flash-budget", type=click.IntRange(min=1), help="Bytes of flash for the model.  [default: the board's]"
)
@click.option("--ram-budget", type=click.IntRange(min=1), help="Bytes of RAM for the model.  [default: the board's]")
@click.option(
    "--stream-input",
    is_flag=True,
    help="Take the model's input row by row (<name>_push_row), without memory for all of it.",
)
@click.option("--force", is_flag=True, help="Replace files that were changed by hand since the last build.")
@click.option(
    "--dump",
    "stage",
    type=click.Choice(["graph", "program", "plan"]),
    help="Print a stage of the compiler as text and stop.",
)
@click.option("--memory-map", "with_map", is_flag=True, help="Print where every buffer lies, layer by layer, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    model: Path,
    board: str,
    output: Path | None,
    name: str | None,
    kind: str | None,
    framework: str | None,
    optimize: str,
    engine: str,
    inputs: tuple[Path, ...],
    count: int,
    seed: int,
    layers: bool,
    toolchain: str,
    flash_budget: int | None,
    ram_budget: int | None,
    stream_input: bool,
    force: bool,
    stage: str | None,
    with_map: bool,
    as_json: bool,
) -> None:
    """Compile MODEL (.tflite) into a firmware project for a board and verify it byte for byte.

    Exit codes: 0 done, 1 the model or data is at fault, 2 usage, 3 does not fit the board, 4 a tool is missing or failed,
    5 verification mismatch.
    """
    sets = load_inputs(load(model), inputs) if inputs else []
    options = Options(
        board,
        name,
        kind,
        framework,
        optimize,
        engine,
        sets,
        count,
        seed,
        layers,
        toolchain,
        flash_budget,
        ram_budget,
        stream_input=stream_input,
    )
    if stage is not None:
        click.echo(dump(model, options, stage))
        return
    with spinner() as progress:
        built = compile_model(model, options, progress)
        folder = output if output is not None else Path(f"{built.name}-{built.report.board}")
        kept = built.write(folder, force=force)
    if as_json:
        click.echo(json.dumps({**built.report.to_json(), "folder": str(folder)}, indent=2))
    else:
        _print(built, folder, kept, with_map)


def _print(built: Compilation, folder: Path, kept: list[str], with_map: bool) -> None:
    console = output_console()
    render(built.report, console)
    console.print()
    if with_map:
        console.print(Text(memory_map(built.report, console.width - 1)), soft_wrap=True)
        console.print()
    console.print(f"[bold]project[/]   {escape(str(folder))}", soft_wrap=True)
    console.print(f"[bold]report[/]    {escape(str(folder / PAGE))}", soft_wrap=True)
    if kept:
        console.print(
            f"[bold]kept[/]      your changed {escape(', '.join(kept))} (--force replaces them)", soft_wrap=True
        )
    console.print(f"[bold]next[/]      {escape(next_step(built.report.format, folder))}", soft_wrap=True)


def output_console() -> Console:
    """Standard output: as wide as the terminal, and wide enough for the tables when it is a file or a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


@contextmanager
def spinner() -> Iterator[Any]:
    """A status line on stderr that shows the stage; silent when stderr is not a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("starting") as status:
        yield lambda text: status.update(text)
