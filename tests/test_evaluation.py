# SPDX-License-Identifier: Apache-2.0
"""Metrics against ones counted by hand; the compiled C against the reference; labels that do not fit."""

import json
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinyc
from conftest import ROOT
from tinyc import evaluation
from tinyc.data.dataset import to_input
from tinyc.emulators import choose_emulators
from tinyc.errors import MismatchError, ModelError, UsageError
from tinyc.evaluation import Evaluation, evaluate
from tinyc.evaluation.metrics import Truth, confusion, measure, truth
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import Graph, Node, Quantization, Tensor
from tinyc.passes import run_passes
from tinyc.pipeline import Compilation
from tinyc.quantize import Quantized, execute, quantize
from tinyc.targets.cpus import find_cpu

sys.path.insert(0, str(ROOT / "tests" / "quantize"))
from hand_made import real_tensor, samples, two_layers

DIGITS = ROOT / "examples" / "digits"


@cache
def held_out() -> tuple[np.ndarray, np.ndarray]:
    """597 images as int8, and their labels."""
    data = np.load(DIGITS / "evaluation.npz")
    return to_input(data["inputs"], digits().input_tensors[0]), data["labels"]


@cache
def digits() -> Graph:
    return run_passes(tinyc.load(DIGITS / "digits.tflite"))


@cache
def built() -> Compilation:
    return tinyc.compile(DIGITS / "digits.tflite", "mps2-an386", name="digits", verify="none")


@cache
def classifier() -> tuple[Quantized, np.ndarray, np.ndarray]:
    """A quantized network with four outputs, data, and labels: the float network's class, every seventh one wrong."""
    real, x = two_layers(), samples(140, 3)
    labels = execute.outputs(real, [x])[0].argmax(axis=1)
    labels[::7] = (labels[::7] + 1) % 4
    return quantize(real, [samples(200)]), x, labels


def column(found: Evaluation, key: str) -> evaluation.Column:
    result = found.column(key)
    assert result is not None
    return result


# ---- the compiled C --------------------------------------------------------------------------------------------------


def test_digits_through_the_compiled_c() -> None:
    """Counted again from what the build's own C says."""
    images, labels = held_out()
    said = built().run(images).reshape(597, 10).argmax(axis=1)
    right = int((said == labels).sum())
    found = evaluate(digits(), [images], labels)
    assert found.task == "classification" and found.samples == found.given == 597 and right > 580
    for key in ("reference", "c"):
        assert column(found, key).metrics["accuracy"] == pytest.approx(right / 597)
    assert found.compared == column(found, "reference").samples == 597
    matrix = np.array(found.compiled.confusion)
    expected = np.zeros((10, 10), np.int64)
    np.add.at(expected, (labels, said), 1)
    assert (matrix == expected).all() and matrix.trace() == right
    assert "there is no float network to compare with" in found.notes and found.column("float") is None


def test_a_build_has_portable_kernels_for_this_computer() -> None:
    images, labels = (array[:60] for array in held_out())
    assert not built().program.portable
    found = evaluate(built(), [images], labels)
    assert found.compiled.metrics == evaluate(digits(), [images], labels).compiled.metrics


def test_a_portable_build_runs_its_own_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    q = Quantization((0.05,), (3,))
    tensors = tuple(Tensor(name, (1, 20), "int8", q) for name in ("x", "y"))
    graph = Graph(tensors, (Node("RELU", (0,), (1,)),), (0,), (1,), ("x",), ("y",))
    (tmp_path / "m.tflite").write_bytes(to_bytes(graph))
    portable = tinyc.compile(tmp_path / "m.tflite", "mps2-an386", verify="none")
    assert portable.program.portable
    monkeypatch.setattr(evaluation, "emit", None)
    found = evaluate(portable, [np.random.default_rng(0).normal(0, 2, (30, 20))])
    assert found.compared == found.compiled.samples == 30


def test_real_inputs_are_quantized_as_the_device_does() -> None:
    images, labels = held_out()
    tensor = digits().input_tensors[0]
    real = ((images.astype(np.int32) - tensor.zero_point) * np.float32(tensor.scale)).astype(np.float32)
    assert evaluate(digits(), [real], labels).compiled == evaluate(digits(), [images], labels).compiled


