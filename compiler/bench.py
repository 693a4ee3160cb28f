# SPDX-License-Identifier: Apache-2.0
"""`tinyc bench`: exact instructions, estimated cycles, flash, RAM and stack of models, side by side with a peer's numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ModelError
from .pipeline import Options, compile_model
from .report import LayerRow, Report


@dataclass(frozen=True)
class Peer:
    """A competitor's numbers for one model: bytes of RAM (and of its arena alone) and flash, and instructions per inference by core."""

    title: str
    ram: int | None
    arena: int | None
    flash: int | None
    stack: int | None
    instructions: Mapping[str, int]


@dataclass(frozen=True)
class Row:
    """One model on one board. Sizes in bytes; `instructions` is exact, per inference; None where nothing could count.

    `cycles_estimate` is an estimate, see tinyc.cycles; `cycles_range` is what the table allows; None without a table for the core.
    """

    model: str
    board: str
    cpu: str
    macs: int
    instructions: float | None
    flash: int | None
    ram: int
    stack: int | None
    emulator: str
    toolchain: str
    layers: tuple[LayerRow, ...]
    peer: Peer | None
    cycles_estimate: float | None = None
    cycles_range: tuple[float, float] | None = None

    @property
    def per_mac(self) -> float | None:
        return self.instructions / self.macs if self.instructions is not None and self.macs else None

    @property
    def cycles_per_mac(self) -> float | None:
        return self.cycles_estimate / self.macs if self.cycles_estimate is not None and self.macs else None

    @property
    def peer_instructions(self) -> int | None:
        return self.peer.instructions.get(self.cpu) if self.peer is not None else None

    @property
    def ratio(self) -> float | None:
        """Our instructions as a share of the peer's."""
        if self.instructions is None or self.peer_instructions is None:
            return None
        return self.instructions / self.peer_instructions


def bench(
    models: Sequence[Path],
    boards: Sequence[str],
    *,
    compare: Path | None = None,
    optimize: str = "speed",
    toolchain: str = "auto",
    progress: Callable[[str], None] = lambda text: None,
) -> list[Row]:
    """Builds and verifies every model for every board. Raises like `tinyc.compile`: a number of wrong code is worth nothing."""
    peers = load_peers(compare) if compare is not None else {}
    rows = []
    for model in models:
        for board in boards:
            progress(f"{model.name} on {board}")
            options = Options(board, optimize=optimize, count=1, toolchain=toolchain, profile=True)
            report = compile_model(model, options, progress).report
            rows.append(_row(report, peers.get(report.sha256)))
    return rows


def _row(report: Report, peer: Peer | None) -> Row:
    counted = next((engine for engine in report.verification if engine.instructions is not None), None)
    engine = counted or next(iter(report.verification), None)
    return Row(
        model=report.name,
        board=report.board,
        cpu=report.cpu,
        macs=report.macs,
        instructions=counted.instructions if counted else None,
        flash=report.flash.total,
        ram=report.ram.arena,
        stack=report.stack.measured if report.stack.measured is not None else report.stack.bound,
        emulator=engine.emulator if engine else "",
        toolchain=engine.toolchain if engine else "",
        layers=report.layers,
        peer=peer,
        cycles_estimate=counted.cycles_estimate if counted else None,
        cycles_range=counted.cycles_range if counted else None,
    )


def load_peers(path: Path) -> dict[str, Peer]:
    """A peer's numbers by the model's sha256, from a JSON file like `benchmarks/tflm_cmsis_nn.json`."""
    try:
        data: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {
            sha: Peer(
                data["title"], m.get("ram"), m.get("arena"), m.get("flash"), m.get("stack"), dict(m["instructions"])
            )
            for sha, m in data["models"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            str(path),
            f"cannot be used: {error}",
            expected='JSON: {"title": ..., "models": {sha256: {"instructions": {core: n}, "ram": ..., "flash": ...}}}',
        ) from None
