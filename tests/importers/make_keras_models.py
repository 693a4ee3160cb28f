# SPDX-License-Identifier: Apache-2.0
"""Run by test_keras_tensorflow.py with the Python that has TensorFlow: make_keras_models.py FOLDER [REAL_MODEL ...].

Saves small models of Keras 3 and tf_keras in FOLDER. Beside each, and for each real model, NAME.npz with random inputs (by name) and what
Keras predicts for them, in the model's order (output_0, output_1, ...).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import keras
import numpy as np
import tensorflow as tf
import tf_keras

FOLDER = Path(sys.argv[1])


def samples(shapes: dict[str, Sequence[int]]) -> dict[str, Any]:
    random = np.random.default_rng(7)
    return {name: random.normal(size=(1, *shape[1:])).astype(np.float32) for name, shape in shapes.items()}


def expect(name: str, arrays: dict[str, Any], results: Any) -> None:
    outputs = {f"output_{k}": np.asarray(result) for k, result in enumerate(tf.nest.flatten(results))}
    np.savez(FOLDER / f"{name}.npz", **{f"input:{key}": array for key, array in arrays.items()}, **outputs)


def save(library: Any, model: Any, name: str) -> None:
    """As .keras and as .h5, with predictions of the model."""
    arrays = samples({tensor.name: tensor.shape for tensor in model.inputs})
    given = [*arrays.values()]
    expect(name, arrays, model(given[0] if len(given) == 1 else given, training=False))
    for suffix in ("keras", "h5"):
        model.save(FOLDER / f"{name}.{suffix}")


def sequential(k: Any) -> Any:
    """Batch normalization with statistics that are not the first ones, dropout."""
    x = k.layers
    model = k.Sequential(
        [
            x.Input((12, 12, 1), name="image"),
            x.Conv2D(4, 3, activation="relu"),
            x.BatchNormalization(),
            x.MaxPooling2D(),
        ]
    )
    for layer in (x.Dropout(0.3), x.Flatten(), x.Dense(10, activation="softmax")):
        model.add(layer)
    scale, offset, mean, variance = model.layers[1].get_weights()
    model.layers[1].set_weights([scale * 1.5, offset + 0.2, mean + 0.1, variance * 2])
    return model


def sound(k: Any) -> Any:
    first = k.layers.Input((64, 3), name="accel")
    x = k.layers.Conv1D(8, 5, padding="same", activation="relu")(first)
    x = k.layers.GlobalAveragePooling1D()(k.layers.MaxPooling1D(2)(x))
    x = k.layers.Flatten()(k.layers.Reshape((2, 4))(x))
    return k.Model(first, k.layers.Dense(3, name="gesture")(x))


def several(k: Any) -> Any:
    """Inputs and outputs whose order is not that of their names."""
    image, extra = k.layers.Input((8, 8, 3), name="image"), k.layers.Input((5,), name="extra")
    x = k.layers.Concatenate()([k.layers.GlobalAveragePooling2D()(k.layers.DepthwiseConv2D(3)(image)), extra])
    outputs = [k.layers.Dense(3, name="zoo", activation="softmax")(x), k.layers.Dense(2, name="box")(x)]
    return k.Model([image, extra], outputs)


def broken(k: Any, name: str) -> None:
    """Models that cannot be converted."""
    x = k.layers

    class Mine(x.Layer):  # type: ignore[misc, name-defined]
        def call(self, value: Any) -> Any:
            return value * 3

    photo, first = x.Input((None, 20, 3), name="photo"), x.Input((8,))
    k.Model(photo, x.Conv2D(4, 3)(photo)).save(FOLDER / f"{name}_open.keras")
    for suffix in ("keras", "h5"):
        k.Model(first, x.Lambda(lambda value: value * 2, name="double")(first)).save(FOLDER / f"{name}_lambda.{suffix}")
        k.Model(first, Mine()(first)).save(FOLDER / f"{name}_custom.{suffix}")
    sequential(k).save_weights(FOLDER / f"{name}_only.weights.h5")


class Subclassed(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = keras.layers.Dense(6, activation="relu"), keras.layers.Dense(2)
        self.normal = keras.layers.BatchNormalization()

    def call(self, value: Any, training: bool = False) -> Any:
        return self.last(self.normal(self.first(value), training=training))


class Functions(tf.Module):  # type: ignore[misc]
    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32, name="x")])  # type: ignore[misc]
    def gamma(self, x: Any) -> Any:
        return tf.math.igamma(x, x + 1.0) + tf.math.lgamma(x)

    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32, name="x")])  # type: ignore[misc]
    def double(self, x: Any) -> Any:
        return x + x


def main(real: list[str]) -> None:
    for name, library in (("keras3", keras), ("keras2", tf_keras)):
        library.utils.set_random_seed(3)
        for make in (sequential, sound, several):
            save(library, make(library), f"{name}_{make.__name__}")
        broken(library, name)
    model = Subclassed()
    arrays = samples({"value": (1, 7)})
    expect("saved_subclassed", arrays, model(arrays["value"]))
    model.export(FOLDER / "saved_subclassed", verbose=False)
    functions = Functions()
    tf.saved_model.save(functions, str(FOLDER / "saved_gamma"), signatures=functions.gamma)
    both = {"one": functions.gamma, "two": functions.double}
    tf.saved_model.save(functions, str(FOLDER / "saved_two"), signatures=both)
    for path in map(Path, real):
        if path.is_dir():
            signature = tf.saved_model.load(str(path)).signatures["serving_default"]
            arrays = samples({key: spec.shape for key, spec in signature.structured_input_signature[1].items()})
            expect(path.stem, arrays, signature(**arrays))
        else:
            old = tf_keras.models.load_model(path, compile=False)
            arrays = samples({tensor.name: tensor.shape for tensor in old.inputs})
            expect(path.stem, arrays, old(next(iter(arrays.values())), training=False))


if __name__ == "__main__":
    main(sys.argv[2:])
