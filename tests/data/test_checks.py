# SPDX-License-Identifier: Apache-2.0
"""Warnings about data that are allowed and look wrong, the record's text and JSON, the command's options."""

import json

import click
import numpy as np
import pytest
from click.testing import CliRunner
from inputs import quantized, real
from tinyc.cli._data import data_options
from tinyc.data import DataOptions, Preprocessing, load
from tinyc.data.preprocessing import AudioSteps, FeatureSteps, ImageSteps
from tinyc.errors import ModelError

RANDOM = np.random.default_rng(5)
PIXELS = RANDOM.integers(0, 256, (20, 8, 8, 1)).astype(np.uint8)
IMAGE = real(1, 8, 8, 1)


def warned(array: np.ndarray, tensor: object = IMAGE, options: DataOptions | None = None) -> str:
    return " | ".join(load(array, [tensor], options).warnings)


def test_pixels_of_a_float_model() -> None:
    assert "say --scale 1/255" in warned(PIXELS)
    assert warned(PIXELS, options=DataOptions(scale=1 / 255)) == ""
    assert warned(PIXELS, options=DataOptions(scale=1.0)) == ""
    assert warned(PIXELS / np.float32(255)) == ""
    assert "looks unnormalised" in warned(RANDOM.normal(1000, 10, (20, 8, 8, 1)))


def test_pixels_of_a_quantized_model() -> None:
    unit, signed = (
        quantized(1, 8, 8, 1, scale=1 / 255, zero_point=-128),
        quantized(1, 8, 8, 1, scale=1 / 127.5, zero_point=-1),
    )
    raw = quantized(1, 8, 8, 1, scale=1.0, zero_point=-128)
    assert "cut off; try --scale 1/255" in warned(PIXELS, unit)
    assert "cut off; try --scale 1/127.5 --mean 1" in warned(PIXELS, signed)
    assert warned(PIXELS, raw) == ""
    assert "use little of that" in warned(PIXELS / np.float32(255), raw)
    assert warned(PIXELS, unit, DataOptions(scale=1 / 255)) == ""


def test_constant_and_equal_samples() -> None:
    array = RANDOM.random((20, 8, 8, 1))
    array[:3] = 0.5
    assert warned(array) == (
        "3 of 20 samples have the same value everywhere: is the sensor's data in them? | "
        "2 of 20 samples are equal to another one, and add nothing"
    )


def test_balance_of_classes() -> None:
    x = RANDOM.random((20, 8, 8, 1))

    def text(labels: list[int], classes: tuple[str, ...] = ()) -> str:
        return " | ".join(load(lambda: zip(x, labels, strict=True), [IMAGE], classes=classes).warnings)

    assert text([0] * 10 + [1] * 10) == ""
    assert "19 samples of class 0, 1 of class 1" in text([0] * 19 + [1])
    assert "no sample of 1 of 3 classes: 'c'" in text([0] * 10 + [1] * 10, ("a", "b", "c"))


FEATURES = FeatureSteps("mfcc", 480, 320, 49, 512, 40, 20.0, 4000.0, 10, "magnitude")
RECORDS = [
    Preprocessing(),
    Preprocessing(0.5, (1.0, 2.0), (3.0, 4.0)),
    Preprocessing(image=ImageSteps(96, 96, "rgb", "crop")),
    Preprocessing(0.1, audio=AudioSteps(16000, 16000)),
    Preprocessing(0.1, audio=AudioSteps(16000, 16000, FEATURES)),
]


@pytest.mark.parametrize("record", RECORDS)
def test_records_come_back_from_json(record: Preprocessing) -> None:
    text = json.dumps(record.to_json())
    assert Preprocessing.from_json(json.loads(text)) == record
    assert record.text()


@pytest.mark.parametrize(
    "change",
    [
        {"scale": "1"},
        {"scale": 0},
        {"scale": float("nan")},
        {"mean": 5},
        {"mean": [1, 2]},
        {"std": [0]},
        {"mean": ["a"]},
        {"mean": []},
        {"other": 1},
        {"image": 5},
        {"image": {"height": 96, "width": 96, "color": "rgb"}},
        {"image": {"height": 96, "width": True, "color": "rgb", "resize": "crop"}},
        {"image": {"height": -1, "width": 96, "color": "rgb", "resize": "crop"}},
        {"image": {"height": 96, "width": 96, "color": ["rgb"], "resize": "crop"}},
        {"audio": {"sample_rate": 16000, "window": 1 << 40}},
        {"audio": {"sample_rate": 16000, "window": 16000, "features": {**FEATURES.__dict__, "fft": 500}}},
        {"audio": {"sample_rate": 16000, "window": 16000, "features": {**FEATURES.__dict__, "frames": 50}}},
        {"audio": {"sample_rate": 7000, "window": 16000, "features": {**FEATURES.__dict__}}},
        {"audio": {"sample_rate": 16000, "window": 16000, "features": {**FEATURES.__dict__, "low": 4000.0}}},
    ],
)
def test_records_are_checked(change: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="preprocessing"):
        Preprocessing.from_json({**Preprocessing().to_json(), **change})
    with pytest.raises(ModelError, match="preprocessing"):
        Preprocessing.from_json([])


def test_command_options() -> None:
    taken: list[DataOptions] = []

    @click.command()
    @click.argument("model")
    @data_options
    def command(model: str, data: DataOptions) -> None:
        taken.append(data)

    assert CliRunner().invoke(command, ["m"]).exit_code == 0
    words = "m --scale 1/255 --mean 1,2,3 --samples 5 --features log-mel --labels l.csv --mel-high 4000".split()
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    assert taken[0] == DataOptions() and taken[0].given == frozenset()
    assert taken[1].scale == 1 / 255 and taken[1].mean == (1, 2, 3) and str(taken[1].labels) == "l.csv"
    assert taken[1].given == {"scale", "mean", "samples", "features", "labels", "mel_high"}
    for bad in (["--scale", "x"], ["--scale", "1/0"], ["--mean", "1,,2"], ["--samples", "0"], ["--std", "0"]):
        failed = CliRunner().invoke(command, ["m", *bad])
        assert failed.exit_code != 0 and bad[0] in str(failed.exception or failed.output)