@pytest.mark.skipif(not choose_emulators(find_cpu("cortex-m4")), reason="no emulator")
def test_some_samples_run_in_emulation() -> None:
    images, labels = held_out()
    found = evaluate(built(), [images[:40]], labels[:40], emulate=find_cpu("cortex-m4"))
    emulated = column(found, "emulated")
    assert 0 < emulated.samples <= 40 and "Cortex-M4" in emulated.title and "accuracy" in emulated.metrics
    assert any(note.startswith("C on") for note in found.notes) == (emulated.samples < 40)
    alone = evaluate(digits(), [images[:40]], labels[:40], emulate=find_cpu("cortex-m3"))
    assert "Cortex-M3" in column(alone, "emulated").title


def test_c_that_computes_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = (array[:20] for array in held_out())
    emit = evaluation.emit

    def spoiled(*arguments: Any) -> dict[str, bytes]:
        files = emit(*arguments)
        source = files["model.c"].decode()
        first = source.index("{", source.index("static const int8_t")) + 1
        number = source[first : source.index(",", first)]
        changed = "1" if number.strip() != "1" else "2"
        return {**files, "model.c": (source[:first] + changed + source[first + len(number) :]).encode()}

    monkeypatch.setattr(evaluation, "emit", spoiled)
    with pytest.raises(MismatchError, match="layer 0") as caught:
        evaluate(digits(), [images], labels)
    assert "expected" in str(caught.value) and caught.value.exit_code == 5


def test_float_reference_and_c_side_by_side() -> None:
    quantized, x, labels = classifier()
    found = evaluate(quantized.graph, [x], labels, real=quantized.real)
    assert [c.key for c in found.columns] == ["float", "reference", "c"]
    real = execute.outputs(quantized.real, [x])[0]
    assert column(found, "float").metrics == {"accuracy": pytest.approx((real.argmax(axis=1) == labels).mean())}
    assert column(found, "float").metrics["accuracy"] == pytest.approx(120 / 140)
    compiled = found.compiled.metrics
    assert column(found, "reference").metrics == compiled
    assert compiled["accuracy"] > 0.8 and compiled["agreement"] > 0.95 and 25 < compiled["sqnr_db"] < 60
    assert found.notes == ()


def test_without_labels_only_likeness_is_measured() -> None:
    quantized, x, _ = classifier()
    found = evaluate(quantized.graph, [x], real=quantized.real)
    assert found.task == "comparison" and found.compiled.metrics.keys() == {"agreement", "sqnr_db"}
    assert found.compiled.confusion is None and column(found, "float").metrics == {}


def test_a_float_network_is_compiled_as_float() -> None:
    real, x = two_layers(), samples(20)
    found = evaluate(real, [x], real=real)
    assert column(found, "reference").title == "float32 reference"
    assert found.compiled.metrics["agreement"] == 1 and found.compiled.metrics["sqnr_db"] > 100


# ---- how many samples ------------------------------------------------------------------------------------------------


def test_large_work_takes_some_samples_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = held_out()
    per_sample = 153_920 + sum(t.elements for layer in digits().layers() for t in layer.outputs)
    layers = len(digits().nodes)
    monkeypatch.setattr(evaluation, "C_WORK", 100 * (per_sample + layers * evaluation.OVERHEAD["c"]))
    monkeypatch.setattr(evaluation, "REFERENCE_WORK", 30 * (per_sample + layers * evaluation.OVERHEAD["reference"]))
    found = evaluate(digits(), [images], labels)
    assert (found.given, found.samples, found.compared) == (597, 100, 30)
    assert found.compiled.samples == 100 and column(found, "reference").samples == 30
    assert any("100 of 597 samples" in note for note in found.notes)
    assert any("int8 reference: 30" in note for note in found.notes)
    chosen = np.unique(np.linspace(0, 596, 100).round().astype(int))
    again = evaluate(digits(), [images[chosen]], labels[chosen])
    assert again.compiled.metrics == found.compiled.metrics


def test_a_thousand_samples_take_seconds() -> None:
    """No time is measured here: the budget takes them all."""
    quantized, _, _ = classifier()
    x = samples(1000, 5)
    found = evaluate(quantized.graph, [x], real=quantized.real)
    assert found.samples == found.compared == 1000


# ---- tasks -----------------------------------------------------------------------------------------------------------


def auc_by_pairs(scores: np.ndarray, labels: np.ndarray) -> float:
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels == 1] for b in scores[labels == 0]]
    return float(np.mean(pairs))


