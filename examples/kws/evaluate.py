# SPDX-License-Identifier: Apache-2.0
"""Measures the accuracy of kws.tflite, compiled to C, on the held-out sounds."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.compare import evaluate_classifier

if __name__ == "__main__":
    here = Path(__file__).parent
    sys.exit(evaluate_classifier(here / "kws.tflite", here / "held_out.npz"))
