# SPDX-License-Identifier: Apache-2.0
"""What a network is worth on labelled data: the kind of task, and its metrics.

Kinds: `classification` (one output per class), `binary` (one output, labels 0 and 1), `anomaly` (the output has the input's shape; the
score is the mean squared difference between them, labels 0 and 1), `regression` (real labels), `comparison` (no labels).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ModelError, UsageError, suggestion
from ..graph import Array, Graph, short_name
from ..quantize.simulate import sqnr

TASKS = ("classification", "binary", "anomaly", "regression", "comparison")
#: A confusion matrix of more classes is not kept.
MOST_CLASSES = 64

#: Metric → (title, how it is written); `points` are shares of 1 shown in percent.
METRICS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("accuracy", "points"),
    "top_3": ("top-3 accuracy", "points"),
    "top_5": ("top-5 accuracy", "points"),
    "auc": ("AUC", "number"),
    "mae": ("mean absolute error", "number"),
    "rmse": ("root mean squared error", "number"),
    "agreement": ("same class as float", "points"),
    "sqnr_db": ("output SQNR against float", "decibels"),
}


@dataclass(frozen=True, eq=False)
class Truth:
    """What the outputs are measured against.

    Attributes:
        task: one of `TASKS`.
        classes: how many, for `classification`.
        labels: int64 [n] classes, float64 [n, elements] values, or None.
        threshold: above which output a `binary` network says 1.
    """

    task: str
    classes: int = 0
    labels: Array | None = None
    threshold: float = 0.0

    def at(self, indices: Array) -> Truth:
        """The same for some of the samples."""
        labels = None if self.labels is None else self.labels[indices]
        return Truth(self.task, self.classes, labels, self.threshold)


def truth(graph: Graph, labels: Array | None, samples: int, wanted: str = "auto") -> Truth:
    """The task that `graph` and its labels make, checked.

    Raises ModelError for labels that do not fit the samples or the output, UsageError for an unknown task.
    """
    if wanted not in ("auto", *TASKS):
        raise UsageError("task", f"unknown value '{wanted}'", hint=suggestion(wanted, ("auto", *TASKS)))
    if labels is None:
        if wanted in ("auto", "comparison"):
            return Truth("comparison", _classes(graph))
        raise ModelError("labels", "there are none", expected=f"labels, for the task {wanted}")
    checked = _checked(labels, samples)
    task = _task(graph, checked) if wanted == "auto" else wanted
    if task == "comparison":
        return Truth(task, _classes(graph))
    if task == "regression":
        return Truth(task, labels=_values(graph, checked))
    if task == "classification":
        return Truth(task, _classes(graph, strict=True), _whole(checked, _classes(graph, strict=True), graph))
    if task == "binary" and graph.output_tensors[0].elements != 1:
        raise ModelError(
            "task", f"the output has {graph.output_tensors[0].elements} elements", expected="1, for binary"
        )
    if task == "anomaly" and not _reconstructs(graph):
        raise ModelError("task", "the output has another shape than the input", expected="the same, for anomaly")
    return Truth(task, labels=_whole(checked, 2, graph), threshold=_threshold(graph))


def _checked(labels: Array, samples: int) -> Array:
    array = np.asarray(labels)
    if array.dtype.kind not in "biuf":
        raise ModelError("labels", f"{array.dtype} values", expected="whole numbers from 0 on, or real values")
    if array.ndim < 1 or len(array) != samples:
        found = f"{len(array)} labels for {samples} samples" if array.ndim else "a single number"
        raise ModelError("labels", found, expected="one label per sample, in the samples' order")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        sample = int(np.argwhere(~np.isfinite(array))[0][0])
        raise ModelError("labels", f"sample {sample} has no number as its label", expected="finite numbers")
    return array.reshape(samples) if array.shape[1:] in ((), (1,)) else array


def _task(graph: Graph, labels: Array) -> str:
    """From the shapes and the labels' values; real labels that are all whole are classes where there are several outputs."""
    output = graph.output_tensors[0]
    whole = labels.ndim == 1 and (labels.dtype.kind in "biu" or bool((labels == np.rint(labels)).all()))
    pair = whole and bool(np.isin(labels, (0, 1)).all())
    if pair and _reconstructs(graph):
        return "anomaly"
    if output.elements == 1:
        return "binary" if pair else "regression"
    if whole and _classes(graph):
        return "classification"
    return "regression"


def _reconstructs(graph: Graph) -> bool:
    """Whether the output has the shape of the only input, as an autoencoder's has."""
    shapes = [tensor.shape for tensor in graph.input_tensors]
    return len(shapes) == 1 and graph.output_tensors[0].shape == shapes[0] and graph.output_tensors[0].elements > 1


def _classes(graph: Graph, strict: bool = False) -> int:
    """How many classes output 0 has a score for; 0 when it is no vector of scores (with `strict` an error)."""
    output = graph.output_tensors[0]
    extents = [extent for extent in output.shape if extent != 1]
    if len(extents) == 1 and extents[0] == output.elements and (strict or not _reconstructs(graph)):
        return output.elements
    if not strict:
        return 0
    raise ModelError(
        f"output '{short_name(output.name)}'",
        f"shape {list(output.shape)}",
        expected="one score per class",
        hint=_OTHER_TASK,
    )


_OTHER_TASK = "for another task give labels of its kind: real values for regression, 0 and 1 for anomalies"


