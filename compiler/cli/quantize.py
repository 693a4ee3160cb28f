# SPDX-License-Identifier: Apache-2.0
"""`tinyc quantize`: a float model to an integer one, with a report that explains what it cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from ..data import Dataset
from ..errors import ModelError, UsageError
from ..evaluation import Evaluation, evaluate
from ..model import Model, Quantizing, load_model, read_evaluation
from ..output import write_single_files
from ..quantize.analysis import analyse
from ..report.quantization import QuantizationReport, quantization_report, render
from ..report.quantization_html import page
from ._help import HELP, Sections
from ._quantize import quantize_options
from .build import output_console, spinner


@click.command("quantize", cls=Sections, context_settings=HELP)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="The .tflite file to write.  [default: <model>_int8.tflite]"
)
@click.option(
    "--evaluate",
    "evaluation",
    metavar="DATA",
    help="Samples, mostly with labels, to measure accuracy on: that of the compiled C.",
)
@click.option(
    "--outputs",
    multiple=True,
    metavar="TENSOR",
    help="End the network at this tensor, without what comes after; may be repeated.  [default: its own]",
)
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="An HTML page to write, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@quantize_options
def command(
    model: Path,
    output: Path | None,
    evaluation: str | None,
    outputs: tuple[str, ...],
    report_file: Path | None,
    as_json: bool,
    quantizing: Quantizing,
) -> None:
    """Quantize MODEL (a float .tflite, .keras or .h5 file, or a SavedModel folder) and write an integer .tflite file.

    The file computes the same bytes in TensorFlow Lite Micro as in tinyc. Exit codes as those of `tinyc build`.
    """
    target = output or _default_output(model, quantizing.settings.activations)
    read = (model, quantizing.calibrate, evaluation, quantizing.data.labels)
    _check_outputs(target, report_file, read)
    with spinner() as progress:
        found = load_model(model, quantizing, progress, outputs)
        if found.quantized is None:
            raise ModelError(str(model), *_nothing_to_do(quantizing))
        data = None if evaluation is None else read_evaluation(found, evaluation, quantizing.data, progress)
        report = _report(found, target.stem, data, progress)
        files = {target: found.data}
        if report_file is not None:
            files[report_file] = page(report).encode()
        write_single_files(files)
    if as_json:
        click.echo(json.dumps({**report.to_json(), "output": str(target), "bytes": len(found.data)}, indent=2))
        return
    console = output_console()
    render(report, console)
    console.print(f"\nmodel     {target} ({len(found.data):,} B)", soft_wrap=True, markup=False)
    if report_file is not None:
        console.print(f"report    {report_file}", soft_wrap=True, markup=False)
    console.print(f"next      tinyc build {target} --board BOARD", soft_wrap=True, markup=False)


def _default_output(model: Path, activations: str) -> Path:
    return Path(f"{model.name.removesuffix(model.suffix).removesuffix('_float')}_{activations}.tflite")


def _check_outputs(output: Path, report: Path | None, sources: Iterable[object]) -> None:
    """The files to write must be files of their own, in folders that exist, and none that is read."""
    read = [Path(str(source)) for source in sources if isinstance(source, str | Path)]
    read += [Path(str(path).rpartition(":")[0]) for path in read if ":" in str(path)]
    for option, path in (("--output", output), ("--report", report)):
        if path is None:
            continue
        if path.exists() and not path.is_file():
            raise UsageError(option, f"'{path}' is a folder or a device", expected="a file")
        if not path.absolute().parent.is_dir():
            raise UsageError(option, f"the folder of '{path}' does not exist", hint="make it first")
        inside = path.exists() and any(
            source.is_dir() and source.resolve() in path.resolve().parents for source in read
        )
        if inside or any(path.resolve() == source.resolve() for source in read):
            raise UsageError(option, f"'{path}' is a file that is read", expected="another file")
    if report is not None and report.resolve() == output.resolve():
        raise UsageError("--report", "is the file of --output", expected="another file")


def _nothing_to_do(quantizing: Quantizing) -> tuple[str]:
    if quantizing.settings.allow_float and quantizing.calibrate is None:
        return ("there is no calibration data, so that all of it stays float",)
    return ("is quantized already: give it to `tinyc build` as it is",)


def _report(found: Model, name: str, data: Dataset | None, progress: Callable[[str], None]) -> QuantizationReport:
    """The report: layers analysed on the evaluation data where there are some, else on the calibration data."""
    assert found.quantized is not None
    samples = data or found.calibration
    analysis = None if samples is None else analyse(found.quantized, samples.arrays, progress)
    measured: Evaluation | None = None
    if data is not None:
        measured = evaluate(
            found.graph, data.arrays, data.labels, real=found.quantized.real, classes=data.classes, progress=progress
        )
    return quantization_report(
        found.quantized,
        name,
        analysis=analysis,
        evaluation=measured,
        preprocessing=found.preprocessing,
        warnings=found.warnings,
    )
