# SPDX-License-Identifier: Apache-2.0
"""Damaged Edge TPU files: each is read or refused with a ModelError, in bounded time and memory."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[2] / "shared" / "models" / "edgetpu"
MAX_MODEL_BYTES = 900_000
PROCESSES = 2


def models() -> list[str]:
    """Real compiled files, if there is a folder of them beside the repository; the large ones only take time."""
    found = sorted(FOLDER.glob("*_edgetpu.tflite")) if FOLDER.is_dir() else []
    return [str(path) for path in found if path.stat().st_size <= MAX_MODEL_BYTES]


def run(seed: int, count: int, timeout: float) -> tuple[list[dict[str, Any]], Counter[str], float]:
    share = count // PROCESSES
    workers = [
        subprocess.Popen(
            [sys.executable, str(HERE / "edgetpu_worker.py"), str(seed), str(first), str(share), *models()],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        for first in range(0, count, share)
    ]
    findings: list[dict[str, Any]] = []
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    try:
        for worker in workers:
            output, _ = worker.communicate(timeout=timeout)
            assert worker.returncode == 0, f"a worker ended with {worker.returncode}"
            report = json.loads(output)
            findings += report["findings"]
            outcomes.update(report["outcomes"])
            slowest = max(slowest, report["slowest"])
    finally:
        for worker in workers:
            worker.kill()
    return findings, outcomes, slowest


def check(seed: int, count: int, timeout: float) -> None:
    findings, outcomes, slowest = run(seed, count, timeout)
    shown = "\n".join(str(finding) for finding in findings[:20])
    assert not findings, f"{len(findings)} of {count} files:\n{shown}"
    assert sum(outcomes.values()) == count
    # Damage that is always or never noticed would test little.
    assert outcomes["refused"] > count // 10
    assert outcomes["accepted"] + outcomes["rejected"] > count // 10
    assert slowest < 5


def test_damaged_files() -> None:
    check(seed=1, count=300, timeout=120)


@pytest.mark.slow
def test_many_damaged_files() -> None:
    check(seed=2, count=2000, timeout=600)
