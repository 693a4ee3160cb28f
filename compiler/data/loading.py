# SPDX-License-Identifier: Apache-2.0
"""`load`: whatever the user has, as a Dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..errors import ModelError, UsageError
from ..graph import Array, Tensor
from .arrays import as_samples, npy_samples, npz_samples, real_values
from .checks import doubts
from .dataset import Dataset
from .folder import open_folder
from .functions import find_function, function_samples, split_reference
from .labels import label_finder, resolve
from .options import DataOptions
from .select import Sample, collect
from .source import COMMON, Source, reject_options, value_preprocessing
from .table import csv_samples

#: Called with how many samples are read so far.
Progress = Callable[[int], None]

EXPECTED: Final = "a .npy, .npz or .csv file, a folder of images, .wav or .npy files, or file.py:function"


def load(
    source: Path | str | Array | Callable[[], Any],
    inputs: Sequence[Tensor],
    options: DataOptions | None = None,
    *,
    names: Sequence[str] = (),
    classes: Sequence[str] = (),
    progress: Progress | None = None,
) -> Dataset:
    """Calibration or evaluation data for a model.

    Args:
        source: path of a .npy, .npz or .csv file or of a folder of images, .wav or .npy files; `file.py:function`, or a function
            without arguments that yields samples or (sample, label) pairs; or an array.
        inputs: the model's input tensors, `graph.input_tensors`.
        options: how to read the data.
        names: names of the inputs, `graph.input_names`, for sources with several.
        classes: the model's class names, `graph.labels`.
        progress: called from time to time.

    Raises:
        ModelError: the data are at fault; names the file, what was expected, and what to do.
        UsageError: an option is at fault.
    """
    options = options if options is not None else DataOptions()
    if not inputs:
        raise ModelError("model", "has no inputs", expected="at least one")
    opened = open_source(source, inputs, names, options)
    samples, check_labels = opened.samples, None
    if options.labels is not None:
        find, check_labels = label_finder(options.labels)
        samples = (replace(sample, label=find(number, sample.name)) for number, sample in enumerate(samples))
    texts: set[str] = set()
    chosen, found = collect(opened.where, _watched(samples, texts, progress), options.samples)
    if check_labels is not None:
        check_labels(found)
    sample_names = tuple(sample.name for sample in chosen)
    labels, class_names = resolve(
        str(options.labels or opened.where), [sample.label for sample in chosen], texts, sample_names, classes
    )
    arrays = tuple(np.stack([sample.arrays[i] for sample in chosen]) for i in range(len(inputs)))
    warnings = (*opened.remarks, *doubts(arrays, inputs, labels, class_names, options.says_values))
    return Dataset(arrays, sample_names, labels, class_names, opened.preprocessing, warnings, found)


def _watched(samples: Iterator[Sample], texts: set[str], progress: Progress | None) -> Iterator[Sample]:
    """The samples; `texts` collects the labels that are texts, of all samples and not only the chosen ones."""
    for number, sample in enumerate(samples):
        if isinstance(sample.label, str):
            texts.add(sample.label)
        if progress is not None and number % 16 == 0:
            progress(number)
        yield sample


def open_source(
    source: Path | str | Array | Callable[[], Any], inputs: Sequence[Tensor], names: Sequence[str], options: DataOptions
) -> Source:
    """The source by what it is: an object, `file.py:function`, or a path by its extension. Raises ModelError."""
    if not isinstance(source, Path | str):
        return _open_object(source, inputs, names, options)
    reference = split_reference(str(source))
    if reference is not None:
        return _from_function(str(source), find_function(*reference), inputs, names, options)
    path = Path(source)
    if path.is_dir():
        return open_folder(path, _only(path, inputs), options)
    return _open_file(path, inputs, names, options)


def _open_file(path: Path, inputs: Sequence[Tensor], names: Sequence[str], options: DataOptions) -> Source:
    suffix = path.suffix.lower()
    if not path.exists():
        raise ModelError(str(path), "no such file or folder", expected=EXPECTED)
    value = value_preprocessing(inputs, options)
    if suffix == ".npz":
        _reject(options, ".npz")
        return Source(str(path), npz_samples(path, inputs, names, value), value)
    if suffix == ".npy":
        _reject(options, ".npy")
        return Source(str(path), npy_samples(path, _only(path, inputs), value, path.name), value)
    if suffix == ".csv":
        _reject(options, ".csv", {"label_column"})
        return Source(str(path), csv_samples(path, _only(path, inputs), options.label_column, value), value)
    hint = "give the folder of the .wav files or images" if suffix in (".wav", ".png", ".jpg", ".jpeg", ".bmp") else ""
    raise ModelError(str(path), f"'{suffix}' data" if suffix else "unknown kind of data", expected=EXPECTED, hint=hint)


def _open_object(source: Any, inputs: Sequence[Tensor], names: Sequence[str], options: DataOptions) -> Source:
    value = value_preprocessing(inputs, options)
    if isinstance(source, np.ndarray):
        _reject(options, "an array")
        tensor = _only(Path("array"), inputs)
        rows = as_samples("array", source, tensor)
        samples = (
            Sample(f"array[{i}]", (real_values(f"array[{i}]", row, tensor, value),)) for i, row in enumerate(rows)
        )
        return Source("array", samples, value)
    if callable(source):
        return _from_function(getattr(source, "__name__", "function"), source, inputs, names, options)
    raise UsageError("source", f"a {type(source).__name__}", expected=f"{EXPECTED}; an array or a function in Python")


def _from_function(
    where: str, function: Callable[[], Any], inputs: Sequence[Tensor], names: Sequence[str], options: DataOptions
) -> Source:
    _reject(options, "a function")
    value = value_preprocessing(inputs, options)
    return Source(where, function_samples(where, function, inputs, names, value), value)


def _only(path: Path, inputs: Sequence[Tensor]) -> Tensor:
    """The model's input, for sources that can feed only one."""
    if len(inputs) != 1:
        wanted = ", ".join(f"'{tensor.name}'" for tensor in inputs)
        raise ModelError(
            str(path),
            f"feeds one input, and the model has {len(inputs)}: {wanted}",
            expected="an .npz with an array per input",
        )
    return inputs[0]


def _reject(options: DataOptions, what: str, allowed: set[str] | None = None) -> None:
    """Raises UsageError for an option that means nothing for this source."""
    reject_options(options, what, COMMON | (allowed or set()))
