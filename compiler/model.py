# SPDX-License-Identifier: Apache-2.0
"""A model of any kind the compiler takes → the integer network: `.tflite` int8 as it is, float and legacy ones quantized, Keras
files and SavedModel folders converted first."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .accelerators import used_by
from .data import DataOptions, Dataset, Preprocessing, load
from .data.folder import folder_kind
from .data.source import COMMON
from .errors import ModelError
from .exporters.tflite import to_bytes
from .graph import Array, Graph
from .importers.tflite import from_bytes, read_model
from .passes import ends_before, unsupported
from .passes.cut_outputs import cut_outputs
from .quantize import Quantized, Settings, is_integer, quantize
from .quantize.check import check_operators
from .quantize.prepare import prepare

#: Where samples come from: a path, `file.py:function`, an array, or a function that yields them.
DataSource = Path | str | Array | Callable[[], Any]


@dataclass(frozen=True, eq=False)
class Quantizing:
    """How a float model becomes an integer one.

    Attributes:
        calibrate: samples that say the ranges of activations; None: the model itself must say them.
        data: how these samples are read.
        settings: how they are used. With `allow_float` and no calibration data, a float model stays float.
    """

    calibrate: DataSource | None = None
    data: DataOptions = field(default_factory=DataOptions)
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, eq=False)
class Model:
    """A network as it will be compiled, and the `.tflite` file that holds it.

    Attributes:
        graph: the network, read from `data`.
        data: the `.tflite` file: the user's own, unless the model was quantized or converted.
        quantized: how it was quantized, if it was.
        calibration: the samples that it was quantized with, if any.
        warnings: what the user should look at.
    """

    graph: Graph
    data: bytes
    quantized: Quantized | None = None
    calibration: Dataset | None = None
    warnings: tuple[str, ...] = ()

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How raw data become this model's inputs, where it is known."""
        return None if not self.graph.preprocessing else _preprocessing(self.graph)


def _preprocessing(graph: Graph) -> Preprocessing:
    where = graph.source.file_name or "model"
    try:
        return Preprocessing.from_json(json.loads(graph.preprocessing))
    except (ModelError, ValueError, RecursionError) as problem:
        raise ModelError(where, f"its record of preprocessing cannot be used: {problem}") from problem


def load_model(
    path: Path, wanted: Quantizing, progress: Callable[[str], None] = lambda text: None, outputs: Sequence[str] = ()
) -> Model:
    """The integer network in the file or folder at `path`; with `outputs`, as far as these tensors need it.

    Raises:
        ModelError: it cannot be read or quantized, the data do not suit it, or it is float and there is nothing to quantize it with.
        UsageError: an option is wrong.
        ToolError: TensorFlow is needed to convert it and missing.
    """
    data = read_any(path, progress)
    whole = from_bytes(data, path.name)
    ends, left = (outputs, ()) if outputs else _left_to_the_firmware(whole)
    graph = cut_outputs(whole, ends)
    if ends:
        data = to_bytes(graph)
    if is_integer(graph) or used_by(graph.nodes):
        unused = wanted.calibrate is not None
        already = ("the model is quantized already: calibration data are not used",) * unused
        return Model(graph, data, warnings=(*left, *already))
    samples = None if wanted.calibrate is None else read_calibration(graph, wanted, progress)
    if samples is None and wanted.settings.allow_float:
        return _as_float(graph, wanted.settings)
    found = quantize(graph, samples.arrays if samples else (), wanted.settings, progress)
    record = json.dumps(samples.preprocessing.to_json(), sort_keys=True) if samples else graph.preprocessing
    network = to_bytes(replace(found.graph, preprocessing=record))
    warnings = (*(samples.warnings if samples else ()), *found.warnings, *_floats(found))
    return Model(from_bytes(network, path.name), network, found, samples, warnings)


