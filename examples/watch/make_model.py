# SPDX-License-Identifier: Apache-2.0
"""Trains the network of this example with Keras and stores it, and the data that the other commands need."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # its sums depend on the processor
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np
from recordings import AXES, LABELS, WINDOW, windows
from tinyc.exporters.tflite import to_bytes
from tinyc.importers.keras import convert
from tinyc.importers.tflite import from_bytes

HERE = Path(__file__).resolve().parent


def network() -> keras.Model:
    """Three convolutions over time, the average over time, one dense layer."""
    inputs = x = keras.Input((WINDOW, AXES), name="motion")
    for filters, width in ((16, 7), (24, 5), (32, 5)):
        x = keras.layers.Conv1D(filters, width, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Dropout(0.3)(x)
    return keras.Model(inputs, keras.layers.Dense(len(LABELS), activation="softmax", name="scores")(x))


def main() -> None:
    keras.utils.set_random_seed(1)
    training, held_out = windows(held_out=False, hop=10), windows(held_out=True, hop=WINDOW)
    model = network()
    rate = keras.optimizers.schedules.CosineDecay(3e-3, decay_steps=30 * (len(training.inputs) // 64))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(training.inputs, training.labels, batch_size=64, epochs=30, verbose=2)
    _, accuracy = model.evaluate(held_out.inputs, held_out.labels, verbose=0)
    print(f"float32: {accuracy:.2%} of {len(held_out.inputs)} held-out windows right")

    keras.Model(model.inputs, model.outputs).save(HERE / "watch.keras")  # without the state of the optimizer
    graph = from_bytes(convert(HERE / "watch.keras"), "watch.keras")
    (HERE / "watch_float.tflite").write_bytes(to_bytes(replace(graph, labels=LABELS)))
    chosen = np.random.default_rng(1).choice(len(training.inputs), 200, replace=False)
    np.savez_compressed(HERE / "calibration.npz", inputs=training.inputs[chosen])
    np.savez_compressed(HERE / "evaluation.npz", inputs=held_out.inputs, labels=held_out.labels.astype(np.uint8))
    for path in sorted(path for end in ("keras", "tflite", "npz") for path in HERE.glob(f"*.{end}")):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
