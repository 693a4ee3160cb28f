# SPDX-License-Identifier: Apache-2.0
"""Tests of the examples that start from a float model: `pytest examples/test_examples.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tinyc
from tinyc.model import Quantizing, load_model
from training import packages
from training.compare import accuracy, detection, differences, evaluate, outputs_by_engine
from voice.utterances import FRAMES, _lines, _stretch
from watch.recordings import STEPS, WINDOW, _cut, _prepare

HERE = Path(__file__).resolve().parent

#: Example → (its metric, the float model's on the committed data).
EXAMPLES = {"digits": (accuracy, 0.9866), "watch": (accuracy, 0.8654), "voice": (detection, 0.9931)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_int8_loses_less_than_half_a_point(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way of `run.py` on the committed files: this computer and the emulated core agree, and so does TFLM."""
    metric, expected = EXAMPLES[name]
    folder, integer = HERE / name, tmp_path / f"{name}.tflite"
    real, data = folder / f"{name}_float.tflite", folder / "evaluation.npz"
    integer.write_bytes(load_model(real, Quantizing(folder / "calibration.npz")).data)
    code, figures = evaluate(integer, real, data, "nucleo_f446re", metric)
    assert code == 0 and "agree in every byte" in capsys.readouterr().out
    assert figures["float32"] == pytest.approx(expected, abs=0.002)
    assert {"int8, compiled C", "int8, the same on nucleo_f446re"} <= set(figures)
    assert min(figures.values()) > figures["float32"] - 0.005


def test_differences_name_the_engine_and_the_input() -> None:
    model = HERE / "sine" / "sine.tflite"
    outputs = dict(outputs_by_engine(model, np.arange(-4, 4).astype(np.int8).reshape(-1, 1)))
    assert len(outputs) >= 2 and differences(outputs) == []
    wrong = outputs["numpy reference"].copy()
    wrong[3] += 1
    outputs["numpy reference"] = wrong
    (line,) = differences(outputs)
    assert line.startswith("numpy reference: 1 of 8 inputs differ, first input 3: ")


@pytest.mark.parametrize("name", EXAMPLES)
def test_committed_data_are_small_and_complete(name: str) -> None:
    graph = tinyc.load(HERE / name / f"{name}_float.tflite")
    shape = graph.input_tensors[0].shape[1:]
    calibration, evaluation = (np.load(HERE / name / f"{part}.npz") for part in ("calibration", "evaluation"))
    for stored in (calibration, evaluation):
        assert stored["inputs"].shape[1:] == shape and stored["inputs"].dtype == np.float32
    assert len(evaluation["labels"]) == len(evaluation["inputs"]) > len(calibration["inputs"]) >= 30
    classes = graph.output_tensors[0].elements if graph.labels else 2
    assert set(evaluation["labels"].tolist()) == set(range(classes))
    assert sum(path.stat().st_size for path in (HERE / name).iterdir() if path.is_file()) < 700_000


def test_utterances_are_read_and_stretched() -> None:
    text = "@classLabel true 1 2\n@data\n1,2,3:4,5,6:2\n7,8:9,0:1\n"
    (first, speaker), (second, _) = _lines(text)
    assert speaker == 2
    assert first.tolist() == [[1, 4], [2, 5], [3, 6]] and second.shape == (2, 2)
    stretched = _stretch(first)
    assert stretched.shape == (FRAMES, 2)
    np.testing.assert_allclose(stretched[:, 1] - stretched[:, 0], 3, rtol=1e-6)
    np.testing.assert_allclose(stretched[[0, -1], 0], [1, 3])


def test_recordings_are_prepared_and_cut() -> None:
    ramp = np.arange(2 * (2 * WINDOW + 7) + 1)[:, None] * np.ones(6)
    samples = _prepare(ramp / STEPS)
    assert samples.shape == (2 * WINDOW + 7, 6)
    np.testing.assert_allclose(samples[:, 0] * STEPS, np.rint(np.arange(len(samples)) * 2 + 0.5))
    np.testing.assert_allclose(samples[:, 5], samples[:, 0] / 4, atol=1 / STEPS)
    windows = _cut(samples, hop=50)
    assert windows.shape == (3, WINDOW, 6)
    np.testing.assert_array_equal(windows[2], samples[100 : 100 + WINDOW])


def test_a_package_without_the_data_is_named() -> None:
    assert packages.folder("tinyc", "tinyc").is_dir()
    with pytest.raises(SystemExit, match="pip install --no-deps no_such_package==1"):
        packages.folder("no_such_package", "no_such_package==1")
