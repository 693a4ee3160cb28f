# SPDX-License-Identifier: Apache-2.0
"""What quantization did to a network, for people and machines: one structure for the terminal, JSON and the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .. import __version__
from ..evaluation.metrics import METRICS
from ..graph import short_name
from ..quantize.real_values import finite
from ..quantize.result import Decision, Quantized, Settings

if TYPE_CHECKING:
    from ..data.preprocessing import Preprocessing
    from ..evaluation import Column, Evaluation
    from ..quantize.analysis import Analysis, LayerLoss


#: Decibels above which differences are those of float32 arithmetic.
EXACT = 120.0


@dataclass(frozen=True)
class QuantizationReport:
    """Everything that `tinyc quantize` has to say.

    Attributes:
        tinyc: version of the tool. `name`: of the network. `model`: the float file. `sha256`: its hash.
        settings: what was asked for.
        calibrated, held_out: samples that gave the ranges, and how many of them measured.
        floats: layers that stayed float32.
        warnings: lines for the user.
        decisions: options that were measured on held-out samples.
        preprocessing: what was done to the raw data, or None.
        analysis, evaluation: or None, without data for them.
    """

    tinyc: str
    name: str
    model: str
    sha256: str
    settings: Settings
    calibrated: int
    held_out: int
    floats: tuple[str, ...]
    warnings: tuple[str, ...]
    decisions: tuple[Decision, ...]
    preprocessing: Preprocessing | None
    analysis: Analysis | None
    evaluation: Evaluation | None

    def to_json(self) -> dict[str, Any]:
        """Plain lists, numbers and strings; the keys are in docs/quantization-report.md."""
        return {
            "tinyc": self.tinyc,
            "name": self.name,
            "model": self.model,
            "sha256": self.sha256,
            "settings": {**asdict(self.settings), "keep_float": list(self.settings.keep_float)},
            "samples": {"calibrated": self.calibrated, "held_out": self.held_out},
            "floats": list(self.floats),
            "warnings": list(self.warnings),
            "decisions": [
                {
                    "option": each.option,
                    "before_db": finite(each.before),
                    "after_db": finite(each.after),
                    "kept": each.kept,
                }
                for each in self.decisions
            ],
            "preprocessing": None if self.preprocessing is None else self.preprocessing.to_json(),
            "analysis": None if self.analysis is None else self.analysis.to_json(),
            "evaluation": None if self.evaluation is None else self.evaluation.to_json(),
        }


def quantization_report(
    quantized: Quantized,
    name: str,
    *,
    analysis: Analysis | None = None,
    evaluation: Evaluation | None = None,
    preprocessing: Preprocessing | None = None,
    warnings: Sequence[str] = (),
) -> QuantizationReport:
    """The report of a network called `name`; `warnings` (of the data) come before those of quantization."""
    source = quantized.real.source
    return QuantizationReport(
        tinyc=__version__,
        name=name,
        model=source.file_name,
        sha256=source.sha256,
        settings=quantized.settings,
        calibrated=quantized.samples[0],
        held_out=quantized.samples[1],
        floats=quantized.floats,
        warnings=tuple(dict.fromkeys((*warnings, *quantized.warnings))),
        decisions=quantized.decisions,
        preprocessing=preprocessing,
        analysis=analysis,
        evaluation=evaluation,
    )


def decibel_text(value: float) -> str:
    """`31.4`; a signal without any error, or none that float32 can tell, is `exact`."""
    if value >= EXACT:
        return "exact"
    return f"{value:.1f}" if math.isfinite(value) else "lost"


def percent(share: float) -> str:
    """`12 %`, `0.31 %`, `<0.01 %`, or nothing for 0."""
    if share <= 0.0:
        return ""
    if share < 0.0001:
        return "<0.01 %"
    return f"{100 * share:.2f} %" if share < 0.01 else f"{100 * share:.0f} %"


def metric_text(key: str, value: float) -> str:
    """A metric as people read it."""
    kind = METRICS[key][1]
    if kind == "points":
        return f"{100 * value:.2f} %"
    if kind == "decibels":
        text = decibel_text(value)
        return text if text == "exact" else f"{text} dB"
    return f"{value:.5g}"


def metric_rows(evaluation: Evaluation) -> list[tuple[str, list[str]]]:
    """(title, a cell per column) of each metric that some column has."""
    rows = [("samples", [f"{column.samples:,}" for column in evaluation.columns])]
    for key, (title, _) in METRICS.items():
        if any(key in column.metrics for column in evaluation.columns):
            rows.append((title, [_cell(column, key) for column in evaluation.columns]))
    return rows


def _cell(column: Column, key: str) -> str:
    value = column.metrics.get(key)
    return "" if value is None else metric_text(key, value)


def settings_text(settings: Settings) -> str:
    """The settings in one line."""
    ranges = f"percentile {settings.percentile:g}" if settings.ranges == "percentile" else settings.ranges
    parts = [
        f"{settings.activations} activations",
        f"{ranges} ranges",
        f"weights per {'channel' if settings.per_channel else 'tensor'}",
        f"bias correction {'on' if settings.bias_correction else 'off'}",
    ]
    return ", ".join(parts + [part for part in ("equalize",) if settings.equalize] + _rounding(settings))


def _rounding(settings: Settings) -> list[str]:
    return [] if settings.rounding == "nearest" else [f"{settings.rounding} rounding"]


def decision_text(decision: Decision) -> str:
    """What an option was measured to bring."""
    before, after = decibel_text(decision.before), decibel_text(decision.after)
    what = "kept" if decision.kept else "not kept"
    return f"{decision.option}: {before} dB without, {after} dB with it on held-out samples; {what}"


def summary(report: QuantizationReport) -> str:
    """The result in one sentence, as far as it was measured."""
    parts = []
    if report.analysis is not None:
        parts.append(f"output SQNR {metric_text('sqnr_db', report.analysis.sqnr)} ({report.analysis.compared} samples)")
    if report.evaluation is not None:
        parts += _against_float(report.evaluation)
    return "; ".join(parts)


def _against_float(evaluation: Evaluation) -> Iterator[str]:
    compiled, real = evaluation.compiled, evaluation.column("float")
    for key in ("accuracy", "auc", "mae"):
        if key in compiled.metrics:
            text = f"{METRICS[key][0]} of the compiled C {metric_text(key, compiled.metrics[key])}"
            if real is not None and key in real.metrics:
                text += f", float {metric_text(key, real.metrics[key])}"
            yield text


# Terminal


def render(report: QuantizationReport, console: Console) -> None:
    """Prints `report`."""
    parts: list[RenderableType] = []
    if report.analysis is not None:
        parts += [_layers(report, report.analysis), Text("")]
    if report.evaluation is not None:
        parts += [_metrics(report.evaluation), Text("")]
    console.print(Group(*parts, _lines(report)))


def plain(text: str) -> str:
    """`text` without characters that a terminal obeys: names come from files."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _layers(report: QuantizationReport, analysis: Analysis) -> RenderableType:
    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        header_style="bold",
        title=Text(plain(f"{report.name}: signal to noise per layer, dB")),
        title_justify="left",
    )
    headings = ("", "operator", "output", "in the net", "alone", "weights", "of the noise", "range", "clipped", "")
    for heading in headings:
        left = heading in ("operator", "output") or heading is headings[-1]
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for row in analysis.layers:
        worst = row is analysis.worst
        cells = [number(row), plain(row.op), plain(short_name(row.name, 32)), *numbers(row), "worst" if worst else ""]
        table.add_row(*(Text(cell) for cell in cells), style="bold red" if worst else "")
    return table


