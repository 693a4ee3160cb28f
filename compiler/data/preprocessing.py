# SPDX-License-Identifier: Apache-2.0
"""The record of what was done to raw data, so that a device can repeat it: `Preprocessing`.

It comes back from files (a build's report), so everything is checked when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np

from ..errors import ModelError
from ..graph import Array
from .options import COLORS, FEATURES, MAX_NUMBERS, RESIZE, SPECTRA

#: Bounds of what a record may say; far above what a microcontroller can do.
MAX_SIDE: Final = 16384
MAX_RATE: Final = 768_000
MAX_WINDOW: Final = 1 << 26
MAX_FFT: Final = 1 << 16
MAX_MELS: Final = 1024

_WHERE: Final = "preprocessing"


@dataclass(frozen=True)
class ImageSteps:
    """An image becomes height x width x channels bytes (0 to 255), in the order of `color`.

    `resize` is one of `RESIZE`, or `none`: only images of that size. Channels are 1 for `gray`, else 3.
    """

    height: int
    width: int
    color: str
    resize: str

    def __post_init__(self) -> None:
        _check_int("height", self.height, 1, MAX_SIDE)
        _check_int("width", self.width, 1, MAX_SIDE)
        _check_choice("color", self.color, COLORS)
        _check_choice("resize", self.resize, ("none", *RESIZE))

    @property
    def channels(self) -> int:
        return 1 if self.color == "gray" else 3

    def text(self) -> str:
        how = "of the model's size" if self.resize == "none" else f"resized ({self.resize})"
        return f"images {how} to {self.height} x {self.width} {self.color}, 0 to 255"


@dataclass(frozen=True)
class FeatureSteps:
    """A window of sound becomes frames x coefficients numbers; see `tinyc.data.features` for the formulas.

    Lengths are in samples, frequencies in Hz. `coefficients` is `mels` for `log-mel`.
    """

    kind: str
    frame_length: int
    frame_stride: int
    frames: int
    fft: int
    mels: int
    low: float
    high: float
    coefficients: int
    spectrum: str

    def __post_init__(self) -> None:
        _check_choice("kind", self.kind, FEATURES[1:])
        _check_choice("spectrum", self.spectrum, SPECTRA)
        _check_int("fft", self.fft, 4, MAX_FFT)
        _check_int("frame_length", self.frame_length, 1, self.fft)
        _check_int("frame_stride", self.frame_stride, 1, MAX_WINDOW)
        _check_int("frames", self.frames, 1, MAX_WINDOW)
        _check_int("mels", self.mels, 1, MAX_MELS)
        _check_int("coefficients", self.coefficients, 1, self.mels)
        _check_float("low", self.low)
        _check_float("high", self.high)
        if self.fft & (self.fft - 1):
            raise ModelError(_WHERE, f"fft is {self.fft}", expected="a power of two")
        if not 0 <= self.low < self.high:
            raise ModelError(_WHERE, f"bands from {self.low} to {self.high} Hz", expected="0 <= low < high")
        if self.kind == "log-mel" and self.coefficients != self.mels:
            raise ModelError(_WHERE, f"{self.coefficients} coefficients", expected=f"the {self.mels} bands of log-mel")

    @property
    def samples(self) -> int:
        """Samples that all frames reach over."""
        return self.frame_length + (self.frames - 1) * self.frame_stride

    def text(self) -> str:
        cepstrum = f", {self.coefficients} coefficients" if self.kind == "mfcc" else ""
        return (
            f"{self.kind}: {self.frames} frames of {self.frame_length} samples every {self.frame_stride}, "
            f"{self.fft}-point {self.spectrum} spectrum, {self.mels} bands from {self.low:g} to {self.high:g} Hz{cepstrum}"
        )


@dataclass(frozen=True)
class AudioSteps:
    """A recording becomes windows of 16-bit samples at `sample_rate` Hz, read as -1 to 1, and features if there are any."""

    sample_rate: int
    window: int
    features: FeatureSteps | None = None

    def __post_init__(self) -> None:
        _check_int("sample_rate", self.sample_rate, 1, MAX_RATE)
        _check_int("window", self.window, 1, MAX_WINDOW)
        if self.features is not None:
            if self.features.samples > self.window:
                found = f"frames reach over {self.features.samples} samples"
                raise ModelError(_WHERE, found, expected=f"at most the window's {self.window}")
            if self.features.high > self.sample_rate / 2:
                found = f"bands up to {self.features.high:g} Hz"
                raise ModelError(_WHERE, found, expected=f"at most half the sample rate, {self.sample_rate / 2:g}")

    def text(self) -> str:
        sound = f"sound at {self.sample_rate} Hz, windows of {self.window} 16-bit samples read as -1 to 1"
        return sound if self.features is None else f"{sound}; {self.features.text()}"


@dataclass(frozen=True)
class Preprocessing:
    """What was done to raw data: images or sound to numbers first, then real = (raw * scale - mean) / std in float32.

    `mean` and `std` have the same number of values; value i of a sample takes number i modulo that.
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    image: ImageSteps | None = None
    audio: AudioSteps | None = None

    def __post_init__(self) -> None:
        for name, values in (("scale", (self.scale,)), ("mean", self.mean), ("std", self.std)):
            for value in values:
                _check_float(name, value)
        if 0 in np.array([self.scale, *self.std], np.float32):
            raise ModelError(_WHERE, "scale or std is 0", expected="numbers other than 0")
        if not 1 <= len(self.mean) <= MAX_NUMBERS or len(self.mean) != len(self.std):
            found = f"{len(self.mean)} values of mean and {len(self.std)} of std"
            raise ModelError(_WHERE, found, expected="the same number of both")
        if self.image is not None and self.audio is not None:
            raise ModelError(_WHERE, "steps for images and for sound", expected="one of them")

    @property
    def plain(self) -> bool:
        """Whether raw values are the real ones."""
        return self.scale == 1 and set(self.mean) == {0.0} and set(self.std) == {1.0}

    def values(self, raw: Array) -> Array:
        """Raw values of one sample, or of several along the first axis, as real ones: float32, one operation after the other.

        Raises nothing; what float32 cannot hold becomes infinite.
        """
        with np.errstate(all="ignore"):
            real = np.ascontiguousarray(raw, np.float32)
            if self.plain:
                return real
            scaled = real.reshape(-1, len(self.mean)) * np.float32(self.scale)
            flat: Array = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return flat.reshape(real.shape)

    def text(self) -> str:
        """One line for reports."""
        steps = [step.text() for step in (self.image, self.audio) if step is not None]
        if not self.plain:
            mean, std = _numbers(self.mean), _numbers(self.std)
            steps.append(f"real = (raw * {self.scale:.7g} - {mean}) / {std}")
        return "; ".join(steps) if steps else "none: values as they are"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> Preprocessing:
        """The record of `to_json`. Raises ModelError naming what is wrong with it."""
        known = dict(_keys(cls, data))
        image, audio = known.pop("image", None), known.pop("audio", None)
        for name in ("mean", "std"):
            if not isinstance(known.get(name, ()), list | tuple):
                raise ModelError(_WHERE, f"{name} is {_shown(known[name])}", expected="a list of numbers")
            if name in known:
                known[name] = tuple(known[name])
        return cls(
            **known,
            image=None if image is None else ImageSteps(**_keys(ImageSteps, image)),
            audio=None if audio is None else _audio_from_json(audio),
        )


