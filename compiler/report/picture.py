# SPDX-License-Identifier: Apache-2.0
"""The memory map over time as rectangles: x are the layers, y is the offset in the arena. Coordinates only; the template draws them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from . import Report
from .plan import PlanBuffer

#: Pixels: width of all columns together if the layers are few, and limits of one column.
WIDTH, NARROWEST, WIDEST = 1000.0, 14.0, 110.0
#: Pixels: height of the arena, and room at the left, above and below it.
HEIGHT, LEFT, TOP, BOTTOM = 380.0, 72.0, 14.0, 44.0
#: Pixels of a letter, and of a line of text.
LETTER, LINE = 5.9, 12.0
#: Lines of the scale.
TICKS = 6


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels. `style` is its CSS class, `title` what a pointer on it shows, `lines` what is written in it."""

    x: float
    y: float
    width: float
    height: float
    style: str
    title: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tick:
    """A mark at `at` pixels on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Picture:
    """The memory map. `boxes` are buffers, `hatched` the parts where an output lies over its input, `runs` the streams."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    boxes: tuple[Box, ...]
    hatched: tuple[Box, ...]
    runs: tuple[Box, ...]
    peak: Box
    bound: float
    sizes: tuple[Tick, ...]
    layers: tuple[Tick, ...]


def picture(report: Report) -> Picture:
    """The picture of a report's plan."""
    return _Drawing(report).picture()


def columns(report: Report) -> Mapping[int, tuple[int, int]]:
    """The first and the last layer of each step of the plan: itself, or those of the stream that ends with it."""
    found = {row.index: (row.index, row.index) for row in report.layers} or {0: (0, 0)}
    for stream in report.streams:
        found.update(dict.fromkeys(range(stream.first, stream.last + 1), (stream.first, stream.last)))
    return found


@dataclass(frozen=True)
class _Pair:
    """An output that may lie over its input, and the offsets that they share: `low` to `high` - 1."""

    output: PlanBuffer
    given: PlanBuffer
    lead: int
    low: int
    high: int


class _Drawing:
    def __init__(self, report: Report) -> None:
        self.report, self.plan = report, report.plan
        self.count = max(len(report.layers), 1)
        self.step = min(WIDEST, max(NARROWEST, WIDTH / self.count))
        self.scale = HEIGHT / max(self.plan.size, 1)
        self.columns = columns(report)
        self.buffers = {buffer.id: buffer for buffer in self.plan.buffers}
        self.overlaps = [pair for pair in self.pairs() if pair.low < pair.high]
        #: Column from which on an output lies over the top of a buffer, where its label is.
        self.covered = {
            pair.given.id: self.columns[pair.output.first][0]
            for pair in self.overlaps
            if (pair.given.offset + pair.given.size - pair.high) * self.scale < 2 * LINE
        }

    def pairs(self) -> Iterator[_Pair]:
        for overlap in self.plan.overlaps:
            output, given = self.buffers[overlap.output], self.buffers[overlap.input]
            low = max(output.offset, given.offset)
            high = min(output.offset + output.size, given.offset + given.size)
            yield _Pair(output, given, overlap.lead, low, high)

    def picture(self) -> Picture:
        peak = self.columns[self.plan.peak_step]
        return Picture(
            width=round(LEFT + self.count * self.step + 10, 1),
            height=TOP + HEIGHT + BOTTOM,
            left=LEFT,
            right=round(LEFT + self.count * self.step, 1),
            top=TOP,
            bottom=TOP + HEIGHT,
            boxes=tuple(self.box(buffer) for buffer in self.plan.buffers),
            hatched=tuple(self.hatched(pair) for pair in self.overlaps),
            runs=tuple(
                self._box((s.first, s.last), 0, 0, "run", f"layers {s.first} to {s.last} are computed row by row")
                for s in self.report.streams
            ),
            peak=self._box(peak, 0, self.plan.size, "peak", f"the most bytes are alive at layer {self.plan.peak_step}"),
            bound=self.y(self.plan.lower_bound),
            sizes=tuple(Tick(self.y(size), f"{size:,}") for size in _round_sizes(self.plan.size)),
            layers=tuple(self.layer_ticks()),
        )

    def x(self, column: int) -> float:
        return round(LEFT + column * self.step, 1)

    def y(self, offset: int) -> float:
        return round(TOP + HEIGHT - offset * self.scale, 1)

    def box(self, buffer: PlanBuffer) -> Box:
        span = self.columns[buffer.first][0], self.columns[buffer.last][1]
        end = buffer.offset + buffer.size
        title = (
            f"{buffer.label}: {buffer.kind}, {buffer.size:,} B at {buffer.offset:,} to {end - 1:,}, "
            f"layers {span[0]} to {span[1]}"
        )
        ports = (*self.plan.inputs, *self.plan.outputs)
        style = "port" if buffer.id in ports else buffer.kind
        label = buffer.label if buffer.kind in ("tensor", "window") else buffer.kind
        covered = self.covered.get(buffer.id, span[1] + 1)
        room = self.x(covered) - self.x(span[0]) if covered > span[0] else 0.0
        return self._box(span, buffer.offset, end, style, title, (label, f"{buffer.size:,} B"), room)

    def hatched(self, pair: _Pair) -> Box:
        title = (
            f"{pair.output.label} over {pair.given.label}: starts {pair.given.offset - pair.output.offset:,} B before it, "
            f"{pair.lead:,} B are needed; {pair.high - pair.low:,} B are shared"
        )
        return self._box(self.columns[pair.output.first], pair.low, pair.high, "shared", title)

    def _box(
        self,
        span: tuple[int, int],
        low: int,
        high: int,
        style: str,
        title: str,
        lines: tuple[str, ...] = (),
        room: float = 0.0,
    ) -> Box:
        x, y = self.x(span[0]), self.y(high)
        width, height = round(self.x(span[1] + 1) - x, 1), round(max(self.y(low) - y, 1.0), 1)
        shown = [_cut(line, room - 8) for line in lines[:1]] + [
            line for line in lines[1:] if len(line) * LETTER <= room - 8
        ]
        return Box(x, y, width, height, style, title, tuple(filter(None, shown[: max(0, int((height - 3) // LINE))])))

    def layer_ticks(self) -> Iterator[Tick]:
        every = next(n for n in (1, 2, 5, 10, 20, 50, 100, 1000) if n * self.step >= 22 or n == 1000)
        for row in self.report.layers:
            if row.index % every == 0:
                yield Tick(round(self.x(row.index) + self.step / 2, 1), str(row.index))


def _cut(text: str, width: float) -> str:
    """As much of the end of `text` as fits into `width` pixels, whole parts of a path if these are most of it; or nothing."""
    letters = int(width // LETTER)
    if letters < 5:
        return text if len(text) <= letters else ""
    parts = text.split("/")
    fitting = [rest for rest in ("/".join(parts[first:]) for first in range(len(parts))) if len(rest) <= letters]
    if fitting and (fitting[0] == text or 2 * len(fitting[0]) > letters):
        return fitting[0]
    return f"…{text[1 - letters :]}"


def _round_sizes(size: int) -> list[int]:
    """About TICKS round numbers from 0 to `size`."""
    steps = (factor * 10**power for power in range(12) for factor in (1, 2, 5))
    step = next(step for step in steps if step * TICKS >= size)
    return list(range(0, size + 1, step))
