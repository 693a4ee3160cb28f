# SPDX-License-Identifier: Apache-2.0
"""The way from a float model to verified firmware, as a user types it: what the `run.py` of the examples do."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from .compare import Metric, evaluate


def run(folder: Path, metric: Metric) -> int:
    """Quantizes, builds, verifies in emulation, and evaluates the example in `folder`; the exit code.

    The folder has `<name>_float.tflite`, `calibration.npz` and `evaluation.npz`, where `<name>` is the folder's.
    """
    name = folder.resolve().name
    parser = argparse.ArgumentParser(description=f"quantizes, builds, verifies and evaluates examples/{name}")
    parser.add_argument("--board", default="nucleo_f446re", help="a board's name; see `tinyc boards`")
    parser.add_argument("--output", type=Path, default=Path("build", name), help="folder for what is made")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    real, integer = folder / f"{name}_float.tflite", options.output / f"{name}_int8.tflite"
    calibrate, data = ("--calibrate", str(folder / "calibration.npz")), folder / "evaluation.npz"
    firmware = options.output / options.board

    tinyc("quantize", str(real), *calibrate, "-o", str(integer), "--report", str(options.output / "quantization.html"))
    build = ("build", str(real), *calibrate, "--evaluate", str(data), "--name", name)
    tinyc(*build, "--board", options.board, "-o", str(firmware))
    code, _ = evaluate(integer, real, data, options.board, metric)
    return code


def tinyc(*arguments: str) -> None:
    """Runs a command and shows it. Ends the script with its exit code when it fails."""
    print("$ tinyc", *arguments, flush=True)
    code = subprocess.run([sys.executable, "-m", "tinyc", *arguments], check=False).returncode
    if code:
        sys.exit(code)
    print(flush=True)