def number(row: LayerLoss) -> str:
    """The layer's number in the integer network; `in` for an input of the network."""
    return str(row.node) if row.node >= 0 else "in"


def numbers(row: LayerLoss) -> list[str]:
    """A layer's cells: SQNR in the network, alone, of the weights; share of the noise; range used; clipped."""
    return [
        decibel_text(row.sqnr),
        decibel_text(row.alone),
        "" if row.weights is None else decibel_text(row.weights.sqnr),
        percent(row.share),
        percent(row.used) if row.steps_of else "",
        percent(row.clipped),
    ]


def _metrics(evaluation: Evaluation) -> RenderableType:
    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        header_style="bold",
        title=f"{evaluation.task} on {evaluation.samples:,} samples",
        title_justify="left",
    )
    table.add_column("")
    for column in evaluation.columns:
        table.add_column(Text(plain(column.title)), justify="right")
    for title, cells in metric_rows(evaluation):
        table.add_row(title, *cells)
    return table


def _lines(report: QuantizationReport) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in _named_lines(report):
        table.add_row(name, Text(plain(text)))
    return table


def _named_lines(report: QuantizationReport) -> Iterator[tuple[str, str]]:
    if summary(report):
        yield "result", summary(report)
    held = f", {report.held_out:,} of them held out" if report.held_out else ""
    yield "calibration", f"{report.calibrated:,} samples{held}; {settings_text(report.settings)}"
    if report.preprocessing is not None:
        yield "data", report.preprocessing.text()
    if report.evaluation is not None and report.evaluation.compared:
        yield "compared", f"reference and compiled C are equal in every byte on {report.evaluation.compared:,} samples"
    for name, lines in (
        ("tried", [decision_text(decision) for decision in report.decisions]),
        ("in float32", report.floats),
        ("warning", report.warnings),
        ("note", report.evaluation.notes if report.evaluation is not None else ()),
        ("try", report.analysis.hints if report.analysis is not None else ()),
    ):
        yield from ((name, line) for line in lines)
