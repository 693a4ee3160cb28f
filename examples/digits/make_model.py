# SPDX-License-Identifier: Apache-2.0
"""Trains a CNN on scikit-learn's handwritten digits and stores it, as float32 and as int8, and the data for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # more threads add floats in another order: another file
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tinyc.quantize
from sklearn.datasets import load_digits
from tinyc.exporters.tflite import to_bytes
from training.fit import accuracy, fit, softmax_cross_entropy
from training.graph import to_graph
from training.layers import AveragePool2D, BatchNorm, Conv2D, Dense, DepthwiseConv2D, Flatten, MaxPool2D, Relu

HERE = Path(__file__).resolve().parent
LABELS = tuple("0123456789")
TRAINING = 1200
"""Of the 1797 images; the other 597 are held out."""

CALIBRATION = 200
"""How many of the training images calibrate."""


def main() -> None:
    random = np.random.default_rng(1)
    digits = load_digits()
    order = random.permutation(len(digits.images))
    images, labels = (digits.images[order, :, :, None] / 16).astype(np.float32), digits.target[order]
    layers = [
        *(Conv2D(random, (3, 3), 1, 16), BatchNorm(16), Relu()),
        *(DepthwiseConv2D(random, (3, 3), 16), BatchNorm(16), Relu()),
        *(Conv2D(random, (1, 1), 16, 24), BatchNorm(24), Relu()),
        MaxPool2D((2, 2)),
        *(Conv2D(random, (3, 3), 24, 32), BatchNorm(32), Relu()),
        AveragePool2D((4, 4)),
        Flatten(),
        Dense(random, 32, len(LABELS)),
    ]

    def report(epoch: int, loss: float) -> None:
        if epoch % 5 == 0:
            print(f"epoch {epoch}: loss {loss:.4f}", flush=True)

    training = images[:TRAINING]
    fit(
        layers,
        training,
        labels[:TRAINING],
        softmax_cross_entropy,
        epochs=40,
        batch=32,
        rate=0.003,
        random=random,
        report=report,
    )
    print(f"float32: {accuracy(layers, images[TRAINING:], labels[TRAINING:]):.2%} of the held-out images right")
    graph = to_graph(layers, images.shape[1:], softmax=True, labels=LABELS)
    quantized = tinyc.quantize.quantize(graph, [training[:CALIBRATION]])
    (HERE / "digits_float.tflite").write_bytes(to_bytes(graph))
    (HERE / "digits.tflite").write_bytes(to_bytes(quantized.graph))
    np.savez_compressed(HERE / "calibration.npz", inputs=training[:CALIBRATION])
    np.savez_compressed(HERE / "evaluation.npz", inputs=images[TRAINING:], labels=labels[TRAINING:].astype(np.uint8))
    for path in sorted([*HERE.glob("*.tflite"), *HERE.glob("*.npz")]):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
