# SPDX-License-Identifier: Apache-2.0
"""The memory map over time for a terminal: layers to the right, offsets upwards, a letter per buffer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import Report
from .picture import columns
from .plan import PlanBuffer

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Rows of the map, and the most characters of a column.
ROWS, WIDEST = 20, 4
#: What an output over its input, and free memory, look like.
SHARED, FREE = "/", "."


def memory_map(report: Report, width: int) -> str:
    """The map and its legend, in lines of at most `width` characters (80 at least).

    A row is a band of offsets; its letter is the buffer with the most bytes in it. A column is a layer, or several when there are
    more layers than fit. Letters repeat after 52 buffers; the legend then has only the buffers that are alive at the peak.
    """
    drawing = _Map(report, max(width, 80))
    return "\n".join([*drawing.rows(), *drawing.legend()])


@dataclass(frozen=True)
class _Band:
    """Offsets `low` to `high` - 1, one row of the map."""

    low: int
    high: int

    def of(self, buffer: PlanBuffer) -> int:
        """Bytes of `buffer` in the band."""
        return max(0, min(self.high, buffer.offset + buffer.size) - max(self.low, buffer.offset))


class _Map:
    def __init__(self, report: Report, width: int) -> None:
        self.plan, self.width = report.plan, width
        self.spans = columns(report)
        self.layers = max(len(report.layers), 1)
        self.alive = [list(self.alive_at(layer)) for layer in range(self.layers)]

    def alive_at(self, layer: int) -> Iterator[PlanBuffer]:
        for buffer in self.plan.buffers:
            if self.spans[buffer.first][0] <= layer <= self.spans[buffer.last][1]:
                yield buffer

    def rows(self) -> Iterator[str]:
        margin = len(f"{self.plan.size:,}") + 2
        together = -(-self.layers // (self.width - margin))
        groups = [range(n, min(n + together, self.layers)) for n in range(0, self.layers, together)]
        wide = min(WIDEST, (self.width - margin) // len(groups))
        per = "a column per layer" if together == 1 else f"a column per {together} layers"
        yield f"memory map: {self.plan.size:,} B, {per}; {SHARED} output over its input, {FREE} free"
        for band in self.bands():
            cells = "".join(self.cell(band, group) * wide for group in groups)
            yield f"{band.low:>{margin - 2},} |{cells}"
        yield " " * margin + _axis(groups, wide)

    def bands(self) -> Iterator[_Band]:
        size = self.plan.size
        rows = min(ROWS, max(1, -(-size // self.plan.alignment)))
        for row in reversed(range(rows)):
            yield _Band(size * row // rows, size * (row + 1) // rows)

    def cell(self, band: _Band, layers: Sequence[int]) -> str:
        """The character of a band while `layers` run: that of the layer that uses most of it."""
        return max((self.cell_at(band, layer) for layer in layers), key=lambda cell: cell[1])[0]

    def cell_at(self, band: _Band, layer: int) -> tuple[str, int]:
        """The character of a band at a layer, and the bytes of it in use."""
        inside = {buffer.id: buffer for buffer in self.alive[layer] if band.of(buffer)}
        if not inside:
            return FREE, 0
        for overlap in self.plan.overlaps:
            if overlap.output in inside and overlap.input in inside:
                one, other = inside[overlap.output], inside[overlap.input]
                low, high = max(one.offset, other.offset), min(one.offset + one.size, other.offset + other.size)
                if 2 * (min(high, band.high) - max(low, band.low)) >= band.high - band.low:
                    return SHARED, band.high - band.low
        largest = max(inside.values(), key=lambda buffer: (band.of(buffer), -buffer.id))
        return _letter(largest), sum(band.of(buffer) for buffer in inside.values())

    def legend(self) -> Iterator[str]:
        """Who the letters are."""
        chosen, heading = list(self.plan.buffers), ""
        if len(chosen) > len(LETTERS):
            chosen, heading = self.alive[self.plan.peak_step], f"alive at the peak, layer {self.plan.peak_step}"
        yield f"   {'offset':>9} {'size':>9}    {'layers':9} {heading}".rstrip()
        for b in sorted(chosen, key=lambda b: (b.first, b.offset, b.id)):
            layers = f"{self.spans[b.first][0]}-{self.spans[b.last][1]}"
            label = "".join(c if c.isprintable() else "?" for c in b.label)
            yield f"{_letter(b)}  {b.offset:>9,} {b.size:>9,} B  {layers:9} {label}"[: self.width]


def _letter(buffer: PlanBuffer) -> str:
    return LETTERS[buffer.id % len(LETTERS)]


def _axis(groups: Sequence[range], wide: int) -> str:
    """The number of each group's first layer, where there is room for it."""
    line = ""
    for position, group in enumerate(groups):
        if len(line) <= position * wide:
            line = line.ljust(position * wide) + f"{group.start} "
    return line.rstrip()
