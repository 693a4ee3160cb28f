# SPDX-License-Identifier: Apache-2.0
"""Recordings as samples: resampled, rounded to the 16 bits that a device has, cut into windows, and maybe made features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import ModelError, UsageError
from ..graph import Array, Tensor
from .features import empty_bands, features
from .files import File
from .options import DataOptions, option
from .preprocessing import MAX_FFT, MAX_RATE, MAX_WINDOW, AudioSteps, FeatureSteps, Preprocessing
from .resample import resample
from .select import Sample
from .source import COMMON, Source, reject_options, value_preprocessing
from .wav import read_wav

#: Windows that one recording may be cut into.
MAX_WINDOWS: Final = 1_000_000

_SOUND: Final = frozenset({"sample_rate", "window", "hop", "features"})
_FEATURES: Final = frozenset(
    {"frame_length", "frame_stride", "fft", "mels", "mel_low", "mel_high", "coefficients", "spectrum"}
)


def open_audio(folder: Path, files: Sequence[File], tensor: Tensor, options: DataOptions) -> Source:
    """A folder of .wav files as a source. Raises ModelError when the model's input does not suit the options."""
    reject_options(options, "a folder of .wav files", COMMON | _SOUND | _FEATURES)
    if options.features == "none":
        reject_options(options, "recordings without --features", COMMON | _SOUND)
    rate = options.sample_rate or read_wav(files[0].path)[0]
    if rate > MAX_RATE:
        raise UsageError(option("sample_rate"), f"is {rate}", expected=f"at most {MAX_RATE} Hz")
    steps = audio_steps(tensor, options, rate)
    suitable = (1, steps.features.coefficients, math.prod(tensor.shape)) if steps.features is not None else None
    value = replace(value_preprocessing((tensor,), options, suitable), audio=steps)
    remarks: list[str] = []
    if steps.features is None and sum(extent > 1 for extent in tensor.shape[1:]) > 1:
        remarks.append(
            f"raw samples fill an input of shape {list(tensor.shape)}, which looks like a spectrogram: does the model take --features?"
        )
    if steps.features is not None and (empty := empty_bands(steps.features, rate)):
        remarks.append(
            f"{empty} of {steps.features.mels} mel bands lie between two bins of the spectrum and never change: "
            "fewer --mels, or a larger --fft"
        )
    return Source(str(folder), _samples(files, tensor, value, steps, options, remarks), value, remarks)


def audio_steps(tensor: Tensor, options: DataOptions, rate: int) -> AudioSteps:
    """What a window of sound becomes for this input. Raises ModelError when window and input do not suit each other."""
    if options.features != "none":
        steps = feature_steps(tensor, options, rate)
        window = options.window or steps.samples
        most = steps.samples + steps.frame_stride - 1
        if not steps.samples <= window <= most:
            raise UsageError(
                option("window"),
                f"is {window}",
                expected=f"{steps.samples} to {most}, for {steps.frames} frames of {steps.frame_length} every {steps.frame_stride}",
                hint="suit --frame-length and --frame-stride to the model's input",
            )
        return AudioSteps(rate, window, steps)
    elements = math.prod(tensor.shape[1:])
    if options.window not in (None, elements):
        raise UsageError(
            option("window"),
            f"is {options.window}",
            expected=f"{elements}, the values of input '{tensor.name}'",
            hint="" if len(tensor.shape) < 3 else "does the model take --features?",
        )
    if elements > MAX_WINDOW:
        raise ModelError(f"input '{tensor.name}'", f"{elements} samples", expected=f"at most {MAX_WINDOW}")
    return AudioSteps(rate, elements)


