# SPDX-License-Identifier: Apache-2.0
"""Reports of builds without a compiler: what `tinyc check-plan` and the pictures are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tinyc
from tinyc.pipeline import Options, compile_model
from tinyc.report import Report

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = {
    path.stem: path for path in sorted((ROOT / "examples").glob("*/*.tflite")) if not path.stem.endswith("_float")
}


def build(
    model: Path, optimize: str = "balanced", board: str = "mps2-an386", **options: Any
) -> tinyc.pipeline.Compilation:
    return compile_model(model, Options(board, name="net", optimize=optimize, verify="none", **options))


def as_json(report: Report) -> dict[str, Any]:
    """The report as `tinyc check-plan` reads it."""
    parsed: dict[str, Any] = json.loads(json.dumps(report.to_json()))
    return parsed
