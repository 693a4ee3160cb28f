# SPDX-License-Identifier: Apache-2.0
"""The quantization report: the same numbers in the terminal, in JSON and on the page; names are only text; the page needs nothing."""

import io
import json
import math
import re
import sys
from dataclasses import fields, replace
from functools import cache
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import ROOT
from rich.console import Console
from test_report_html import HOSTILE, Reader
from tinyc.data.preprocessing import Preprocessing
from tinyc.evaluation import Column, Evaluation, evaluate
from tinyc.quantize import execute, quantize
from tinyc.quantize.analysis import Analysis, analyse
from tinyc.quantize.result import Decision
from tinyc.report.quantization import (
    QuantizationReport,
    decibel_text,
    metric_text,
    percent,
    quantization_report,
    render,
)
from tinyc.report.quantization_html import BAR_HEIGHT, BAR_WIDTH, MOST, UNDER, histogram, ladder, matrix, page

sys.path.insert(0, str(ROOT / "tests" / "quantize"))
from hand_made import by_hand, samples, two_layers

SPACE = "{http://www.w3.org/2000/svg}"


@cache
def report() -> QuantizationReport:
    """Of a network whose hidden layer clips, evaluated with its own answers as labels."""
    real, x = two_layers(), samples(140, 3)
    labels = execute.outputs(real, [x])[0].argmax(axis=1)
    quantized = replace(
        by_hand(real, (1 / 127, 0.004, 0.03)),
        bias_shift={5: np.array([0.01, -0.03, 0.0, 0.02], np.float32)},
        decisions=(Decision("--equalize", 31.25, 30.0, False),),
        warnings=("thin coverage: a warning",),
    )
    found = evaluate(quantized.graph, [x], labels, real=real, classes=("no", "yes", "go", "stop"))
    return quantization_report(
        quantized,
        "net",
        analysis=analyse(quantized, [x]),
        evaluation=found,
        preprocessing=Preprocessing(scale=1 / 255),
        warnings=("the data look unnormalised",),
    )


def parts() -> tuple[Analysis, Evaluation]:
    found = report()
    assert found.analysis is not None and found.evaluation is not None
    return found.analysis, found.evaluation


def hostile(text: str = HOSTILE) -> QuantizationReport:
    analysis, evaluation = parts()
    layers = tuple(replace(row, name=text, op=text, dtype=text) for row in analysis.layers)
    columns = tuple(replace(column, title=text, by=text) for column in evaluation.columns)
    return replace(
        report(),
        name=text,
        model=text,
        floats=(text,),
        warnings=(text,),
        decisions=(Decision(text, 1.0, 2.0, True),),
        analysis=replace(analysis, layers=layers, hints=(text,)),
        evaluation=replace(evaluation, classes=(text,) * 4, columns=columns, notes=(text,)),
    )


def printed(of: QuantizationReport, width: int = 150) -> str:
    out = io.StringIO()
    render(of, Console(file=out, width=width))
    return out.getvalue()


def words(of: QuantizationReport) -> str:
    return " ".join(" ".join(Reader(page(of)).words).split())


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_how_numbers_are_written() -> None:
    assert [decibel_text(v) for v in (31.26, math.inf, -math.inf)] == ["31.3", "exact", "lost"]
    assert [percent(v) for v in (0.0, 0.00001, 0.0031, 0.12, 1.0)] == ["", "<0.01 %", "0.31 %", "12 %", "100 %"]
    assert metric_text("accuracy", 0.98765) == "98.77 %" and metric_text("auc", 0.5) == "0.5"
    assert metric_text("sqnr_db", 20.04) == "20.0 dB"


def test_terminal_and_page_have_every_number() -> None:
    found, (analysis, evaluation) = report(), parts()
    text = " ".join(printed(found).split())
    for place in (text, words(found)):
        for row in analysis.layers:
            assert row.name in place and decibel_text(row.sqnr) in place and decibel_text(row.alone) in place
            assert percent(row.share) in place and percent(row.clipped) in place
        for column in evaluation.columns:
            assert column.title in place
            assert all(metric_text(key, value) in place for key, value in column.metrics.items())
        for line in (*analysis.hints, *found.warnings, "--equalize: 31.2 dB without, 30.0 dB with it"):
            assert " ".join(line.split()) in place
        assert "raw * 0.003921569" in place and "100 samples, 10 of them held out" in place
    assert analysis.hints and "140 samples" in text and "accuracy of the compiled C" in text
    worst = next(line for line in printed(found).splitlines() if line.rstrip().endswith("worst"))
    assert analysis.worst is not None and analysis.worst.name in worst
    assert "classification on 140 samples" in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_terminal_is_never_too_narrow(width: int) -> None:
    assert all(len(line) <= width for line in printed(report(), width).splitlines())


def test_without_data_only_what_is_known_is_said() -> None:
    bare = quantization_report(by_hand(two_layers(), (1 / 127, 0.02, 0.03)), "net")
    assert "100 samples" in printed(bare) and "result" not in printed(bare)
    reader = Reader(page(bare))
    assert "svg" not in reader.tags and "h2" not in reader.tags
    assert bare.to_json()["analysis"] is bare.to_json()["evaluation"] is None


def test_metrics_that_have_no_end() -> None:
    _, evaluation = parts()
    column = Column("c", "compiled C", "cc", 3, {"sqnr_db": math.inf, "agreement": 1.0})
    exact = replace(report(), evaluation=replace(evaluation, task="comparison", columns=(column,)))
    assert "exact" in printed(exact) and "exact" in words(exact)
    json.dumps(exact.to_json(), allow_nan=False)