def feature_steps(tensor: Tensor, options: DataOptions, rate: int) -> FeatureSteps:
    """The options with their defaults filled in from the model's input [1, frames, coefficients] or so."""
    length = options.frame_length or max(rate * 30 // 1000, 1)
    fft = options.fft or max(4, 1 << (length - 1).bit_length())
    if fft & (fft - 1) or not 4 <= fft <= MAX_FFT or fft < length:
        expected = f"a power of two from {max(4, length)} (the frame) to {MAX_FFT}"
        raise UsageError(option("fft"), f"is {fft}", expected=expected)
    frames, coefficients = _frames(tensor, options)
    mels = coefficients if options.features == "log-mel" else options.mels or max(40, coefficients)
    high = options.mel_high if options.mel_high is not None else rate / 2
    if not 0 <= options.mel_low < high <= rate / 2:
        found = f"bands from {options.mel_low:g} to {high:g} Hz"
        raise UsageError(option("mel_high"), found, expected=f"0 <= low < high <= {rate / 2:g}, half the sample rate")
    return FeatureSteps(
        options.features,
        length,
        options.frame_stride or max(rate * 20 // 1000, 1),
        frames,
        fft,
        mels,
        float(options.mel_low),
        float(high),
        coefficients,
        options.spectrum,
    )


def _frames(tensor: Tensor, options: DataOptions) -> tuple[int, int]:
    """Frames and coefficients of the input; a flat input is cut by --coefficients (MFCC) or --mels."""
    shape = tensor.shape[1:]
    said = options.coefficients if options.features == "mfcc" else options.coefficients or options.mels
    if len(shape) == 1:
        width = said or (40 if options.features == "log-mel" else 0)
        frames, coefficients = (shape[0] // width, width) if width and shape[0] % width == 0 else (0, 0)
    else:
        frames, coefficients = (
            shape[:2]
            if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1)
            else (shape[1:] if len(shape) == 3 and shape[0] == 1 else (0, 0))
        )
    if frames < 1 or coefficients < 1:
        raise ModelError(
            f"input '{tensor.name}'",
            f"shape {list(tensor.shape)}, and features of sound are given",
            expected="[1, frames, coefficients], with a last axis of 1 or not, or flat",
            hint="for a flat input say --coefficients" if len(shape) == 1 else "",
        )
    if said is not None and said != coefficients:
        name = "coefficients" if options.coefficients else "mels"
        raise UsageError(
            option(name),
            f"is {said}",
            expected=f"{coefficients}, as input '{tensor.name}' of shape {list(tensor.shape)}",
        )
    return frames, coefficients


def _samples(
    files: Sequence[File],
    tensor: Tensor,
    value: Preprocessing,
    steps: AudioSteps,
    options: DataOptions,
    remarks: list[str],
) -> Iterator[Sample]:
    short = 0
    for file in files:
        pcm = read_pcm(file.path, steps.sample_rate, options.sample_rate is not None, files[0].path)
        short += len(pcm) < steps.window
        for start, window in windows(str(file.path), pcm, steps.window, options.hop or steps.window):
            name = file.name if start == 0 else f"{file.name}@{start}"
            yield Sample(name, (value.values(raw_values(window, steps)).reshape(tensor.shape[1:]),), file.label)
    if short:
        remarks.append(f"{short} of {len(files)} recordings are shorter than {steps.window} samples and end in silence")


def read_pcm(path: Path, rate: int, resampled: bool, first: Path) -> Array:
    """A recording as int16 samples at `rate` Hz. Raises ModelError for another rate if it is not to be resampled."""
    found, samples = read_wav(path)
    if found != rate and not resampled:
        raise ModelError(
            str(path),
            f"{found} Hz",
            expected=f"{rate} Hz, as {first.name} has",
            hint="--sample-rate resamples all to one rate",
        )
    if samples.size == 0:
        raise ModelError(str(path), "has no samples", expected="a recording", hint="remove it")
    if samples.size * rate > MAX_WINDOW * found:
        raise ModelError(
            str(path), f"{samples.size} samples", expected=f"at most {MAX_WINDOW}", hint="split the recording"
        )
    pcm: Array = np.clip(np.rint(resample(samples, found, rate) * 32768), -32768, 32767).astype(np.int16)
    return pcm


def windows(where: str, pcm: Array, window: int, hop: int) -> Iterator[tuple[int, Array]]:
    """(start, samples) of each whole window, every `hop` samples; a shorter recording is one window that ends in silence."""
    if len(pcm) < window:
        yield 0, np.concatenate([pcm, np.zeros(window - len(pcm), np.int16)])
        return
    if (len(pcm) - window) // hop >= MAX_WINDOWS:
        raise ModelError(where, f"more than {MAX_WINDOWS} windows", hint="a larger --hop")
    for start in range(0, len(pcm) - window + 1, hop):
        yield start, pcm[start : start + window]


def raw_values(window: Array, steps: AudioSteps) -> Array:
    """int16 samples as -1 to 1, or as features: float32."""
    if steps.features is None:
        return window.astype(np.float32) * np.float32(1 / 32768)
    return features(window, steps.features, steps.sample_rate)
