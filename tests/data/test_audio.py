# SPDX-License-Identifier: Apache-2.0
"""Folders of recordings: formats, sample rates, windows and features."""

import contextlib
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from inputs import quantized, real
from tinyc.data import DataOptions, load
from tinyc.data.features import features, log
from tinyc.data.preprocessing import AudioSteps, FeatureSteps
from tinyc.data.resample import resample
from tinyc.data.wav import read_wav
from tinyc.errors import ModelError, UsageError
from wavs import save, wav_bytes

RANDOM = np.random.default_rng(2)
NOISE = RANDOM.integers(-32768, 32768, 1000) / 32768


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(
    ("kind", "error"), [("u8", 1 / 128), ("s16", 0), ("s24", 0), ("s32", 0), ("f32", 0), ("f64", 0)]
)
def test_formats(tmp_path: Path, kind: str, error: float, extensible: bool) -> None:
    save(tmp_path / "a.wav", NOISE, 8000, kind, extensible)
    rate, samples = read_wav(tmp_path / "a.wav")
    assert rate == 8000 and samples.shape == (1000,)
    np.testing.assert_allclose(samples, NOISE, rtol=0, atol=error)


def test_files_of_the_standard_library(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, 44100, 0, "NONE", ""))
        file.writeframes(np.array([[100, 300], [-32768, -32768], [32767, 32767]], "<i2").tobytes())
    rate, samples = read_wav(tmp_path / "a.wav")
    assert rate == 44100 and (samples * 32768).tolist() == [200, -32768, 32767]


def test_streamed_files_do_not_know_their_size(tmp_path: Path) -> None:
    whole = wav_bytes(NOISE)
    place = whole.index(b"data") + 4
    for size in (0, 0xFFFFFFFF):
        (tmp_path / "a.wav").write_bytes(whole[:place] + struct.pack("<I", size) + whole[place + 4 :])
        np.testing.assert_array_equal(read_wav(tmp_path / "a.wav")[1], NOISE)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    whole = wav_bytes(NOISE)
    form = whole.index(b"fmt ") + 8
    mp3 = whole[:form] + struct.pack("<H", 0x55) + whole[form + 2 :]
    for data, message in (
        (b"", "not a WAV file"),
        (b"RIFX" + whole[4:], "not a WAV file"),
        (whole[:-1], "cut short"),
        (whole[:30], "'data' chunk is missing|format is cut short"),
        (mp3, "ffmpeg"),
        (whole[: form + 2] + b"\0\0" + whole[form + 4 :], "0 channels"),
        (whole[: form + 4] + bytes(4) + whole[form + 8 :], "sample rate of 0"),
        (wav_bytes(np.array([0.5, np.nan]), kind="f32"), "not finite"),
        (wav_bytes(np.zeros(0)), "no samples"),
    ):
        path.write_bytes(data)
        with pytest.raises(ModelError, match=message) as caught:
            load(tmp_path, [real(1, 100)])
        assert caught.value.where.endswith("a.wav")


def test_flipped_bytes(tmp_path: Path) -> None:
    whole = wav_bytes(NOISE[:40])
    for position in range(len(whole)):
        for flip in (0xFF, 0x01):
            (tmp_path / "a.wav").write_bytes(whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1 :])
            with contextlib.suppress(ModelError):
                load(tmp_path, [real(1, 40)], DataOptions(sample_rate=16000))


