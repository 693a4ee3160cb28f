# SPDX-License-Identifier: Apache-2.0
"""Trains the two digits networks of the quantization benchmark with tf_keras: train_digits.py DIGITS.npz FOLDER SEED.

`dcnn` is a small residual network, `dmob` one like MobileNet with ReLU6. DIGITS.npz has `train_x`, `train_y`. FOLDER gets dcnn.h5, dmob.h5.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers


def dcnn() -> Any:
    first = layers.Input((8, 8, 1))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(first)
    x = skip = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(x))
    x = layers.MaxPooling2D()(layers.ReLU()(layers.Add()([x, skip])))
    x = layers.Dense(32, activation="relu")(layers.Flatten()(x))
    return tf_keras.Model(first, layers.Softmax()(layers.Dense(10)(x)))


def dmob() -> Any:
    first = layers.Input((8, 8, 1))
    x = normal(layers.Conv2D(12, 3, padding="same", use_bias=False)(first))
    for channels, stride in ((24, 1), (24, 2), (32, 1), (32, 2)):
        x = normal(layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x))
        x = normal(layers.Conv2D(channels, 1, use_bias=False)(x))
    return tf_keras.Model(first, layers.Softmax()(layers.Dense(10)(layers.GlobalAveragePooling2D()(x))))


def normal(x: Any) -> Any:
    return layers.ReLU(6.0)(layers.BatchNormalization()(x))


if __name__ == "__main__":
    data, folder, seed = np.load(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    tf.config.experimental.enable_op_determinism()
    for make, epochs in ((dcnn, 40), (dmob, 80)):
        tf_keras.utils.set_random_seed(seed)
        model = make()
        model.compile(tf_keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
        model.fit(data["train_x"], data["train_y"].astype("float32"), epochs=epochs, batch_size=32, verbose=0)
        model.save(folder / f"{make.__name__}.h5", save_format="h5")
        print(f"{make.__name__}: {model.count_params()} parameters, {epochs} epochs", file=sys.stderr)
