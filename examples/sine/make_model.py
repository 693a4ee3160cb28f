# SPDX-License-Identifier: Apache-2.0
"""Makes sine.tflite: a perceptron 1 → 16 → 16 → 1 that learns sin(x) on 0 to 2π, in int8."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # more threads add floats in another order: another file
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tinyc.quantize
from tinyc.exporters.tflite import to_bytes
from training.fit import fit, predict, squared_error
from training.graph import to_graph
from training.layers import Dense, Relu

MODEL = Path(__file__).with_name("sine.tflite")


def main() -> None:
    random = np.random.default_rng(1)
    x = np.linspace(0, 2 * np.pi, 1024, dtype=np.float32)[:, None]
    layers = [Dense(random, 1, 16), Relu(), Dense(random, 16, 16), Relu(), Dense(random, 16, 1)]
    # Spread the bends of the first layer over the range of x; they would all start at x = 0.
    layers[0].bias.value[:] = -layers[0].weights.value[:, 0] * random.uniform(0, 2 * np.pi, 16)

    def report(epoch: int, loss: float) -> None:
        if epoch % 200 == 0:
            print(f"epoch {epoch}: mean squared error {loss:.6f}", flush=True)

    fit(layers, x, np.sin(x), squared_error, epochs=1000, batch=32, rate=0.01, random=random, report=report)
    print(f"float32: largest error {np.abs(predict(layers, x) - np.sin(x)).max():.4f}")
    MODEL.write_bytes(to_bytes(tinyc.quantize.quantize(to_graph(layers, x.shape[1:]), [x]).graph))
    print(f"{MODEL.name}: {MODEL.stat().st_size} bytes")


if __name__ == "__main__":
    main()
