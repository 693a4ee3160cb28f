# SPDX-License-Identifier: Apache-2.0
"""Measures the models again and writes the tables of benchmarks/README.md and README.md.

The MLPerf Tiny models are taken from `shared/models/mlperf_tiny` beside the repository when it is there; the examples are always measured.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyc.bench import Peer, Row, bench, load_peers
from tinyc.errors import ModelError
from tinyc.importers.tflite import load
from tinyc.lower import OPTIMIZE
from tinyc.pipeline import Options, compile_model
from tinyc.report import Report
from tinyc.targets.cpus import CPUS

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "tflm_cmsis_nn.json"
MLPERF = ROOT.parent / "shared" / "models" / "mlperf_tiny"
BOARDS = ("mps2-an386", "mps2-an500", "mps3-an547", "mps2-an385", "mps2-an385-m0plus", "riscv32-virt", "esp32")
EXAMPLES = [ROOT / "examples" / name / f"{name}.tflite" for name in ("kws", "digits", "sine")]
COMMAND = "tinyc bench MODEL --board BOARD --compare benchmarks/tflm_cmsis_nn.json --layers"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boards", nargs="+", default=list(BOARDS))
    options = parser.parse_args()
    mlperf = [path for name in ("kws", "vww", "ic", "ad") if (path := MLPERF / f"{name}.tflite").is_file()]

    def progress(text: str) -> None:
        if " on " in text:
            print(text, file=sys.stderr)

    rows = bench([*mlperf, *EXAMPLES], options.boards, compare=PEERS, progress=progress)
    page = ROOT / "benchmarks" / "README.md"
    main_rows = [row for row in rows if row.board == "mps2-an386" and row.peer is not None]
    modes = [goals(path, progress) for path in mlperf]
    replace(
        page,
        table(rows)
        + "\n\n"
        + memory([*modes, *(goals(path, progress) for path in EXAMPLES)])
        + "\n\n"
        + layers(main_rows),
    )
    if main_rows:
        replace(ROOT / "README.md", summary(main_rows, modes))
    print(page.read_text(encoding="utf-8"))
    return 0


def replace(path: Path, text: str) -> None:
    """Puts `text` between the markers of a Markdown file."""
    old = path.read_text(encoding="utf-8")
    pattern = r"(<!-- benchmarks:begin -->\n).*?(<!-- benchmarks:end -->)"
    path.write_text(re.sub(pattern, lambda m: f"{m[1]}{text}\n{m[2]}", old, flags=re.DOTALL), encoding="utf-8")


@dataclass(frozen=True)
class Goals:
    """One model on a Cortex-M4 for every goal: goal → report."""

    model: str
    raw: int
    """Bytes of its int8 weights and int32 biases."""
    peer: Peer | None
    reports: Mapping[str, Report]


def goals(model: Path, progress: Callable[[str], None]) -> Goals:
    """Builds and verifies a model for every goal, and fed row by row where its input has rows."""
    reports = {}
    for goal, fed in [*((goal, False) for goal in OPTIMIZE), ("ram", True)]:
        progress(f"{model.name} for {goal}{', input by rows' if fed else ''} on mps2-an386")
        options = Options("mps2-an386", optimize=goal, count=1, stream_input=fed)
        try:
            reports[f"{goal}, `--stream-input`" if fed else goal] = compile_model(model, options).report
        except ModelError:
            assert fed, model
    weighted = [
        layer for layer in load(model).layers() if layer.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    ]
    raw = sum(
        tensor.bytes for layer in weighted for tensor in layer.inputs[1:] if tensor is not None and tensor.constant
    )
    any_report = next(iter(reports.values()))
    return Goals(any_report.name, raw, load_peers(PEERS).get(any_report.sha256), reports)


def memory(models: Sequence[Goals]) -> str:
    """Every goal on the Cortex-M4."""
    headings = [
        "model",
        "`--optimize`",
        "arena B",
        "peer's",
        "proved",
        "stack B",
        "instructions",
        "to `speed`",
        "code B",
        "tables B",
        "to the weights",
        "rows streamed",
    ]
    lines = ["### Every goal, Cortex-M4", "", f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}"]
    for model in models:
        fastest = instructions(model.reports["speed"])
        for goal, report in model.reports.items():
            count = instructions(report)
            streams = ", ".join(f"{s.first}–{s.last}" for s in report.streams)
            constants = report.flash.constants
            cells = [
                model.model,
                goal,
                number(report.ram.arena),
                number(model.peer.arena if model.peer else None),
                "yes" if report.ram.optimal else f"≥ {number(report.ram.lower_bound)}",
                number(report.stack.bound),
                number(count),
                f"{count / fastest:.3f}" if count is not None and fastest else "",
                number(report.flash.code),
                number(constants),
                f"{constants / model.raw:.3f}" if model.raw else "",
                streams,
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def instructions(report: Report) -> float | None:
    return next((e.instructions for e in report.verification if e.instructions is not None), None)


def table(rows: list[Row]) -> str:
    """Every model on every board."""
    headings = ["model", "core", "instructions", "per MAC", "cycles (est.)", "per MAC", "peer's instr.", "share"]
    headings += ["RAM B", "peer's", "flash B", "peer's", "stack B", "counted in", "compiler"]
    lines = [
        f"| {' | '.join(headings)} |",
        f"|{' --- |' * len(headings)}",
    ]
    for row in rows:
        arm = CPUS[row.cpu].family == "cortex-m" and row.peer is not None
        cells = [
            row.model,
            CPUS[row.cpu].title,
            number(row.instructions),
            f"{row.per_mac:.2f}" if row.per_mac is not None else "",
            number(row.cycles_estimate),
            f"{row.cycles_per_mac:.2f}" if row.cycles_per_mac is not None else "",
            number(row.peer_instructions),
            f"{row.ratio:.2f}" if row.ratio is not None else "",
            number(row.ram),
            number(row.peer.ram if arm and row.peer else None),
            number(row.flash),
            number(row.peer.flash if arm and row.peer else None),
            number(row.stack),
            row.emulator,
            row.toolchain,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def layers(rows: list[Row]) -> str:
    """Per layer, on the Cortex-M4."""
    parts = []
    for row in rows:
        lines = [
            f"### {row.model}, layer by layer, {CPUS[row.cpu].title}",
            "",
            "| | operator | output | kernel | MACs | instructions | per MAC | cycles (est.) | per MAC |",
        ]
        lines.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for layer in row.layers:
            shape = "×".join(str(extent) for extent in layer.output_shape)
            macs = number(layer.macs) if layer.macs else ""
            lines.append(
                f"| {layer.index} | {layer.op} | {shape} | `{layer.kernel}` | {macs} "
                f"| {number(layer.instructions)} | {per_mac(layer.instructions, layer.macs)} "
                f"| {number(layer.cycles_estimate)} | {per_mac(layer.cycles_estimate, layer.macs)} |"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def summary(rows: list[Row], modes: Sequence[Goals]) -> str:
    """The README's table: Cortex-M4, ours for three goals against TFLM with CMSIS-NN."""
    names = {
        "kws": "keyword spotting",
        "vww": "visual wake words",
        "ic": "image classification",
        "ad": "anomaly detection",
    }
    lines = [
        "MLPerf Tiny int8 models on a Cortex-M4: exact instruction counts in emulation, outputs byte-equal, the same compiler (gcc 12).",
        "TensorFlow Lite Micro with CMSIS-NN is in its best build for each number. All cores, goals and layers: `benchmarks/README.md`.",
        "",
        "| | instructions: `--optimize speed` | default | TFLM | RAM (arena): default | `ram` | TFLM "
        "| flash with weights: default | `size` | TFLM |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row, model in zip(rows, modes, strict=True):
        peer = row.peer
        assert peer is not None
        usual, small, tight = (model.reports[goal] for goal in ("balanced", "size", "ram"))
        lines.append(
            f"| {names.get(row.model, row.model)} | **{number(row.instructions)}** | {number(instructions(usual))} "
            f"| {number(row.peer_instructions)} | {number(usual.ram.arena)} | **{number(tight.ram.arena)}** | {number(peer.arena)} "
            f"| {number(usual.flash.total)} | **{number(small.flash.total)}** | {number(peer.flash)} |"
        )
    return "\n".join(lines)


def per_mac(count: float | None, macs: int) -> str:
    return f"{count / macs:.2f}" if count is not None and macs else ""


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


if __name__ == "__main__":
    sys.exit(main())
