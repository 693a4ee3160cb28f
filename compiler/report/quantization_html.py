# SPDX-License-Identifier: Apache-2.0
"""The quantization report on one page that needs no network and no script. Coordinates are here; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..emit import environment
from ..graph import short_name
from ..quantize.hints import CLIPPED
from .picture import LEFT, NARROWEST, TOP, WIDEST, WIDTH, Box, Tick
from .quantization import (
    QuantizationReport,
    decibel_text,
    decision_text,
    metric_rows,
    number,
    numbers,
    percent,
    settings_text,
    summary,
)

if TYPE_CHECKING:
    from ..evaluation import Evaluation
    from ..quantize.analysis import Analysis, LayerLoss

#: Pixels: height of the signal-to-noise bars and of the shares of noise under them.
HEIGHT, UNDER = 240.0, 90.0
#: Decibels at the top of the picture; what is better is drawn up to there.
MOST = 60.0
#: Pixels of a histogram, and of a cell of the confusion matrix with and without its number in it.
BAR_WIDTH, BAR_HEIGHT, CELL, SMALL_CELL = 192.0, 56.0, 34.0, 11.0
#: The most classes whose cells have numbers.
NUMBERED = 20


@dataclass(frozen=True)
class Ladder:
    """Layers to the right: `bars` are SQNR in the network upwards, `alone` marks, `shares` of the noise downwards from `base`."""

    width: float
    height: float
    left: float
    right: float
    base: float
    bars: tuple[Box, ...]
    alone: tuple[Box, ...]
    shares: tuple[Box, ...]
    decibels: tuple[Tick, ...]
    layers: tuple[Tick, ...]


@dataclass(frozen=True)
class Histogram:
    """How a tensor's float values lie in its integer range: `path` is the outline, `clipped` the marks at the ends."""

    title: str
    path: str
    clipped: tuple[Box, ...]
    first: str
    last: str
    text: str


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix: rows are true classes, columns what the network says."""

    width: float
    height: float
    left: float
    top: float
    cells: tuple[Box, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]


def page(report: QuantizationReport) -> str:
    """The page. Same report, same text."""
    analysis, evaluation = report.analysis, report.evaluation
    return (
        environment()
        .get_template("report/quantization.html.j2")
        .render(
            report=report,
            summary=summary(report),
            settings=settings_text(report.settings),
            decisions=[decision_text(decision) for decision in report.decisions],
            ladder=ladder(analysis) if analysis is not None else None,
            histograms=[histogram(row) for row in analysis.layers if any(row.histogram)]
            if analysis is not None
            else [],
            rows=[_cells(row) for row in analysis.layers] if analysis is not None else [],
            estimated=decibel_text(analysis.estimated) if analysis is not None else "",
            measured=decibel_text(analysis.sqnr) if analysis is not None else "",
            metrics=metric_rows(evaluation) if evaluation is not None else [],
            matrix=matrix(evaluation) if evaluation is not None else None,
            bar=(BAR_WIDTH, BAR_HEIGHT),
        )
    )


def ladder(analysis: Analysis) -> Ladder:
    """The picture of all layers."""
    step = min(WIDEST, max(NARROWEST, WIDTH / max(len(analysis.layers), 1)))
    base = TOP + HEIGHT
    bars, alone, shares = [], [], []
    for position, row in enumerate(analysis.layers):
        x = round(LEFT + position * step, 1)
        style = "worst" if row is analysis.worst else "port"
        title = _title(row)
        top = _y(row.sqnr)
        bars.append(Box(x + 1, top, round(step - 2, 1), round(base - top, 1), style, title))
        alone.append(Box(x + 1, _y(row.alone), round(step - 2, 1), 2.0, "mark", title))
        shares.append(Box(x + 1, base, round(step - 2, 1), round(row.share * UNDER, 1), "noise", title))
    every = next(n for n in (1, 2, 5, 10, 20, 50, 100, 1000) if n * step >= 22 or n == 1000)
    return Ladder(
        width=round(LEFT + len(analysis.layers) * step + 10, 1),
        height=base + UNDER + 26,
        left=LEFT,
        right=round(LEFT + len(analysis.layers) * step, 1),
        base=base,
        bars=tuple(bars),
        alone=tuple(alone),
        shares=tuple(shares),
        decibels=tuple(Tick(_y(float(value)), str(value)) for value in range(0, int(MOST) + 1, 10)),
        layers=tuple(
            Tick(round(LEFT + (position + 0.5) * step, 1), number(row))
            for position, row in enumerate(analysis.layers)
            if row.node < 0 or row.node % every == 0
        ),
    )


def _y(decibels: float) -> float:
    return round(TOP + HEIGHT * (1 - min(max(decibels, 0.0), MOST) / MOST), 1)


def _title(row: LayerLoss) -> str:
    return (
        f"{number(row)} {row.op} '{short_name(row.name)}': {decibel_text(row.sqnr)} dB in the network, {decibel_text(row.alone)} dB alone, "
        f"{percent(row.share) or '0 %'} of the noise at the output; without its error {_gain(row)}"
    )


def _gain(row: LayerLoss) -> str:
    return f"+{row.gain:.1f} dB" if math.isfinite(row.gain) else "exact"


def _cells(row: LayerLoss) -> tuple[list[str], str, str, bool]:
    """(numbers, details, name, whether much is clipped) of a row of the table."""
    cells = [number(row), row.op, row.dtype, *numbers(row), _gain(row)]
    return cells, "; ".join(_details(row)), row.name.split(";")[0], row.clipped >= CLIPPED


def _details(row: LayerLoss) -> Iterator[str]:
    yield f"range {row.first:.4g} to {row.last:.4g}, values {row.low:.4g} to {row.high:.4g}"
    if row.steps_of:
        yield f"{row.steps:,} of {row.steps_of:,} steps of {row.step:.3g}"
    if row.clipped_channel is not None:
        yield f"{row.clipped_channel[1]:.0%} of what is clipped in channel {row.clipped_channel[0]}"
    if row.beyond:
        yield f"{percent(row.beyond)} of the samples with values that calibration never had"
    if row.weights is not None:
        worst = f"{decibel_text(row.weights.worst_sqnr)} dB in the worst channel, {row.weights.worst}"
        yield f"weights: {worst}; channels {row.weights.spread:.3g}:1 apart"
    if row.weights_share is not None and row.share:
        yield f"{row.weights_share:.0%} of its error from weights"
    if row.bias_shift is not None:
        mean, most, mean_steps, most_steps = row.bias_shift
        yield f"bias corrected by {mean:.2g} in the mean, at most {most:.2g} ({mean_steps:.2g} and {most_steps:.2g} steps)"
    if row.dead:
        yield f"{len(row.dead)} of {row.channels} channels never change ({_numbers(row.dead)})"
    if row.weights is not None and row.weights.zero:
        yield f"{len(row.weights.zero)} channels without weights ({_numbers(row.weights.zero)})"


def _numbers(channels: Sequence[int], most: int = 12) -> str:
    shown = ", ".join(str(channel) for channel in channels[:most])
    return f"{shown}, ..." if len(channels) > most else shown


def histogram(row: LayerLoss) -> Histogram:
    """The outline of a row's counts, in a logarithmic scale: after a RELU most values are 0."""
    width, peak = BAR_WIDTH / len(row.histogram), math.log1p(max(row.histogram))
    points = []
    for position, count in enumerate(row.histogram):
        y = round(BAR_HEIGHT * (1 - math.log1p(count) / peak), 1)
        points.append(f"V{y:g}H{round((position + 1) * width, 1):g}")
    ends = ((0.0, row.clipped_below, "below"), (BAR_WIDTH - 3, row.clipped_above, "above"))
    return Histogram(
        title=f"{number(row)} {row.op} '{short_name(row.name)}'",
        path=f"M0,{BAR_HEIGHT:g}{''.join(points)}V{BAR_HEIGHT:g}Z",
        clipped=tuple(
            Box(x, 0.0, 3.0, BAR_HEIGHT, "clip", f"{percent(share)} of the values {where} the range")
            for x, share, where in ends
            if share > 0
        ),
        first=f"{row.first:.4g}",
        last=f"{row.last:.4g}",
        text=f"{percent(row.used) or '0 %'} used" + (f", {percent(row.clipped)} clipped" if row.clipped else ""),
    )


