# SPDX-License-Identifier: Apache-2.0
"""What a firmware with several models comes to: the report.json of the whole, and its lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..verification import EngineResult
from . import Flash, Report, Stack
from .fit import Fit, bar


@dataclass(frozen=True)
class TotalReport:
    """All models of a firmware together.

    Attributes:
        models: C prefix to the path of the model's own report. `share_arena`: whether they use one memory in turn.
        arena: bytes of RAM of all models' contexts: of the largest one when they share, else their sum.
        flash: of all models, with each kernel once. `stack`: of the model that takes most.
        verification: results of the image that runs all models in turn; each model's own are in its report.
        files: sha256 per file that the build wrote.
    """

    tinyc: str
    name: str
    board: str
    cpu: str
    optimize: str
    format: str
    seed: int
    models: Mapping[str, str]
    share_arena: bool
    arena: int
    flash: Flash
    stack: Stack
    fit: Fit
    verification: tuple[EngineResult, ...]
    not_verified: str
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain lists, numbers and strings, as in report.json."""
        return asdict(self)


def render(report: TotalReport, models: Sequence[Report], console: Console) -> None:
    """Prints what all models take together; `models` are their own reports."""
    table = Table(
        box=None,
        show_header=False,
        padding=(0, 2, 0, 0),
        title=f"all models for {report.board} ({report.cpu})",
        title_justify="left",
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in _lines(report, models):
        table.add_row(name, Text(text))
    console.print(table)


def _lines(report: TotalReport, models: Sequence[Report]) -> list[tuple[str, str]]:
    fit, stack = report.fit, report.stack.bound
    arenas = ", ".join(f"{model.name} {model.ram.arena:,}" for model in models)
    how = "one memory for all models in turn" if report.share_arena else "a context for each model"
    lines = [
        ("RAM", f"{report.arena:,} B: {how} ({arenas}){f'; stack at most {stack:,} B' if stack is not None else ''}"),
        ("", f"{bar(fit.ram_used, fit.ram_available)} {fit.ram_used:,} of {fit.ram_available:,} B of the board's RAM"),
        ("flash", _flash(report.flash)),
        (
            "",
            f"{bar(fit.flash_used, fit.flash_available)} {fit.flash_used:,} of {fit.flash_available:,} B of the board's flash",
        ),
    ]
    for engine in report.verification:
        compared = f"{engine.inputs} inferences in turn, {engine.bytes_compared:,} bytes equal"
        lines += [("verified", f"{engine.emulator}: {compared}"), ("", f"{engine.proves} ({engine.toolchain})")]
    return lines + ([("not verified", report.not_verified)] if report.not_verified else [])


def _flash(flash: Flash) -> str:
    if flash.code is None or flash.total is None:
        return f"{flash.constants:,} B weights and tables; code not measured"
    return f"{flash.total:,} B: weights and tables {flash.constants:,}, code {flash.code:,} with each kernel once"