def _left_to_the_firmware(graph: Graph) -> tuple[Sequence[str], tuple[str, ...]]:
    """Where a network for an accelerator ends, if its vendor's compiler left operators behind that tinyc does not have, and the
    warning that says so: (names of tensors, warnings), both empty where nothing is left."""
    missing = unsupported(graph) if used_by(graph.nodes) else []
    ends = ends_before(graph) if missing else []
    if not ends:
        return (), ()
    where = "; ".join(f"{layer}" for layer, _ in missing[:4]) + (
        f" and {len(missing) - 4} more" if len(missing) > 4 else ""
    )
    names = ", ".join(f"'{name}'" for name in ends)
    return ends, (f"the network ends at {names}: your firmware has to do what tinyc does not have ({where})",)


def read_any(path: Path, progress: Callable[[str], None] = lambda text: None) -> bytes:
    """The `.tflite` bytes of a model file, converted from Keras or a SavedModel folder where it is one."""
    from .importers import keras

    return keras.convert(path, progress) if keras.is_keras(path) else read_model(path)


def read_calibration(graph: Graph, wanted: Quantizing, progress: Callable[[str], None]) -> Dataset:
    """The samples, in real units. Labels are for evaluation and not read."""
    assert wanted.calibrate is not None
    progress("reading the calibration data")
    inputs = [replace(tensor, dtype="float32", quantization=None) for tensor in graph.input_tensors]
    return load(
        wanted.calibrate,
        inputs,
        replace(wanted.data, labels=None),
        names=graph.input_names,
        progress=lambda done: progress(f"reading the calibration data: {done} samples"),
    )


def data_options(given: DataOptions, record: Preprocessing | None, source: DataSource) -> DataOptions:
    """`given`; where it says nothing about values, images or sound, what the model's own record says of them, as far as it means
    something for this source."""
    own = given.given - {"samples", "labels", "label_column", "window", "hop"}
    if record is None or own:
        return given
    found: dict[str, Any] = {"scale": record.scale, "mean": record.mean, "std": record.std}
    kind = folder_kind(Path(source)) if isinstance(source, str | Path) else ""
    if record.image is not None and kind == "images":
        found["color"] = record.image.color
        found["resize"] = None if record.image.resize == "none" else record.image.resize
    if record.audio is not None and kind == "sound":
        found["sample_rate"], found["window"] = record.audio.sample_rate, given.window or record.audio.window
        steps = record.audio.features
        if steps is not None:
            found.update(features=steps.kind, frame_length=steps.frame_length, frame_stride=steps.frame_stride)
            found.update(
                fft=steps.fft, mels=steps.mels, mel_low=steps.low, mel_high=steps.high, spectrum=steps.spectrum
            )
    return replace(given, **found)


def _meant_for(given: DataOptions, source: DataSource) -> DataOptions:
    """`given`, which suited the calibration data, without what means nothing for a source of another kind."""
    kind = folder_kind(Path(source)) if isinstance(source, str | Path) else ""
    images, sound = {"resize", "color"}, given.given - COMMON - {"resize", "color", "label_column"}
    unused = (set() if kind == "images" else images) | (set() if kind == "sound" else sound)
    defaults = DataOptions()
    return replace(given, **{name: getattr(defaults, name) for name in unused})


def read_evaluation(model: Model, source: DataSource, given: DataOptions, progress: Callable[[str], None]) -> Dataset:
    """Samples with labels, in real units, for the network's inputs; all of them, whatever --samples says of calibration."""
    progress("reading the evaluation data")
    if model.calibration is not None:
        given = _meant_for(given, source)
    return load(
        source,
        [replace(tensor, dtype="float32", quantization=None) for tensor in model.graph.input_tensors],
        replace(data_options(given, model.preprocessing, source), samples=None),
        names=model.graph.input_names,
        classes=model.graph.labels,
        progress=lambda done: progress(f"reading the evaluation data: {done} samples"),
    )


def _as_float(graph: Graph, settings: Settings) -> Model:
    """A float model that is to be compiled as such."""
    real = prepare(graph).graph
    check_operators(real, settings)
    data = to_bytes(real)
    name = graph.source.file_name
    return Model(from_bytes(data, name), data, warnings=("the model is compiled in float32, slow on most cores",))


def _floats(found: Quantized) -> tuple[str, ...]:
    if not found.floats:
        return ()
    return (f"{len(found.floats)} layers stay float32: {', '.join(found.floats)}",)