def matrix(evaluation: Evaluation) -> Matrix | None:
    """The compiled C's confusion matrix; None when the task has none."""
    counts = evaluation.compiled.confusion
    if counts is None:
        return None
    names = [_class_name(evaluation, index) for index in range(len(counts))]
    numbered = len(counts) <= NUMBERED
    side = CELL if numbered else SMALL_CELL
    left = 20.0 + 6.2 * max(len(name) for name in names)
    cells = []
    for row, line in enumerate(counts):
        total = max(sum(line), 1)
        for column, count in enumerate(line):
            shade = "none" if not count else "right" if row == column else "wrong"
            title = f"{count:,} of {sum(line):,} '{names[row]}' are taken for '{names[column]}'"
            x, y = round(left + column * side, 1), round(24.0 + row * side, 1)
            text = (f"{count:,}",) if numbered and count else ()
            # The style's number is the opacity of the cell in tenths.
            style = shade if shade == "none" else f"{shade} o{max(1, math.ceil(10 * count / total))}"
            cells.append(Box(x, y, side - 1, side - 1, style, title, text))
    middle = [(24.0 if axis else left) + (position + 0.5) * side for axis in (0, 1) for position in range(len(names))]
    across = [str(index) for index in range(len(names))]
    every = 1 if numbered else 5
    return Matrix(
        width=round(left + len(names) * side + 10, 1),
        height=round(24.0 + len(names) * side + 8, 1),
        left=left,
        top=24.0,
        cells=tuple(cells),
        rows=tuple(Tick(round(at + 3, 1), name) for at, name in zip(middle[len(names) :], names, strict=True)),
        columns=tuple(
            Tick(round(at, 1), text) for at, text in list(zip(middle[: len(names)], across, strict=True))[::every]
        ),
    )


def _class_name(evaluation: Evaluation, index: int, limit: int = 24) -> str:
    """`3 yes`, cut to `limit` letters; the number alone where classes have no names."""
    if index >= len(evaluation.classes) or evaluation.classes[index] == str(index):
        return str(index)
    text = f"{index} {evaluation.classes[index]}"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