# ---- JSON ------------------------------------------------------------------------------------------------------------


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {str(key) for key in value} | {key for item in value.values() for key in keys(item)}
    return {key for item in value for key in keys(item)} if isinstance(value, list) else set()


def test_every_key_is_documented() -> None:
    text = (ROOT / "docs" / "quantization-report.md").read_text()
    found = report().to_json()
    parsed = json.loads(json.dumps(found, allow_nan=False))
    del parsed["preprocessing"]
    missing = {key for key in keys(parsed) if f"`{key}`" not in text}
    assert missing == set()
    assert parsed["samples"] == {"calibrated": 100, "held_out": 10}
    assert parsed["decisions"] == [{"option": "--equalize", "before_db": 31.25, "after_db": 30.0, "kept": False}]
    assert {field.name for field in fields(QuantizationReport)} - {"calibrated", "held_out"} <= parsed.keys() | {
        "preprocessing"
    }
    assert found["preprocessing"] == Preprocessing(scale=1 / 255).to_json()


# ---- the page --------------------------------------------------------------------------------------------------------


def test_the_page_is_self_contained() -> None:
    text = page(report())
    reader = Reader(text)
    assert text.startswith("<!DOCTYPE html>") and reader.links == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(reader.tags)
    assert set(re.findall(r"https?://[^\"]*", text)) == {"http://www.w3.org/2000/svg"} and "url(" not in text
    assert "@import" not in text and "prefers-color-scheme: dark" in text
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 2 + 3, "layers, confusion matrix, a histogram per tensor"
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert page(report()) == text


def test_names_are_only_text() -> None:
    text = page(hostile())
    reader = Reader(text)
    assert "script" not in reader.tags and "<script" not in text and "{{ 7 * 7 }}" in text
    assert "".join(reader.words).count("alert(1)") >= 12
    assert "\x1b" not in printed(hostile()) and "alert(1)" in printed(hostile())
    assert "[red]" in printed(hostile("[red]x[/red]")) and "[/nothing]" in printed(hostile("[/nothing]"))


def test_bars_are_the_numbers() -> None:
    analysis, _ = parts()
    drawn = ladder(analysis)
    scale = {int(tick.text): tick.at for tick in drawn.decibels}
    high = (scale[0] - scale[int(MOST)]) / MOST
    for row, bar, mark, share in zip(analysis.layers, drawn.bars, drawn.alone, drawn.shares, strict=True):
        assert bar.y + bar.height == pytest.approx(drawn.base, abs=0.1)
        assert bar.height == pytest.approx(min(row.sqnr, MOST) * high, abs=0.2)
        assert mark.y == pytest.approx(drawn.base - min(row.alone, MOST) * high, abs=0.2)
        assert share.height == pytest.approx(row.share * UNDER, abs=0.1) and share.y == drawn.base
        assert (bar.style == "worst") == (row is analysis.worst) and row.name in bar.title
    assert [tick.text for tick in drawn.layers] == ["in", "0", "1"]


def test_histograms_are_the_counts() -> None:
    analysis, _ = parts()
    row = analysis.layers[1]
    drawn = histogram(row)
    points = re.findall(r"V([\d.]+)H([\d.]+)", drawn.path)
    assert len(points) == 64 and float(points[-1][1]) == BAR_WIDTH
    heights = np.array([BAR_HEIGHT - float(y) for y, _ in points])
    counts = np.log1p(np.array(row.histogram, float))
    assert heights == pytest.approx(counts / counts.max() * BAR_HEIGHT, abs=0.1)
    assert row.clipped_above > 0 and len(drawn.clipped) == 1 and "above" in drawn.clipped[0].title
    assert f"{percent(row.clipped)} clipped" in drawn.text


def test_the_matrix_is_the_counts() -> None:
    _, evaluation = parts()
    drawn = matrix(evaluation)
    counts = np.array(evaluation.compiled.confusion)
    assert drawn is not None and len(drawn.cells) == 16
    shown = np.array([int(cell.lines[0]) if cell.lines else 0 for cell in drawn.cells]).reshape(4, 4)
    assert (shown == counts).all() and counts.sum() == 140
    assert [tick.text for tick in drawn.rows] == ["0 no", "1 yes", "2 go", "3 stop"]
    for position, cell in enumerate(drawn.cells):
        row, column = divmod(position, 4)
        assert cell.style.split()[0] == ("none" if not counts[row, column] else "right" if row == column else "wrong")
    many = replace(evaluation, columns=(replace(evaluation.compiled, confusion=((1,) * 40,) * 40),))
    large = matrix(many)
    assert large is not None and large.width < 700 and not any(cell.lines for cell in large.cells)
    none = replace(evaluation, columns=(replace(evaluation.compiled, confusion=None),))
    assert matrix(none) is None


def test_a_large_network_stays_readable() -> None:
    analysis, _ = parts()
    layers = tuple(replace(analysis.layers[1], node=n, name=f"layer/{'long_' * 8}{n}") for n in range(160))
    large = replace(report(), analysis=replace(analysis, layers=layers))
    text = page(large)
    Reader(text)
    assert len(text) < 450_000 and ladder(replace(analysis, layers=layers)).width < 160 * 14 + 100


def test_float_network_alone() -> None:
    """A network that stayed float32 has neither steps nor histograms."""
    real, x = two_layers(), samples(50)
    quantized = quantize(real, [x])
    analysis = analyse(quantized, [x])
    floats = tuple(replace(row, dtype="float32", steps_of=0, histogram=()) for row in analysis.layers)
    of = quantization_report(quantized, "net", analysis=replace(analysis, layers=floats))
    assert "<figure>" not in page(of) and "steps of" not in page(of)