def test_area_under_the_curve_counts_pairs() -> None:
    random = np.random.default_rng(4)
    scores, labels = random.integers(0, 12, 90).astype(float), random.integers(0, 2, 90)
    found = measure(Truth("binary", labels=labels, threshold=5.0), [], [scores[:, None]], None)
    assert found["auc"] == pytest.approx(auc_by_pairs(scores, labels))
    assert found["accuracy"] == pytest.approx(((scores > 5) == labels).mean())
    alone = measure(Truth("binary", labels=np.ones(90, np.int64)), [], [scores[:, None]], None)
    assert "auc" not in alone
    two = np.stack([-scores, scores * 2], axis=1)
    pair = measure(Truth("classification", 2, labels), [], [two], None)
    assert pair["auc"] == pytest.approx(auc_by_pairs(3 * scores, labels))


def test_an_autoencoder_is_measured_by_its_reconstruction_error() -> None:
    real = two_layers(sizes=(6, 8, 6))
    quantized, x = quantize(real, [samples(100)]), samples(50, 9)
    labels = np.arange(50) % 2
    found = evaluate(quantized.graph, [x], labels, real=real)
    assert found.task == "anomaly" and found.compiled.metrics.keys() == {"auc", "sqnr_db"}
    outputs = execute.outputs(real, [x])[0]
    scores = ((x - outputs) ** 2).mean(axis=1)
    assert column(found, "float").metrics["auc"] == pytest.approx(auc_by_pairs(scores, labels))
    assert found.compiled.metrics["auc"] == pytest.approx(column(found, "float").metrics["auc"], abs=0.1)


def test_regression() -> None:
    real = two_layers(sizes=(6, 8, 1))
    quantized, x = quantize(real, [samples(100)]), samples(50, 9)
    labels = np.random.default_rng(0).normal(0, 1, 50)
    found = evaluate(quantized.graph, [x], labels, real=real)
    outputs = execute.outputs(real, [x])[0][:, 0].astype(np.float64)
    assert found.task == "regression"
    assert column(found, "float").metrics["mae"] == pytest.approx(np.abs(outputs - labels).mean())
    assert column(found, "float").metrics["rmse"] == pytest.approx(np.sqrt(((outputs - labels) ** 2).mean()))
    assert found.compiled.metrics["rmse"] == pytest.approx(column(found, "float").metrics["rmse"], rel=0.1)
    several = two_layers()
    assert truth(several, np.zeros((3, 4)) + 0.5, 3).task == "regression"


def test_one_output_and_labels_of_0_and_1_is_a_yes_or_no() -> None:
    real = two_layers(sizes=(6, 8, 1))
    labels = np.arange(10) % 2
    assert truth(real, labels, 10).task == "binary" and truth(real, labels, 10).threshold == 0.0
    probability = replace(
        real,
        tensors=(*real.tensors, real_tensor("p", (1, 1))),
        nodes=(*real.nodes, Node("LOGISTIC", (6,), (7,))),
        outputs=(7,),
    )
    assert truth(probability, labels, 10).threshold == 0.5
    assert truth(real, np.arange(10), 10).task == "regression"
    found = Truth("binary", labels=labels, threshold=0.5)
    assert confusion(found, [np.array([0.6, 0.6] * 5)[:, None]]) == ((0, 5), (0, 5))


def test_top_k() -> None:
    scores = np.random.default_rng(0).integers(-5, 5, (80, 12)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 12, 80)
    found = measure(Truth("classification", 12, labels), [], [scores], None)
    ranks = [
        sorted(range(12), key=lambda c: (-row[c], c)).index(label) for row, label in zip(scores, labels, strict=True)
    ]
    assert found == {
        "accuracy": pytest.approx(np.mean([rank == 0 for rank in ranks])),
        "top_5": pytest.approx(np.mean([rank < 5 for rank in ranks])),
    }
    few = measure(Truth("classification", 6, labels % 6), [], [scores[:, :6]], None)
    assert "top_3" in few and "top_5" not in few
    assert "top_3" not in measure(Truth("classification", 4, labels % 4), [], [scores[:, :4]], None)


def test_a_named_task() -> None:
    real = two_layers(sizes=(6, 8, 6))
    labels = np.arange(12) % 2
    assert truth(real, labels, 12).task == "anomaly"
    assert truth(real, labels, 12, "classification").classes == 6
    assert truth(real, labels, 12, "comparison").labels is None
    with pytest.raises(UsageError, match="did you mean 'anomaly'"):
        truth(real, labels, 12, "anomalie")
    with pytest.raises(ModelError, match="the same, for anomaly"):
        truth(two_layers(), labels, 12, "anomaly")
    with pytest.raises(ModelError, match="1, for binary"):
        truth(real, labels, 12, "binary")
    with pytest.raises(ModelError, match="labels, for the task regression"):
        truth(real, None, 12, "regression")


