# SPDX-License-Identifier: Apache-2.0
"""Makes kws.tflite, an int8 keyword spotter of the DS-CNN kind for six made-up sounds, and held_out.npz to test it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # more threads add floats in another order: another file
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tinyc.quantize
from sounds import LABELS, clips
from tinyc.data.dataset import to_input
from tinyc.exporters.tflite import to_bytes
from training.fit import accuracy, fit, softmax_cross_entropy
from training.graph import to_graph
from training.layers import AveragePool2D, BatchNorm, Conv2D, Dense, DepthwiseConv2D, Flatten, Layer, Relu

MODEL = Path(__file__).with_name("kws.tflite")
HELD_OUT = Path(__file__).with_name("held_out.npz")
CHANNELS = 24


def network(random: np.random.Generator) -> list[Layer]:
    """The shape of DS-CNN (Zhang et al. 2017, arXiv 1711.07128), with 24 channels and three separable blocks."""
    layers = [Conv2D(random, (10, 4), 1, CHANNELS, stride=2), BatchNorm(CHANNELS), Relu()]
    for _ in range(3):
        layers += [DepthwiseConv2D(random, (3, 3), CHANNELS), BatchNorm(CHANNELS), Relu()]
        layers += [Conv2D(random, (1, 1), CHANNELS, CHANNELS), BatchNorm(CHANNELS), Relu()]
    return [*layers, AveragePool2D((25, 5)), Flatten(), Dense(random, CHANNELS, len(LABELS))]


def main() -> None:
    print("making the sounds", flush=True)
    training, labels = clips(np.random.default_rng(1), per_class=400)
    held_out, held_out_labels = clips(np.random.default_rng(2), per_class=50)
    random = np.random.default_rng(3)
    layers = network(random)

    def report(epoch: int, loss: float) -> None:
        print(f"epoch {epoch}: loss {loss:.4f}", flush=True)

    fit(layers, training, labels, softmax_cross_entropy, epochs=20, batch=50, rate=0.005, random=random, report=report)
    print(f"float32: {accuracy(layers, held_out, held_out_labels):.2%} of the held-out sounds right")
    graph = to_graph(layers, training.shape[1:], softmax=True, labels=LABELS)
    quantized = tinyc.quantize.quantize(graph, [training]).graph
    MODEL.write_bytes(to_bytes(quantized))
    inputs = to_input(held_out, quantized.input_tensors[0])
    np.savez_compressed(HELD_OUT, inputs=inputs, labels=held_out_labels.astype(np.int8))
    for path in (MODEL, HELD_OUT):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
