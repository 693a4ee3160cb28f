# SPDX-License-Identifier: Apache-2.0
"""`tinyc quantize`, and `tinyc build` on float models: what a user types, sees and gets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tinyc as api
from command import KWS, ROOT, contents, tinyc
from tinyc.data import DataOptions, Preprocessing
from tinyc.quantize import Settings

DIGITS = ROOT / "examples" / "digits"
FLOAT, CALIBRATION, EVALUATION = (
    DIGITS / name for name in ("digits_float.tflite", "calibration.npz", "evaluation.npz")
)


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """A hundred of the held-out digits."""
    with np.load(EVALUATION) as data:
        arrays = {name: data[name][:100] for name in data.files}
    np.savez(tmp_path / "held_out.npz", **arrays)
    return tmp_path / "held_out.npz"


def test_quantize_writes_a_model_and_a_page(tmp_path: Path, evaluation: Path) -> None:
    target, page = tmp_path / "int8.tflite", tmp_path / "page.html"
    shown = tinyc(
        "quantize", FLOAT, "--calibrate", CALIBRATION, "-o", target, "--report", page, "--evaluate", evaluation
    )
    assert shown.code == 0, shown.err
    assert "compiled C" in shown.out and "accuracy" in shown.out and f"model     {target}" in shown.out
    graph = api.load(target)
    assert graph.input_tensors[0].dtype == graph.output_tensors[0].dtype == "int8"
    assert graph.labels == tuple("0123456789")
    assert Preprocessing.from_json(json.loads(graph.preprocessing)) == Preprocessing()
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert sorted(contents(tmp_path)) == ["held_out.npz", "int8.tflite", "page.html"]


def test_json_says_what_was_done(tmp_path: Path, evaluation: Path) -> None:
    target = tmp_path / "m.tflite"
    shown = tinyc(
        *("quantize", FLOAT, "--calibrate", CALIBRATION, "-o", target, "--evaluate", evaluation, "--json"),
        *("--ranges", "percentile", "--samples", "50"),
    )
    assert shown.code == 0, shown.err
    report = json.loads(shown.out)
    assert report["output"] == str(target) and report["bytes"] == target.stat().st_size
    assert report["samples"]["calibrated"] == 50 and report["settings"]["ranges"] == "percentile"
    columns = report["evaluation"]["columns"]
    accuracies = [columns[key]["metrics"]["accuracy"] for key in ("float", "reference", "c")]
    assert accuracies[1] == accuracies[2] and min(accuracies) > 0.9
    assert report["evaluation"]["samples_compared"] == 100


def test_build_takes_float_and_int8_models_of_the_same_network(tmp_path: Path, evaluation: Path) -> None:
    data = ("--calibrate", CALIBRATION, "--evaluate", evaluation)
    target, folder, again = tmp_path / "m.tflite", tmp_path / "a", tmp_path / "b"
    assert tinyc("quantize", FLOAT, "--calibrate", CALIBRATION, "-o", target).code == 0
    shown = tinyc("build", FLOAT, *data, "-b", "mps2-an386", "-o", folder, "--name", "digits", "--layers")
    assert shown.code == 0, shown.err
    assert "compiled C" in shown.words and "C on Arm Cortex-M4" in shown.words
    assert (folder / "model" / "digits.tflite").read_bytes() == target.read_bytes()
    report = json.loads((folder / "report.json").read_bytes())
    assert report["quantization"]["samples"]["calibrated"] == 200
    assert set(report["evaluation"]["columns"]) == {"float", "reference", "c", "emulated"}
    assert "quantization.html" in report["files"]
    assert tinyc("verify", folder).code == 0
    shown = tinyc("build", target, *data, "-b", "mps2-an386", "-o", again, "--name", "digits")
    assert shown.code == 0, shown.err
    assert "calibration data are not used" in shown.words
    first, second = (_c_files(place) for place in (folder, again))
    assert first and first == second


def _c_files(folder: Path) -> dict[str, list[bytes]]:
    """The C of a project, without the lines that name the model's file."""
    files = {path: content for path, content in contents(folder).items() if path.endswith((".c", ".h"))}
    return {path: [line for line in content.splitlines() if b"digits" not in line] for path, content in files.items()}