def test_classes_are_matched_by_name() -> None:
    """Folders come in alphabetical order; the model has its own."""
    quantized, x, labels = classifier()
    graph = replace(quantized.graph, labels=("no", "yes", "go", "stop"))
    names = ("go", "no", "stop", "yes")
    renumbered = np.array([names.index(graph.labels[label]) for label in labels])
    found = evaluate(graph, [x], renumbered, classes=names)
    assert found.classes == graph.labels
    assert found.compiled == evaluate(quantized.graph, [x], labels).compiled
    other = evaluate(graph, [x], labels, classes=("a", "b", "c", "d"))
    assert other.classes == ("a", "b", "c", "d") and "matched by number" in other.notes[0]
    some = evaluate(graph, [x[labels == 1]], np.zeros((labels == 1).sum(), np.int64), classes=("yes",))
    matrix = some.compiled.confusion
    assert matrix is not None and sum(matrix[1]) == (labels == 1).sum() == sum(map(sum, matrix))


# ---- data that does not fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(139, np.int64), "139 labels for 140 samples"),
        (np.arange(140) % 5, r"4 \(sample 4\); 28 of 140 are no class of the model"),
        (np.arange(140) % 4 - 1, r"-1 \(sample 0\)"),
        (np.full(140, np.nan), "sample 0 has no number"),
        (np.array(["cat"] * 140), "<U3 values"),
        (np.zeros((140, 4), np.int64), "array of shape"),
        (np.zeros((140, 3)) + 0.5, "3 values per sample"),
        (np.zeros(140) + 0.5, "1 values per sample"),
        (np.float32(3), "a single number"),
    ],
)
def test_labels_that_do_not_fit(labels: np.ndarray, message: str) -> None:
    quantized, x, _ = classifier()
    wanted = "classification" if labels.shape == (140, 4) else "auto"
    with pytest.raises(ModelError, match=message):
        evaluate(quantized.graph, [x], labels, task=wanted)


def test_whole_numbers_as_floats_are_classes() -> None:
    quantized, x, labels = classifier()
    assert evaluate(quantized.graph, [x], labels.astype(np.float32)).compiled.metrics["accuracy"] > 0.8


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([], "0 arrays given"),
        ([np.zeros((4, 7), np.float32)], r"samples of shape \[7\]"),
        ([np.zeros((0, 6), np.float32)], r"\[0\] samples"),
        ([np.full((4, 6), np.inf, np.float32)], "sample 0 holds infinities"),
        ([np.zeros((4, 6), np.complex64)], "complex64 values"),
        ([np.zeros((4, 6), np.int32)], "int32 data"),
    ],
)
def test_data_that_does_not_fit(arrays: list[np.ndarray], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        evaluate(classifier()[0].graph, arrays)


def test_json_is_strict() -> None:
    quantized, x, labels = classifier()
    found = evaluate(quantized.graph, [x], labels, real=quantized.real, classes=("a", "b", "c", "d"))
    parsed = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert parsed["columns"]["c"]["metrics"]["accuracy"] == found.compiled.metrics["accuracy"]
    assert parsed["classes"] == ["a", "b", "c", "d"] and parsed["samples_compared"] == 140
    assert np.array(parsed["columns"]["c"]["confusion"]).sum() == 140
    same = measure(Truth("comparison", 4), [], [x], [x])
    assert same["sqnr_db"] == float("inf")
    exact = replace(found, columns=(replace(found.compiled, metrics=same),))
    assert json.loads(json.dumps(exact.to_json(), allow_nan=False))["columns"]["c"]["metrics"]["sqnr_db"] is None


def test_several_outputs() -> None:
    real, x = replace(two_layers(), outputs=(6, 3), output_names=("y", "hidden")), samples(60, 3)
    quantized = quantize(real, [samples(200)])
    labels = execute.outputs(real, [x])[0].argmax(axis=1)
    found = evaluate(quantized.graph, [x], labels, real=quantized.real)
    assert column(found, "float").metrics["accuracy"] == 1.0 and found.compared == 60
    assert any("output 0 'y'" in note for note in found.notes)
    assert 25 < found.compiled.metrics["sqnr_db"] < 60
