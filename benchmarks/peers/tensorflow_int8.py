# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's own post-training quantization, as a peer: tensorflow_int8.py MODEL.h5 CALIBRATION.npy INT8.tflite.

Full int8 with a representative dataset, int8 inputs and outputs. Prints JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import numpy as np
import tensorflow as tf
import tf_keras
from peak import peak_kib


def main(source: str, calibration: str, quantized: str) -> None:
    model = tf_keras.models.load_model(source, compile=False)
    samples = np.load(calibration)
    signature = tf.TensorSpec([1, *samples.shape[1:]], tf.float32)
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(signature)

    def representative() -> Iterator[list[Any]]:
        return ([sample[None]] for sample in samples)

    start = time.perf_counter()
    work = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    work.optimizations = [tf.lite.Optimize.DEFAULT]
    work.representative_dataset = representative
    work.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    work.inference_input_type = work.inference_output_type = tf.int8
    Path(quantized).write_bytes(work.convert())
    seconds = time.perf_counter() - start
    print(json.dumps({"version": tf.__version__, "seconds": seconds, "peak_kib": peak_kib()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