def _audio_from_json(data: object) -> AudioSteps:
    known = dict(_keys(AudioSteps, data))
    features = known.pop("features", None)
    return AudioSteps(**known, features=None if features is None else FeatureSteps(**_keys(FeatureSteps, features)))


def _keys(kind: type[Any], data: object) -> Mapping[str, Any]:
    """`data` as the arguments of `kind`: an object with all of the required keys and no other."""
    if not isinstance(data, Mapping):
        raise ModelError(_WHERE, f"{kind.__name__} is {_shown(data)}", expected="an object")
    names = {field.name for field in fields(kind)}
    unknown = [str(key) for key in data if key not in names]
    if unknown:
        raise ModelError(_WHERE, f"unknown key {_shown(unknown[0])}", expected=", ".join(sorted(names)))
    if kind is not Preprocessing:
        missing = sorted(names - set(data) - {"features"})
        if missing:
            raise ModelError(_WHERE, f"{kind.__name__} lacks {', '.join(missing)}")
    return data


def _check_int(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ModelError(_WHERE, f"{name} is {_shown(value)}", expected=f"a whole number from {low} to {high}")


def _check_float(name: str, value: object) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= np.finfo(np.float32).max
    if not good:  # NaN compares as False
        raise ModelError(_WHERE, f"{name} is {_shown(value)}", expected="a number that float32 can hold")


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ModelError(_WHERE, f"{name} is {_shown(value)}", expected=" or ".join(allowed))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _numbers(values: tuple[float, ...]) -> str:
    shown = ", ".join(f"{value:.7g}" for value in values[:4])
    return shown if len(values) == 1 else f"[{shown}{', ...' if len(values) > 4 else ''}]"
