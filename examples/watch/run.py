# SPDX-License-Identifier: Apache-2.0
"""Quantizes watch_float.tflite, builds it for a board, verifies it in emulation, and evaluates it on held-out data."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.commands import run
from training.compare import accuracy

if __name__ == "__main__":
    sys.exit(run(Path(__file__).parent, accuracy))
