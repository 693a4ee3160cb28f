# SPDX-License-Identifier: Apache-2.0
"""Compares sine.tflite, compiled to C, with sin(x) for all 256 inputs that int8 has."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tinyc
from tinyc.quantize.real_values import to_real
from training.compare import outputs_by_engine, verdict

MODEL = Path(__file__).with_name("sine.tflite")


def main() -> int:
    graph = tinyc.load(MODEL)
    inputs = np.arange(-128, 128).astype(np.int8).reshape(-1, 1)
    x = to_real(inputs, graph.input_tensors[0])
    outputs = outputs_by_engine(MODEL, inputs)
    print(f"{MODEL.name}: all {len(inputs)} int8 inputs, x from {x.min():.2f} to {x.max():.2f}")
    for engine, found in outputs.items():
        error = np.abs(to_real(found.reshape(-1, 1), graph.output_tensors[0]) - np.sin(x))
        print(f"  {engine:<22} largest error {error.max():.4f}, mean error {error.mean():.4f}")
    return verdict(outputs)


if __name__ == "__main__":
    sys.exit(main())
