# SPDX-License-Identifier: Apache-2.0
"""Runs a model on the same inputs in every way there is, for the `evaluate.py` of the examples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tinyc
from tinyc import reference

Array = npt.NDArray[np.int8]

COMPILED = "compiled C"


def outputs_by_engine(model: Path, inputs: Array) -> Mapping[str, Array]:
    """Output 0 [count, ...] for each of `inputs` [count, ...], by the name of who computed it.

    The C that tinyc generates, compiled for this computer; the numpy reference; TensorFlow Lite Micro where the package
    `tflite-micro` is installed.
    """
    outputs = {
        COMPILED: tinyc.compile(model, board="host", verify="none").run(inputs),
        "numpy reference": _reference(model, inputs),
        "TensorFlow Lite Micro": _tflite_micro(model, inputs),
    }
    return {engine: np.asarray(found, np.int8) for engine, found in outputs.items() if found is not None}


def _reference(model: Path, inputs: Array) -> Array:
    graph = tinyc.load(model)
    shape = graph.input_tensors[0].shape
    return np.concatenate([reference.outputs(graph, [sample.reshape(shape)])[0] for sample in inputs])


def _tflite_micro(model: Path, inputs: Array) -> Array | None:
    try:
        from tflite_micro import runtime
    except ImportError:
        return None
    interpreter = runtime.Interpreter.from_file(str(model))
    shape = interpreter.get_input_details(0)["shape"]
    found = []
    for sample in inputs:
        interpreter.set_input(sample.reshape(shape), 0)
        interpreter.invoke()
        found.append(interpreter.get_output(0).copy())
    return np.concatenate(found)


def differences(outputs: Mapping[str, Array]) -> list[str]:
    """One line for each engine whose outputs are not those of the compiled C, naming the first difference."""
    compiled = outputs[COMPILED]
    lines = []
    for engine, found in outputs.items():
        different = np.flatnonzero((found.reshape(len(found), -1) != compiled.reshape(len(found), -1)).any(axis=1))
        if len(different):
            first = int(different[0])
            lines.append(
                f"{engine}: {len(different)} of {len(found)} inputs differ, first input {first}: "
                f"{found[first].tolist()}, compiled C {compiled[first].tolist()}"
            )
    return lines


def evaluate_classifier(model: Path, data: Path) -> int:
    """Print the accuracy on the held-out `data` (an .npz of `inputs` and `labels`) per engine.

    Returns:
        The exit code: 0, or 1 when an output of the compiled C is not what the others compute.
    """
    held_out = np.load(data)
    inputs, labels = held_out["inputs"], held_out["labels"]
    outputs = outputs_by_engine(model, inputs)
    print(f"{model.name}: {len(inputs)} held-out inputs")
    for engine, found in outputs.items():
        right = int((found.reshape(len(found), -1).argmax(axis=1) == labels).sum())
        print(f"  {engine:<22} {right / len(inputs):8.2%} right ({right})")
    return verdict(outputs)


def verdict(outputs: Mapping[str, Array]) -> int:
    """Print whether all engines agree; the exit code."""
    wrong = differences(outputs)
    print("\n".join(wrong) if wrong else f"  all {len(outputs)} agree in every byte of every output")
    return 1 if wrong else 0
