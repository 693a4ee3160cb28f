# SPDX-License-Identifier: Apache-2.0
"""litert-quantizer in its default static int8 recipe, as a peer: litert_int8.py FLOAT.tflite CALIBRATION.npy INT8.tflite. Prints JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from litert_quantizer import quantizer, recipe
from peak import peak_kib


def main(source: str, calibration: str, quantized: str) -> None:
    signed = f"{quantized}.signed"
    Path(signed).write_bytes(with_signature(Path(source).read_bytes()))
    signature = Interpreter(signed).get_signature_list()
    key = next(iter(signature))
    name = signature[key]["inputs"][0]
    samples = [{name: sample[None]} for sample in np.load(calibration)]
    start = time.perf_counter()
    work = quantizer.Quantizer(signed)
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    result = work.quantize(work.calibrate({key: samples}))
    Path(quantized).unlink(missing_ok=True)
    result.export_model(quantized)
    seconds = time.perf_counter() - start
    os.unlink(signed)
    version = importlib.metadata.version("litert-quantizer")
    print(json.dumps({"version": version, "seconds": seconds, "peak_kib": peak_kib()}))


def with_signature(data: bytes) -> bytes:
    """The model with a SignatureDef, which litert-quantizer needs and older files lack."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    if model.signatureDefs:
        return data
    graph = model.subgraphs[0]
    definition = schema.SignatureDefT()
    definition.signatureKey, definition.subgraphIndex = b"serving_default", 0
    definition.inputs = [named("x", k, tensor) for k, tensor in enumerate(graph.inputs)]
    definition.outputs = [named("y", k, tensor) for k, tensor in enumerate(graph.outputs)]
    model.signatureDefs = [definition]
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def named(letter: str, position: int, tensor: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = f"{letter}{position}".encode(), int(tensor)
    return entry


if __name__ == "__main__":
    main(*sys.argv[1:])