def test_inputs_are_made_on_the_device_as_they_were_for_calibration(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shown = tinyc(
        *("build", FLOAT, "--calibrate", CALIBRATION, "-b", "host", "--format", "c", "-o", folder, "--name", "net"),
        *("--scale", "1/16", "--mean", "0.5"),
    )
    assert shown.code == 0, shown.err
    header = next(path for path in contents(folder) if path.endswith("net_preprocess.h"))
    assert "real = (raw * 0.0625 - 0.5) / 1" in (folder / header).read_text(encoding="utf-8")
    recorded = json.loads((folder / "report.json").read_bytes())["preprocessing"]
    assert Preprocessing.from_json(recorded) == Preprocessing(scale=0.0625, mean=(0.5,))
    model = next(path for path in contents(folder) if path.endswith(".tflite"))
    assert Preprocessing.from_json(json.loads(api.load(folder / model).preprocessing)).scale == 0.0625


def test_a_float_layer_and_a_float_network(tmp_path: Path) -> None:
    graph = api.load(FLOAT)
    dense = next(layer.output.name for layer in graph.layers() if layer.op == "FULLY_CONNECTED")
    shown = tinyc(
        *("build", FLOAT, "--calibrate", CALIBRATION, "-b", "mps2-an386", "-o", tmp_path / "mixed", "--layers"),
        *("--keep-float", dense),
    )
    assert shown.code == 0, shown.err
    assert "1 layers stay float32" in shown.words and "fully_connected_f32" in shown.words
    shown = tinyc("build", FLOAT, "--allow-float", "-b", "mps2-an386", "-o", tmp_path / "float", "--layers")
    assert shown.code == 0, shown.err
    assert "compiled in float32" in shown.words and "conv_2d_f32" in shown.words


def test_int16_activations(tmp_path: Path) -> None:
    shown = tinyc(
        *("build", FLOAT, "--calibrate", CALIBRATION, "-b", "mps2-an386", "-o", tmp_path / "out", "--layers"),
        *("--activations", "int16"),
    )
    assert shown.code == 0, shown.err
    assert "conv_2d_s16" in shown.words and re.search(r"all \d+ layers", shown.words)


def test_from_python(tmp_path: Path, evaluation: Path) -> None:
    built = api.compile(
        FLOAT,
        "host",
        calibrate=CALIBRATION,
        evaluate=evaluation,
        settings=Settings(ranges="mse"),
        data=DataOptions(samples=60),
        verify="none",
    )
    assert built.report.evaluation is not None
    assert built.report.evaluation.compiled.metrics["accuracy"] > 0.9
    assert built.report.quantization is not None
    assert built.report.quantization["samples"]["calibrated"] == 60


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("quantize", KWS, "--calibrate", CALIBRATION), 1, "is quantized already"),
        (("quantize", FLOAT), 1, "--calibrate DATA quantizes it"),
        (("quantize", FLOAT, "--calibrate", "nowhere.npz"), 1, "nowhere.npz: no such file"),
        (("quantize", FLOAT, "--calibrate", CALIBRATION, "-o", FLOAT), 2, "is the model itself"),
        (("quantize", FLOAT, "--calibrate", CALIBRATION, "-o", "nowhere/m.tflite"), 2, "does not exist"),
        (("quantize", FLOAT, "--calibrate", CALIBRATION, "--keep-float", "dens"), 2, "no layer 'dens'"),
        (("quantize", FLOAT, "--calibrate", CALIBRATION, "--percentile", "20"), 2, "--percentile: 20"),
        (("quantize", FLOAT, "--calibrate", CALIBRATION, "--samples", "5", "--ranges", "auto"), 1, "at least 12"),
        (("build", FLOAT, "-b", "esp32"), 1, "--calibrate DATA quantizes it; --allow-float"),
        (("build", FLOAT, FLOAT, "-b", "esp32", "--calibrate", CALIBRATION), 2, "is for one model"),
    ],
)
def test_what_cannot_be_done(
    arguments: tuple[str | Path, ...], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = FLOAT.read_bytes()
    shown = tinyc(*arguments)
    assert (shown.code, shown.out) == (code, "")
    assert message in shown.err
    assert contents(tmp_path) == {} and FLOAT.read_bytes() == before


def test_labels_that_do_not_match(tmp_path: Path) -> None:
    with np.load(EVALUATION) as data:
        arrays = {name: data[name][:20] for name in data.files}
    labels = next(name for name in arrays if arrays[name].ndim == 1)
    np.savez(tmp_path / "few.npz", **{**arrays, labels: arrays[labels][:7]})
    np.savez(tmp_path / "beyond.npz", **{**arrays, labels: arrays[labels] + 10})
    target = tmp_path / "m.tflite"
    for name, message in (("few.npz", "7"), ("beyond.npz", "class")):
        shown = tinyc("quantize", FLOAT, "--calibrate", CALIBRATION, "--evaluate", tmp_path / name, "-o", target)
        assert shown.code == 1 and message in shown.err, shown.err
        assert not target.exists()
