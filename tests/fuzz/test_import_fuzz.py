# SPDX-License-Identifier: Apache-2.0
"""Thousands of damaged files: each gives a Graph or a ModelError, in bounded time and memory."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mutations import structure
from tinyc.exporters.tflite import to_bytes
from worker import graphs

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[2] / "shared" / "models"
MAX_MODEL_BYTES = 350_000

PROCESSES = 2


def models() -> list[str]:
    """Real models, if there is a folder of them beside the repository; the large ones only take time."""
    found = sorted(FOLDER.rglob("*.tflite")) if FOLDER.is_dir() else []
    return [str(path) for path in found if path.stat().st_size <= MAX_MODEL_BYTES]


def run(seed: int, count: int, timeout: float) -> dict[str, Any]:
    share = count // PROCESSES
    workers = [
        subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), str(seed), str(first), str(share), *models()],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        for first in range(0, count, share)
    ]
    reports = []
    try:
        for worker in workers:
            output, _ = worker.communicate(timeout=timeout)
            assert worker.returncode == 0, f"a worker ended with {worker.returncode}"
            reports.append(json.loads(output))
    finally:
        for worker in workers:
            worker.kill()
    outcomes = sum((Counter(report["outcomes"]) for report in reports), Counter())
    return {"findings": [one for report in reports for one in report["findings"]], "outcomes": outcomes}


def check(report: dict[str, Any], count: int) -> None:
    shown = "\n".join(str(finding) for finding in report["findings"][:20])
    assert not report["findings"], f"{len(report['findings'])} of {count} files:\n{shown}"
    outcomes = report["outcomes"]
    assert sum(outcomes.values()) == count
    # Damage that is always or never noticed at once would test little.
    assert outcomes["refused"] > count // 10
    assert outcomes["imported"] > count // 20


def test_the_seeds_are_walked_to_their_end() -> None:
    for graph in graphs():
        found = structure(to_bytes(graph))
        assert len(found.tables) >= 6
        assert len(found.offsets) >= 10
        assert found.lengths


def test_damaged_files() -> None:
    check(run(seed=1, count=3000, timeout=120), 3000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_damaged_files(seed: int) -> None:
    check(run(seed, count=5000, timeout=600), 5000)
