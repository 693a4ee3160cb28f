# SPDX-License-Identifier: Apache-2.0
"""Trains the autoencoder of this example with Keras and stores it, and the data that the other commands need."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # its sums depend on the processor
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np
from tinyc.importers.keras import convert
from training.metrics import area_under_curve
from utterances import COEFFICIENTS, FRAMES, SPEAKER, utterances

HERE = Path(__file__).resolve().parent


def network() -> keras.Model:
    """144 numbers squeezed through 8 and rebuilt."""
    inputs = x = keras.Input((FRAMES * COEFFICIENTS,), name="utterance")
    for units in (32, 8, 32):
        x = keras.layers.Dense(units, use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.Dense(FRAMES * COEFFICIENTS, name="rebuilt")(x))


def main() -> None:
    keras.utils.set_random_seed(1)
    training, speakers = utterances("TRAIN")
    normal = training[speakers == SPEAKER]
    mean, deviation = normal.mean(axis=(0, 1)), normal.std(axis=(0, 1))
    held_out, speakers = utterances("TEST")
    normal, held_out = (((x - mean) / deviation).reshape(len(x), -1) for x in (normal, held_out))
    anomalous = speakers != SPEAKER

    model = network()
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, 400)), "mse")
    random = np.random.default_rng(1)
    noisy = np.concatenate([normal + random.normal(0, 0.1, normal.shape) for _ in range(8)])
    model.fit(noisy, np.tile(normal, (8, 1)), batch_size=30, epochs=50, verbose=2)
    errors = ((model.predict(held_out, verbose=0) - held_out) ** 2).mean(axis=1)
    print(
        f"float32: area under the curve {area_under_curve(errors, anomalous):.4f} on {len(held_out)} held-out utterances"
    )

    keras.Model(model.inputs, model.outputs).save(HERE / "voice.keras")  # without the state of the optimizer
    (HERE / "voice_float.tflite").write_bytes(convert(HERE / "voice.keras"))
    np.savez_compressed(HERE / "calibration.npz", inputs=normal)
    np.savez_compressed(HERE / "evaluation.npz", inputs=held_out, labels=anomalous.astype(np.uint8))
    for path in sorted(path for end in ("keras", "tflite", "npz") for path in HERE.glob(f"*.{end}")):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
