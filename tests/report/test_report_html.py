# SPDX-License-Identifier: Apache-2.0
"""report.html and the memory map of the terminal: complete, self-contained, readable when large, and true to the plan."""

import re
import sys
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import SHARED
from plans import EXAMPLES, ROOT, as_json, build
from tinyc.check_plan import check_plan
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import Graph, Node, Quantization, Tensor
from tinyc.pipeline import Compilation
from tinyc.report import Report
from tinyc.report.html import page
from tinyc.report.picture import Box, picture
from tinyc.report.text_map import memory_map

sys.path.insert(0, str(ROOT / "tests" / "cli"))
from command import tinyc

VOID = {"meta", "br", "hr", "img", "link", "input"}
HOSTILE = """a"><script>alert(1)</script>{{ 7 * 7 }}{% raw %}&amp;'\x1b[31m"""


@cache
def example(name: str = "kws", optimize: str = "balanced") -> Compilation:
    return build(EXAMPLES[name], optimize)


class Reader(HTMLParser):
    """Tags that are properly nested, and everything that could reach out of the page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name in ("src", "href", "action", "xlink:href"):
                self.links.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def svg(text: str) -> ElementTree.Element:
    """The picture; it must be well-formed XML."""
    return ElementTree.fromstring(re.findall(r"<svg.*?</svg>", text, re.DOTALL)[0])


def int8(name: str, shape: tuple[int, ...], data: np.ndarray | None = None) -> Tensor:
    return Tensor(name, shape, "int8", Quantization((0.05,), (0,)), data)


def long_network(count: int, name: str = "branch") -> Graph:
    """`count` layers with skip connections: RELU and ADD in turns."""
    tensors, nodes = [int8("x", (1, 16, 16, 4))], []
    for i in range(count):
        tensors.append(int8(f"{name}/{'very_' * 6}long_name_{i}", (1, 16, 16, 4)))
        if i % 3 == 2:
            nodes.append(Node("ADD", (i, i - 2), (i + 1,), {"activation": "NONE"}, 1, i))
        else:
            nodes.append(Node("RELU", (i,), (i + 1,), {}, 1, i))
    return Graph(tuple(tensors), tuple(nodes), (0,), (count,), ("x",), ("y",))


def saved(graph: Graph, folder: Path) -> Path:
    (folder / "m.tflite").write_bytes(to_bytes(graph))
    return folder / "m.tflite"


# ---- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimize", ["balanced", "ram"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_is_complete_and_self_contained(name: str, optimize: str) -> None:
    built = example(name, optimize)
    text = built.files["report.html"].decode()
    reader = Reader(text)
    assert text.startswith("<!DOCTYPE html>") and reader.links == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(reader.tags)
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"] and "url(http" not in text
    assert "@import" not in text and "prefers-color-scheme: dark" in text
    words = " ".join(" ".join(reader.words).split())
    report = built.report
    for row in report.layers:
        assert row.kernel in words and f"{row.macs:,}" in words and f"{row.constants:,}" in words
    for part in (f"arena {report.ram.arena:,} B", f"{report.fit.flash_used:,} of {report.fit.flash_available:,} B"):
        assert part in words
    assert "tinyc check-plan report.json" in words and report.not_verified in words
    assert report.files["report.html"] and as_json(report)["files"].keys() == built.files.keys() - {"report.json"}


def test_a_verified_build_says_so() -> None:
    report = example().report
    measured = replace(
        report,
        layers=tuple(replace(row, instructions=1000 * row.index, cycles_estimate=12.4) for row in report.layers),
        flash=replace(report.flash, code=4321, total=report.flash.constants + 4321, measured_with="gcc <12>"),
        stack=replace(report.stack, bound=640, measured=512),
        not_verified="",
    )
    words = " ".join(" ".join(Reader(page(measured)).words).split())
    first = report.layers[1]
    assert f"{1000 / first.macs:.2f}" in words and "code 4,321 B" in words and "gcc <12>" in words
    assert "stack at most 640 B, 512 B seen in emulation" in words and "not verified" not in words


def test_same_report_same_page() -> None:
    assert build(EXAMPLES["sine"]).files["report.html"] == build(EXAMPLES["sine"]).files["report.html"]


def test_names_are_only_text() -> None:
    report = example().report
    hostile = replace(
        report,
        name=HOSTILE,
        model=HOSTILE,
        board=HOSTILE,
        layers=tuple(replace(row, name=HOSTILE, op=HOSTILE, kernel=HOSTILE) for row in report.layers),
        plan=replace(
            report.plan, method=HOSTILE, buffers=tuple(replace(b, label=HOSTILE) for b in report.plan.buffers)
        ),
        ram=replace(report.ram, live_at_peak=(HOSTILE,)),
        not_verified=HOSTILE,
    )
    text = page(hostile)
    reader = Reader(text)
    assert "script" not in reader.tags and "<script" not in text and "{{ 7 * 7 }}" in text
    assert "".join(reader.words).count(HOSTILE) > 4 * len(report.layers)


def test_a_large_network_stays_readable(tmp_path: Path) -> None:
    built = build(saved(long_network(160), tmp_path))
    text = built.files["report.html"].decode()
    assert len(built.report.layers) == 160 and len(text) < 300_000
    Reader(text)
    drawn = picture(built.report)
    widths = {box.width for box in drawn.boxes}
    assert min(widths) >= 14 and drawn.width < 160 * 14 + 100
    numbers = [int(tick.text) for tick in drawn.layers]
    assert numbers[0] == 0 and 60 <= len(numbers) <= 90, "every other layer has its number"
    assert "the plan is right" in check_plan(as_json(built.report))


# ---- the picture -----------------------------------------------------------------------------------------------------


def rectangle(box: Box) -> tuple[float, float, float, float]:
    return (box.x, box.y, round(box.x + box.width, 1), round(box.y + box.height, 1))


@pytest.mark.parametrize("name", EXAMPLES)
def test_rectangles_are_the_plan(name: str) -> None:
    """Offsets and layers, read back from the rectangles, are those of the plan; only hatched parts are shared."""
    report = example(name).report
    drawn, plan = picture(report), report.plan
    column = (drawn.right - drawn.left) / len(report.layers)
    scale = (drawn.bottom - drawn.top) / plan.size
    assert len(drawn.boxes) == len(plan.buffers)
    for box, buffer in zip(drawn.boxes, plan.buffers, strict=True):
        assert box.x == pytest.approx(drawn.left + buffer.first * column, abs=0.2)
        assert box.x + box.width == pytest.approx(drawn.left + (buffer.last + 1) * column, abs=0.2)
        assert box.y + box.height == pytest.approx(drawn.bottom - buffer.offset * scale, abs=1.1)
        assert box.height == pytest.approx(buffer.size * scale, abs=1.1)
        assert f"{buffer.size:,} B at {buffer.offset:,}" in box.title
    hatched = [rectangle(box) for box in drawn.hatched]
    for i, one in enumerate(drawn.boxes):
        for other in drawn.boxes[i + 1 :]:
            (ax, ay, bx, by), (cx, cy, dx, dy) = rectangle(one), rectangle(other)
            x, y, right, top = max(ax, cx), max(ay, cy), min(bx, dx), min(by, dy)
            if right - x > 1 and top - y > 1.5:
                assert any(
                    h[0] <= x + 1 and h[2] >= right - 1 and h[1] <= y + 1.5 and h[3] >= top - 1.5 for h in hatched
                ), (one.title, other.title)


def test_the_picture_is_in_the_page() -> None:
    report = example().report
    root, drawn = svg(page(report)), picture(report)
    space = "{http://www.w3.org/2000/svg}"
    found = [r for r in root.iter(f"{space}rect") if r.get("class") not in ("peak", "run", "shared")]
    assert [float(r.get("x", "")) for r in found] == [box.x for box in drawn.boxes]
    assert len([r for r in root.iter(f"{space}rect") if r.get("class") == "shared"]) == len(drawn.hatched) > 0
    assert all(r.find(f"{space}title") is not None for r in found)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "mlperf_tiny" / "ic.tflite").is_file(), reason="shared/models is not there")
def test_streams_are_drawn() -> None:
    report = build(SHARED / "mlperf_tiny" / "ic.tflite", "ram").report
    (stream,) = report.streams
    drawn = picture(report)
    column = (drawn.right - drawn.left) / len(report.layers)
    (run,) = drawn.runs
    assert run.width == pytest.approx((stream.last - stream.first + 1) * column, abs=0.2)
    windows = [box for box in drawn.boxes if box.style == "window"]
    assert windows and all(box.width == run.width and box.x == run.x for box in windows)
    assert "Row by row" in page(report) and "a column per layer" in memory_map(report, 100)


# ---- the terminal ----------------------------------------------------------------------------------------------------


def cells(text: str) -> list[str]:
    return [line.split("|")[1] for line in text.splitlines() if "|" in line]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_map_of_the_terminal(width: int) -> None:
    report = example().report
    text = memory_map(report, width)
    rows = cells(text)
    assert all(len(line) <= width for line in text.splitlines()) and "a column per layer" in text
    assert len({len(row) for row in rows}) == 1 and len(rows[0]) % len(report.layers) == 0
    wide = len(rows[0]) // len(report.layers)
    lows = [int(line.split("|")[0].replace(",", "")) for line in text.splitlines() if "|" in line]
    letters = {b.id: chr(ord("a") + b.id) for b in report.plan.buffers}
    assert len(report.plan.buffers) <= 26
    for buffer in report.plan.buffers:
        line = next(line for line in text.splitlines() if line.startswith(f"{letters[buffer.id]}  "))
        assert f"{buffer.size:,} B" in line and f"{buffer.first}-{buffer.last}" in line
        # in the middle of a large buffer is its letter, or an overlap
        for low, row in zip(lows, rows, strict=True):
            if buffer.offset <= low and low + report.plan.size / 20 < buffer.offset + buffer.size:
                for layer in range(buffer.first, buffer.last + 1):
                    assert row[layer * wide] in (letters[buffer.id], "/")
    free = max(b.offset + b.size for b in report.plan.buffers if b.first <= len(report.layers) - 1 <= b.last)
    assert all(row[-1] == "." for low, row in zip(lows, rows, strict=True) if low >= free)


def test_map_of_a_large_network(tmp_path: Path) -> None:
    report = build(saved(long_network(160), tmp_path)).report
    narrow, wide = memory_map(report, 80), memory_map(report, 200)
    assert "a column per 3 layers" in narrow and "a column per layer" in wide
    assert all(len(line) <= 80 for line in narrow.splitlines())
    assert len(narrow.splitlines()) < 40, "only who is alive at the peak is in the legend"
    assert {len(row) for row in cells(wide)} == {160}


def test_option(tmp_path: Path) -> None:
    shown = tinyc(
        *("build", EXAMPLES["sine"], "-b", "mps2-an386", "--verify", "none", "--memory-map", "-o", tmp_path / "out")
    )
    assert shown.code == 0, shown.err
    assert "memory map: 64 B, a column per layer" in shown.out
    assert f"report {tmp_path / 'out' / 'report.html'}" in shown.words
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_control_characters_do_not_reach_the_terminal() -> None:
    report: Report = example("sine").report
    hostile = tuple(replace(b, label="x\x1b[31m\n\ty") for b in report.plan.buffers)
    text = memory_map(replace(report, plan=replace(report.plan, buffers=hostile)), 100)
    assert "\x1b" not in text and "\t" not in text and "x?[31m??y" in text
