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

from ..errors import UsageError
from ..lower import OPTIMIZE
from ..model import Quantizing
from ..pipeline import QUANTIZATION_PAGE, VERIFY, Compilation, Options, compile_model, dump
from ..placement import parse_wanted
from ..projects import KINDS, next_step
from ..report import Report
from ..report.html import PAGE
from ..report.text import render
from ..report.text_map import memory_map
from ..report.totals import render as render_totals
from ..share import compile_models
from ._help import HELP, Sections
from ._quantize import quantize_options


@click.command("build", cls=Sections, context_settings=HELP)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--board", "-b", required=True, help="Board name (see `tinyc boards`), or a path to a board's .toml.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Output folder.  [default: <name>-<board>]")
@click.option(
    "--name",
    "names",
    multiple=True,
    help="C prefix of the model; once for each of several.  [default: from the file name]",
)
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
@click.option(
    "--place",
    "places",
    multiple=True,
    metavar="THING=MEMORY",
    help="Put the arena, the tables, or the input apart from the arena into a memory of the board, such as arena=dtcm.  "
    "[default: the fastest with room]",
)
@click.option(
    "--share-arena",
    is_flag=True,
    help="Several models use one memory in turn (models.h); they do not run at the same time.",
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
@click.option(
    "--outputs",
    multiple=True,
    metavar="TENSOR",
    help="End the network at this tensor, and leave what comes after to the firmware; may be repeated.  [default: its own]",
)
@click.option(
    "--evaluate",
    "evaluation",
    metavar="DATA",
    help="Samples, mostly with labels, to measure accuracy on: that of the compiled C.",
)
@quantize_options
def command(
    models: tuple[Path, ...],
    board: str,
    output: Path | None,
    names: tuple[str, ...],
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
    places: tuple[str, ...],
    share_arena: bool,
    force: bool,
    stage: str | None,
    with_map: bool,
    as_json: bool,
    outputs: tuple[str, ...],
    evaluation: str | None,
    quantizing: Quantizing,
) -> None:
    """Compile MODEL into a firmware project for a board and verify it byte for byte.

    MODEL is an int8 .tflite file, or with --calibrate a float .tflite, .keras or .h5 file or a SavedModel folder.
    Several models become one project: each a library of its own, verified alone and in turn with the others.

    Exit codes: 0 done, 1 the model or data is at fault, 2 usage, 3 does not fit the board, 4 a tool is missing or failed,
    5 verification mismatch.
    """
    _check_several(models, names, inputs, share_arena, stage, outputs, evaluation, quantizing)
    model = models[0]
    options = Options(
        board,
        names[0] if len(models) == 1 and names else None,
        kind,
        framework,
        optimize,
        engine,
        (),
        count,
        seed,
        layers,
        toolchain,
        flash_budget,
        ram_budget,
        stream_input=stream_input,
        place=parse_wanted(places),
        quantizing=quantizing,
        evaluate=evaluation,
        input_files=inputs,
        outputs=outputs,
    )
    if stage is not None:
        click.echo(dump(model, options, stage))
        return
    if len(models) > 1:
        _build_several(models, names, options, share_arena, output, force, with_map, as_json)
        return
    with spinner() as progress:
        built = compile_model(model, options, progress)
        folder = output if output is not None else Path(f"{built.name}-{built.report.board}")
        kept = built.write(folder, force=force)
    if as_json:
        click.echo(json.dumps({**built.report.to_json(), "folder": str(folder)}, indent=2))
    else:
        _print(built, folder, kept, with_map)


def _check_several(
    models: tuple[Path, ...],
    names: tuple[str, ...],
    inputs: tuple[Path, ...],
    share_arena: bool,
    stage: str | None,
    outputs: tuple[str, ...],
    evaluation: str | None,
    quantizing: Quantizing,
) -> None:
    """What one model has and several do not, or the other way round."""
    if len(models) == 1:
        if share_arena:
            raise UsageError("--share-arena", "one model has its memory for itself", expected="two models or more")
        if len(names) > 1:
            raise UsageError("--name", f"given {len(names)} times for one model", expected="once")
        return
    for option, given in (
        ("--input", bool(inputs)),
        ("--dump", stage is not None),
        ("--evaluate", evaluation is not None),
        ("--outputs", bool(outputs)),
        ("--calibrate", quantizing.calibrate is not None),
    ):
        if given:
            raise UsageError(option, f"is for one model, not for {len(models)}", hint="build each model alone for it")


def _build_several(
    models: tuple[Path, ...],
    names: tuple[str, ...],
    options: Options,
    share_arena: bool,
    output: Path | None,
    force: bool,
    with_map: bool,
    as_json: bool,
) -> None:
    with spinner() as progress:
        built = compile_models(models, names, options, share_arena, progress)
        default = f"{'-'.join(model.name for model in built.models)}-{built.report.board}"
        folder = output if output is not None else Path(default)
        kept = built.write(folder, force=force)
    if as_json:
        click.echo(json.dumps({**built.report.to_json(), "folder": str(folder)}, indent=2))
        return
    console = output_console()
    for model in built.models:
        _print_model(model.report, console, with_map)
    render_totals(built.report, [model.report for model in built.models], console)
    console.print()
    reports = [folder / Path(path).parent / PAGE for path in built.report.models.values()]
    _print_folder(folder, reports, kept, built.report.format, console)


def _print(built: Compilation, folder: Path, kept: list[str], with_map: bool) -> None:
    console = output_console()
    _print_model(built.report, console, with_map)
    pages = [PAGE, QUANTIZATION_PAGE] if QUANTIZATION_PAGE in built.files else [PAGE]
    _print_folder(folder, [folder / page for page in pages], kept, built.report.format, console)


def _print_model(report: Report, console: Console, with_map: bool) -> None:
    render(report, console)
    console.print()
    if with_map:
        console.print(Text(memory_map(report, console.width - 1)), soft_wrap=True)
        console.print()


def _print_folder(folder: Path, reports: list[Path], kept: list[str], kind: str, console: Console) -> None:
    console.print(f"[bold]project[/]   {escape(str(folder))}", soft_wrap=True)
    for number, report in enumerate(reports):
        heading = "report" if number == 0 else "      "
        console.print(f"[bold]{heading}[/]    {escape(str(report))}", soft_wrap=True)
    if kept:
        console.print(
            f"[bold]kept[/]      your changed {escape(', '.join(kept))} (--force replaces them)", soft_wrap=True
        )
    console.print(f"[bold]next[/]      {escape(next_step(kind, folder))}", soft_wrap=True)


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