@pytest.mark.parametrize(
    ("rate", "wanted"), [(44100, 16000), (48000, 16000), (8000, 16000), (16000, 44101), (22050, 8000)]
)
def test_resampling_keeps_tones_and_drops_what_does_not_fit(rate: int, wanted: int) -> None:
    count = rate // 4
    lower = min(rate, wanted)
    for share, gain in ((0.05, 1.0), (0.4, 1.0), (0.6, 0.0)):
        frequency = share * lower
        if frequency >= rate / 2:
            continue
        got = resample(np.sin(2 * np.pi * frequency * np.arange(count) / rate + 0.3), rate, wanted)
        assert len(got) == -(-count * wanted // rate)
        want = gain * np.sin(2 * np.pi * frequency * np.arange(len(got)) / wanted + 0.3)
        middle = slice(len(got) // 5, -len(got) // 5)
        assert np.abs(got - want)[middle].max() < 2e-3
    assert resample(NOISE, 16000, 16000) is NOISE


def test_windows(tmp_path: Path) -> None:
    save(tmp_path / "yes" / "a.wav", NOISE)
    save(tmp_path / "no" / "b.wav", NOISE[:100])
    save(tmp_path / "_background_noise_" / "c.wav", NOISE)
    data = load(tmp_path, [real(1, 300, 1)], DataOptions(hop=250))
    assert data.names == ("no/b.wav", "yes/a.wav", "yes/a.wav@250", "yes/a.wav@500")
    assert data.classes == ("no", "yes") and data.labels.tolist() == [0, 1, 1, 1]
    np.testing.assert_array_equal(data.arrays[0][2].reshape(-1), NOISE[250:550].astype(np.float32))
    np.testing.assert_array_equal(
        data.arrays[0][0].reshape(-1), np.append(NOISE[:100], np.zeros(200)).astype(np.float32)
    )
    assert data.warnings[0] == "1 of 2 recordings are shorter than 300 samples and end in silence"
    assert data.preprocessing.audio == AudioSteps(16000, 300)
    assert len(load(tmp_path, [real(1, 300)])) == 4  # 1 and 3: the hop is the window


def test_labels_of_parts_are_found_by_the_files_name(tmp_path: Path) -> None:
    save(tmp_path / "d" / "a@b.wav", NOISE)
    (tmp_path / "l.csv").write_text("file,label\na@b.wav,up\n")
    data = load(tmp_path / "d", [real(1, 300)], DataOptions(labels=tmp_path / "l.csv"))
    assert data.classes == ("up",) and len(data) == 3


def test_quantized_models_get_real_values(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", NOISE)
    tensor = quantized(1, 1000, dtype="int16", scale=1 / 32768, zero_point=0)
    data = load(tmp_path, [tensor])
    assert data.quantized([tensor])[0][0].tolist() == (NOISE * 32768).tolist()


def test_sample_rates(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", NOISE, 16000)
    save(tmp_path / "b.wav", NOISE, 8000)
    with pytest.raises(ModelError, match=r"b\.wav: 8000 Hz\n.*16000 Hz, as a\.wav has\n.*--sample-rate"):
        load(tmp_path, [real(1, 500)])
    data = load(tmp_path, [real(1, 500)], DataOptions(sample_rate=8000))
    assert data.names == ("a.wav", "b.wav", "b.wav@500")
    np.testing.assert_array_equal(data.arrays[0][1], NOISE[:500].astype(np.float32))


#: TensorFlow 2.21's tf.signal on t * t * 7 + t * 1301: stft(480, 320, 512), linear_to_mel_weight_matrix(40, 257, 16000, 20, 4000),
#: log(x + 1e-6), mfccs_from_log_mel_spectrograms.
CHIRP = ((np.arange(1120) ** 2 * 7 + np.arange(1120) * 1301) % 65536 - 32768).astype(np.int16)
MFCC = [
    [24.8799, -5.9333, -4.3972, -1.2609, 0.8226, 0.3944, -0.9079, -0.4265, -0.5635, -0.9086],
    [20.6746, -6.2688, 0.3158, 1.6399, -2.0030, 1.7121, 1.3533, -0.4241, 1.2737, -0.3468],
    [20.5766, -6.1701, 1.5968, -1.5012, 1.3765, -0.2329, 0.2608, -0.2827, -0.7815, 0.4996],
]
LOG_MEL = [
    [-0.3858, 1.1190, 3.5764, 3.6647, 3.6069],
    [1.4419, 0.5579, 2.2829, 2.5463, 4.1770],
    [1.1358, 0.5586, 1.8801, 2.3424, 2.7261],
]


def test_features_are_tensorflows() -> None:
    mfcc = FeatureSteps("mfcc", 480, 320, 3, 512, 40, 20.0, 4000.0, 10, "magnitude")
    np.testing.assert_allclose(features(CHIRP, mfcc, 16000), MFCC, rtol=0, atol=2e-4)
    log_mel = FeatureSteps("log-mel", 480, 320, 3, 512, 40, 20.0, 4000.0, 40, "magnitude")
    np.testing.assert_allclose(features(CHIRP, log_mel, 16000)[:, ::8], LOG_MEL, rtol=0, atol=2e-4)


@pytest.mark.parametrize("fft", [4, 8, 64, 1024])
def test_the_spectrum_is_numpys(fft: int) -> None:
    steps = FeatureSteps("log-mel", fft, fft, 1, fft, 1, 0.0, 8000.0, 1, "power")
    pcm = RANDOM.integers(-32768, 32768, fft).astype(np.int16)
    from tinyc.data.features import _spectrum, tables

    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft) / fft)
    want = np.abs(np.fft.rfft(pcm / 32768 * window)) ** 2
    got = _spectrum((pcm / 32768 * window).astype(np.float32)[None], tables(steps, 16000).cosines)[0]
    np.testing.assert_allclose(got, want, rtol=0, atol=want.max() * 1e-5)


def test_logarithm() -> None:
    x = np.concatenate([np.geomspace(1e-6, 1e12, 200_000), 1 + np.linspace(-0.5, 1, 100_000)]).astype(np.float32)
    exact = np.log(x.astype(np.float64))
    assert (np.abs(log(x) - exact) <= 2 * np.spacing(np.abs(exact).astype(np.float32)) + 1e-9).all()


def test_features_of_a_folder(tmp_path: Path) -> None:
    for name, samples in (("on/a.wav", NOISE), ("off/b.wav", NOISE[::-1])):
        save(tmp_path / name, np.tile(samples, 16), 16000)
    options = DataOptions(features="mfcc", mel_high=4000.0)
    for shape in ((1, 49, 10, 1), (1, 49, 10), (1, 1, 49, 10)):
        data = load(tmp_path, [real(*shape)], options)
        assert data.arrays[0].shape == (2, *shape[1:])
        steps = data.preprocessing.audio.features
        assert (steps.frame_length, steps.frame_stride, steps.fft, steps.mels) == (480, 320, 512, 40)
        pcm = np.rint(np.tile(NOISE, 16) * 32768).astype(np.int16)
        np.testing.assert_array_equal(data.arrays[0][1].reshape(49, 10), features(pcm, steps, 16000))
    assert len(load(tmp_path, [real(1, 490)], DataOptions(features="mfcc", coefficients=10))) == 2
    assert load(tmp_path, [real(1, 1960)], DataOptions(features="log-mel")).preprocessing.audio.features.frames == 49
    one_second = load(tmp_path, [real(1, 49, 10, 1)], DataOptions(features="mfcc", window=16000))
    assert one_second.preprocessing.audio.window == 16000
    warned = load(tmp_path, [real(1, 49, 200)], DataOptions(features="log-mel")).warnings
    assert any("lie between two bins" in text for text in warned)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 49, 10), {"window": 15000}, "--window: is 15000"),
        ((1, 49, 10), {"coefficients": 13}, "--coefficients: is 13"),
        ((1, 49, 10), {"fft": 500}, "--fft: is 500"),
        ((1, 49, 10), {"fft": 256}, r"power of two from 480 \(the frame\)"),
        ((1, 49, 10), {"mel_high": 9000.0}, "half the sample rate"),
        ((1, 490), {}, "say --coefficients"),
        ((1, 4, 5, 6), {}, "features of sound are given"),
    ],
)
def test_features_that_do_not_suit_the_model(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, object], message: str
) -> None:
    save(tmp_path / "a.wav", np.tile(NOISE, 16))
    with pytest.raises((ModelError, UsageError), match=message):
        load(tmp_path, [real(*shape)], DataOptions(features="mfcc", **options))


