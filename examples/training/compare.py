# SPDX-License-Identifier: Apache-2.0
"""Runs a model on the same inputs in every way there is, for the `run.py` and `evaluate.py` of the examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tinyc
from tinyc import reference
from tinyc.data.dataset import to_input
from tinyc.quantize import execute
from tinyc.quantize.real_values import to_real
from tinyc.verification import choose_engines, run_image

from .metrics import area_under_curve

Array = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer[Any]]

#: From inputs [count, ...], outputs [count, ...] and labels [count] to how good the outputs are, and as text.
Metric = Callable[[Floats, Floats, Integers], tuple[float, str]]

COMPILED = "compiled C"


def outputs_by_engine(model: Path, inputs: Array, board: str | None = None) -> Mapping[str, Array]:
    """Output 0 [count, ...] for each of `inputs` [count, ...], by the name of who computed it.

    The C that tinyc generates, compiled for this computer and, with a `board`, for its core and run in emulation; the
    numpy reference; TensorFlow Lite Micro where the package `tflite-micro` is installed.
    """
    outputs = {
        COMPILED: tinyc.compile(model, board="host", verify="none").run(inputs),
        f"the same on {board}": _emulated(model, inputs, board) if board else None,
        "numpy reference": _reference(model, inputs),
        "TensorFlow Lite Micro": _tflite_micro(model, inputs),
    }
    return {engine: np.asarray(found, np.int8) for engine, found in outputs.items() if found is not None}


def _emulated(model: Path, inputs: Array, board: str) -> Array:
    built = tinyc.compile(model, board=board, verify="none")
    engines, why_not = choose_engines("auto", built.program.cpu)
    if not engines:
        raise SystemExit(why_not)
    graph, cpu = built.graph, built.program.cpu
    sets = [[sample.reshape(graph.input_tensors[0].shape)] for sample in inputs]
    output = run_image(built.name, built.library, graph, sets, engines[-1], cpu)
    return np.frombuffer(output, np.int8).reshape(len(inputs), *graph.output_tensors[0].shape[1:])


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


def accuracy(inputs: Floats, outputs: Floats, labels: Integers) -> tuple[float, str]:
    """The share of inputs whose largest output is the label's."""
    right = int((outputs.reshape(len(outputs), -1).argmax(axis=1) == labels).sum())
    return right / len(labels), f"{right / len(labels):8.2%} right ({right})"


def detection(inputs: Floats, outputs: Floats, labels: Integers) -> tuple[float, str]:
    """How well the mean squared difference between input and output tells anomalies (label 1) from normal inputs."""
    error = outputs.reshape(len(outputs), -1) - inputs.reshape(len(inputs), -1)
    area = area_under_curve((error**2).mean(axis=1), labels == 1)
    return area, f"area under the curve {area:.4f}"


def evaluate(integer: Path, real: Path, data: Path, board: str, metric: Metric) -> tuple[int, Mapping[str, float]]:
    """Print how good the float model `real` and the int8 model are on `data`, an .npz of `inputs` and `labels`.

    Returns:
        The exit code: 0, or 1 when an output of the compiled C is not what the others compute; and the figures by name.
    """
    held_out = np.load(data)
    inputs, labels = held_out["inputs"], held_out["labels"]
    graph = tinyc.load(integer)
    (floats,) = execute.outputs(tinyc.load(real), [inputs])
    outputs = outputs_by_engine(integer, to_input(inputs, graph.input_tensors[0]), board)
    found = {"float32": metric(inputs, floats, labels)}
    for engine, numbers in outputs.items():
        found[f"int8, {engine}"] = metric(inputs, to_real(numbers, graph.output_tensors[0]), labels)
    print(f"{real.name} and {integer.name}: {len(inputs)} held-out inputs")
    for engine, (_, text) in found.items():
        _print(engine, text)
    return verdict(outputs), {engine: value for engine, (value, _) in found.items()}


def evaluate_classifier(model: Path, data: Path) -> int:
    """Print the accuracy on the held-out `data` (an .npz of int8 `inputs` and `labels`) per engine; the exit code."""
    held_out = np.load(data)
    inputs, labels = held_out["inputs"], held_out["labels"]
    outputs = outputs_by_engine(model, inputs)
    print(f"{model.name}: {len(inputs)} held-out inputs")
    for engine, found in outputs.items():
        _print(engine, accuracy(inputs, found, labels)[1])
    return verdict(outputs)


def _print(engine: str, text: str) -> None:
    print(f"  {engine:<36} {text}")


def verdict(outputs: Mapping[str, Array]) -> int:
    """Print whether all engines agree; the exit code."""
    wrong = differences(outputs)
    print("\n".join(wrong) if wrong else f"  all {len(outputs)} agree in every byte of every output")
    return 1 if wrong else 0