def _whole(labels: Array, classes: int, graph: Graph) -> Array:
    """Class numbers as int64."""
    if labels.ndim != 1:
        hint = "numpy.argmax(labels, axis=1) makes class numbers of one-hot rows"
        raise ModelError(
            "labels", f"an array of shape {list(labels.shape)}", expected="one class number per sample", hint=hint
        )
    wrong = (labels < 0) | (labels >= classes) | (labels != np.rint(labels))
    if wrong.any():
        sample = int(np.argmax(wrong))
        raise ModelError(
            "labels",
            f"{labels[sample]:g} (sample {sample}); {int(wrong.sum())} of {len(labels)} are no class of the model",
            expected=f"whole numbers from 0 to {classes - 1}: output '{short_name(graph.output_tensors[0].name)}' tells "
            f"{classes} classes apart",
            hint="class numbers start at 0",
        )
    return labels.astype(np.int64)


def _values(graph: Graph, labels: Array) -> Array:
    output = graph.output_tensors[0]
    if labels.size != len(labels) * output.elements:
        raise ModelError(
            "labels",
            f"{labels.size // max(len(labels), 1)} values per sample",
            expected=f"{output.elements}, as many as output '{short_name(output.name)}' has",
        )
    return labels.reshape(len(labels), -1).astype(np.float64)


def _threshold(graph: Graph) -> float:
    """0.5 where the output is a probability (LOGISTIC), 0 where it may be any number."""
    made = {index: node for node in graph.nodes for index in node.outputs}
    index = graph.outputs[0]
    while index in made and made[index].op in ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE"):
        index = made[index].inputs[0]
    return 0.5 if index in made and made[index].op == "LOGISTIC" else 0.0


def measure(
    against: Truth, inputs: Sequence[Array], outputs: Sequence[Array], baseline: Sequence[Array] | None
) -> dict[str, float]:
    """The metrics of one implementation, by the names in `METRICS`.

    Args:
        against: the labels of these samples.
        inputs: real inputs, arrays [n, ...]; only `anomaly` looks at them.
        outputs: real outputs, arrays [n, ...].
        baseline: the float network's outputs; None for that network itself, or when it is not there.
    """
    found: dict[str, float] = {}
    first = outputs[0].reshape(len(outputs[0]), -1).astype(np.float64)
    labels = against.labels
    if labels is not None and against.task == "classification":
        found["accuracy"] = float((first.argmax(axis=1) == labels).mean())
        if against.classes >= 5:
            k = 5 if against.classes > 10 else 3
            best = np.argsort(-first, axis=1, kind="stable")[:, :k]
            found[f"top_{k}"] = float((best == labels[:, None]).any(axis=1).mean())
        if against.classes == 2:
            found |= _auc(first[:, 1] - first[:, 0], labels)
    elif labels is not None and against.task == "binary":
        found["accuracy"] = float(((first[:, 0] > against.threshold) == labels).mean())
        found |= _auc(first[:, 0], labels)
    elif labels is not None and against.task == "anomaly":
        found |= _auc(reconstruction_error(inputs[0], outputs[0]), labels)
    elif labels is not None:
        difference = first - labels
        found["mae"] = float(np.abs(difference).mean())
        found["rmse"] = float(np.sqrt((difference**2).mean()))
    if baseline is not None:
        found |= _likeness(against, outputs, baseline)
    return found


def _likeness(against: Truth, outputs: Sequence[Array], baseline: Sequence[Array]) -> dict[str, float]:
    """How near the outputs are to the float network's."""
    found: dict[str, float] = {}
    first, wanted = (arrays[0].reshape(len(arrays[0]), -1) for arrays in (outputs, baseline))
    if against.classes > 1:
        found["agreement"] = float((first.argmax(axis=1) == wanted.argmax(axis=1)).mean())
    found["sqnr_db"] = sqnr(baseline, outputs)
    return found


def reconstruction_error(inputs: Array, outputs: Array) -> Array:
    """Mean squared difference per sample, float64 [n]."""
    difference = inputs.reshape(len(inputs), -1).astype(np.float64) - outputs.reshape(len(outputs), -1)
    error: Array = (difference**2).mean(axis=1)
    return error


def _auc(scores: Array, labels: Array) -> dict[str, float]:
    """The area under the ROC curve: how likely a sample with label 1 scores above one with label 0, ties counting half."""
    positive = int((labels == 1).sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return {}
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place.reshape(-1)]
    above = float(ranks[labels == 1].sum()) - positive * (positive + 1) / 2
    return {"auc": above / (positive * negative)}


def confusion(against: Truth, outputs: Sequence[Array]) -> tuple[tuple[int, ...], ...] | None:
    """Counts [true class][class that the network says]; None without classes, or with more than `MOST_CLASSES`."""
    if against.labels is None or against.task not in ("classification", "binary"):
        return None
    classes = 2 if against.task == "binary" else against.classes
    if classes > MOST_CLASSES:
        return None
    first = outputs[0].reshape(len(outputs[0]), -1)
    said = (first[:, 0] > against.threshold).astype(np.int64) if against.task == "binary" else first.argmax(axis=1)
    counts = np.bincount(against.labels * classes + said, minlength=classes * classes).reshape(classes, classes)
    return tuple(tuple(int(count) for count in row) for row in counts)