def test_options(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", NOISE)
    with pytest.raises(UsageError, match="--fft: means nothing for recordings without --features"):
        load(tmp_path, [real(1, 100)], DataOptions(fft=512))
    with pytest.raises(UsageError, match=r"--resize: means nothing for a folder of \.wav files"):
        load(tmp_path, [real(1, 100)], DataOptions(resize="crop"))
    with pytest.raises(UsageError, match="--window: is 50"):
        load(tmp_path, [real(1, 100)], DataOptions(window=50))
    save(tmp_path / "b.wav", NOISE)
    (tmp_path / "c.npy").touch()
    with pytest.raises(ModelError, match=r"several kinds of data: 2 of sound .*, 1 of arrays"):
        load(tmp_path, [real(1, 100)])


def test_order_in_the_folder_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in ("b/2.wav", "a/1.wav", "b/1.wav"):
        save(tmp_path / name, RANDOM.normal(0, 0.1, 400))
    first = load(tmp_path, [real(1, 100)], DataOptions(samples=5))
    walk = os.walk

    def backwards(*arguments: object, **options: object) -> object:
        for parent, folders, names in walk(*arguments, **options):
            folders.reverse()
            names.reverse()
            yield parent, folders, names

    monkeypatch.setattr(os, "walk", backwards)
    second = load(tmp_path, [real(1, 100)], DataOptions(samples=5))
    assert first.names == second.names and first.arrays[0].tobytes() == second.arrays[0].tobytes()
