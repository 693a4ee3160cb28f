# SPDX-License-Identifier: Apache-2.0
"""The report as a person reads it: one table of layers and a few lines of totals."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from . import Report
from .fit import bar
from .quantization import metric_rows


def render(report: Report, console: Console) -> None:
    """Prints `report`."""
    console.print(Group(_layers(report), *_totals(report)))


def _layers(report: Report) -> RenderableType:
    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        header_style="bold",
        title=f"{report.name} for {report.board} ({report.cpu})",
        title_justify="left",
    )
    for heading in ("", "operator", "output", "MACs", "flash B", "kernel"):
        table.add_column(heading, justify="right" if heading in ("", "MACs", "flash B") else "left", overflow="fold")
    counted = any(row.instructions is not None for row in report.layers)
    if counted:
        table.add_column("instructions", justify="right")
    for row in report.layers:
        shape = "×".join(str(extent) for extent in row.output_shape)
        cells = [
            str(row.index),
            row.op,
            shape,
            f"{row.macs:,}" if row.macs else "",
            f"{row.constants:,}",
            row.kernel.removeprefix("tinyc_"),
        ]
        if counted:
            cells.append("" if row.instructions is None else f"{row.instructions:,}")
        table.add_row(*cells)
    return table


def _totals(report: Report) -> list[RenderableType]:
    fit = report.fit
    lines = [
        _ram_line(report),
        _bar_line(
            fit.ram_used,
            fit.ram_available,
            "of the board's RAM" if report.stack.bound is None else "of the board's RAM, with the stack",
        ),
        _flash_line(report),
        _bar_line(fit.flash_used, fit.flash_available, "of the board's flash"),
        _stack_line(report),
        *_memory_lines(report),
        *_verification_lines(report),
        *_evaluation_lines(report),
    ]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(name, Text(text))  # not markup: `tinyc[emulate]` is no style
    return [Text(""), table]


def _evaluation_lines(report: Report) -> list[tuple[str, str]]:
    """Accuracy and the like on the user's samples, the compiled C beside the float network and the reference."""
    if report.evaluation is None:
        return []
    columns = report.evaluation.columns
    lines = []
    for title, cells in metric_rows(report.evaluation):
        found = [f"{cell} {column.title}" for column, cell in zip(columns, cells, strict=True) if cell]
        lines.append((title, ", ".join(found)))
    return lines


def _ram_line(report: Report) -> tuple[str, str]:
    ram = report.ram
    proof = "no plan can be smaller" if ram.optimal else f"lower bound {ram.lower_bound:,} B"
    parts = f"input {ram.input:,}, output {ram.output:,}, scratch {ram.scratch:,}"
    return "RAM", f"{ram.arena:,} B arena ({parts}; {proof}), {report.fit.ram_percent} % of the board"


def _bar_line(used: int, available: int, what: str) -> tuple[str, str]:
    return "", f"{bar(used, available)} {used:,} of {available:,} B {what}"


def _flash_line(report: Report) -> tuple[str, str]:
    flash = report.flash
    if flash.code is None or flash.total is None:
        return (
            "flash",
            f"{flash.constants:,} B weights and tables; code not measured "
            f"(needs a compiler for {report.cpu}, see tinyc doctor, and --verify)",
        )
    return (
        "flash",
        f"{flash.total:,} B: weights and tables {flash.constants:,}, code {flash.code:,}; {report.fit.flash_percent} % of the board",
    )


def _stack_line(report: Report) -> tuple[str, str]:
    if report.stack.bound is None:
        return "stack", "not measured"
    measured = f", {report.stack.measured:,} B seen" if report.stack.measured is not None else ""
    return "stack", f"at most {report.stack.bound:,} B{measured}"


def _memory_lines(report: Report) -> list[tuple[str, str]]:
    """Where things are, if there was a choice; and what that costs."""
    lines: list[tuple[str, str]] = []
    if any(place.attribute for place in report.memories):
        for place in (place for place in report.memories if place.bytes):
            wait = f", about {place.wait_cycles:,} cycles of waiting per inference" if place.wait_cycles else ""
            text = f"{place.what}: {place.bytes:,} of {place.available:,} B in {place.memory}{wait}"
            lines.append(("" if lines else "memories", text))
    return [*lines, *(("warning", text) for text in report.warnings)]


def _verification_lines(report: Report) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for engine in report.verification:
        layers = f", all {engine.layers_compared} layers" if engine.layers_compared else ""
        count = f"; {engine.instructions:,.0f} instructions per inference" if engine.instructions is not None else ""
        lines.append(
            (
                "verified",
                f"{engine.emulator}: {engine.inputs} inputs, {engine.bytes_compared:,} bytes equal{layers}{count}",
            )
        )
        lines.append(("", f"{engine.proves} ({engine.toolchain})"))
    if report.not_verified:
        lines.append(("not verified", report.not_verified))
    return lines
