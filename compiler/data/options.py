# SPDX-License-Identifier: Apache-2.0
"""What a user can say about calibration and evaluation data."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import UsageError, suggestion

#: How an image of another size gets the model's size; see `tinyc.data.resize`.
RESIZE: Final = ("stretch", "crop", "pad")
COLORS: Final = ("rgb", "bgr", "gray")
FEATURES: Final = ("none", "log-mel", "mfcc")
SPECTRA: Final = ("magnitude", "power")

#: Values that a mean or a standard deviation may have; one per element of an input at most.
MAX_NUMBERS: Final = 1 << 20

_CHOICES: Final = {"resize": RESIZE, "color": COLORS, "features": FEATURES, "spectrum": SPECTRA}
_POSITIVE: Final = (
    "samples",
    "sample_rate",
    "window",
    "hop",
    "frame_length",
    "frame_stride",
    "fft",
    "mels",
    "coefficients",
)


@dataclass(frozen=True)
class DataOptions:
    """How data become model inputs. None (or an empty tuple) is "not said".

    Attributes:
        samples: how many samples to take, chosen by their contents; all by default.
        labels: file of labels: .npy, or .csv/.txt with `name,label` or one label per line.
        label_column: the label's column in a .csv, by name or by number from 0; -1 is the last.
        scale, mean, std: real = (raw * scale - mean) / std; mean and std have one value, one per channel (last axis), or one
            per element of a sample.
        resize: one of `RESIZE`; without it an image must have the model's size.
        color: one of `COLORS`; by the number of channels by default.
        sample_rate: in Hz, recordings of another rate are resampled; by default that of the files, which must agree.
        window, hop: samples per cut of a recording (by default what the input needs), and from cut to cut (by default `window`).
        features: one of `FEATURES`; the other attributes below are for them.
        frame_length, frame_stride: samples per frame and from frame to frame; 30 ms and 20 ms by default.
        fft: a power of two; the smallest with room for a frame by default.
        mels: bands; 40 by default for `mfcc`, the width of the input for `log-mel`.
        mel_low, mel_high: edges of the lowest and the highest band in Hz; `mel_high` is half the sample rate by default.
        coefficients: of MFCC; what the input has by default, needed for a flat input.
        spectrum: one of `SPECTRA`: what the bands sum.
    """

    samples: int | None = None
    labels: Path | None = None
    label_column: str | None = None
    scale: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: str | None = None
    color: str | None = None
    sample_rate: int | None = None
    window: int | None = None
    hop: int | None = None
    features: str = "none"
    frame_length: int | None = None
    frame_stride: int | None = None
    fft: int | None = None
    mels: int | None = None
    mel_low: float = 20.0
    mel_high: float | None = None
    coefficients: int | None = None
    spectrum: str = "magnitude"

    def __post_init__(self) -> None:
        """Raises UsageError naming the option."""
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise UsageError(option(name), f"unknown '{value}'", hint=suggestion(str(value), allowed))
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not 1 <= value < 2**31:
                raise UsageError(option(name), f"is {value}", expected="a positive number")
        self._check_values()

    def _check_values(self) -> None:
        if self.scale is not None:
            check_numbers(option("scale"), (self.scale,), zero=False)
        check_numbers(option("mean"), self.mean)
        check_numbers(option("std"), self.std, zero=False)
        if self.mean and self.std and len(self.mean) != len(self.std) and 1 not in (len(self.mean), len(self.std)):
            raise UsageError(
                option("std"), f"{len(self.std)} values", expected=f"one, or {len(self.mean)} as {option('mean')} has"
            )

    @property
    def says_values(self) -> bool:
        """Whether the user said how raw values become real ones."""
        return self.scale is not None or bool(self.mean) or bool(self.std)

    @property
    def given(self) -> frozenset[str]:
        """The attributes that differ from their defaults."""
        return frozenset(field.name for field in fields(self) if getattr(self, field.name) != field.default)


def option(name: str) -> str:
    """The command-line option of an attribute: `--mel-low`."""
    return "--" + name.replace("_", "-")


def check_numbers(where: str, values: tuple[float, ...], *, zero: bool = True) -> None:
    """Raises UsageError unless all are numbers that float32 can hold, and not zero where that is meaningless."""
    if len(values) > MAX_NUMBERS:
        raise UsageError(where, f"{len(values)} values", expected=f"at most {MAX_NUMBERS}")
    for value in values:
        largest = float(np.finfo(np.float32).max)
        if not math.isfinite(value) or abs(value) > largest or (value != 0 and abs(value) < 1e-30):
            raise UsageError(where, f"is {value}", expected="a number that float32 can hold")
        if not zero and value == 0:
            raise UsageError(where, "is 0", expected="a number other than 0")


def parse_number(where: str, text: str) -> float:
    """`0.5`, `1/255` or `1e-3` as a number. Raises UsageError."""
    top, slash, bottom = text.partition("/")
    try:
        return float(top) / float(bottom) if slash else float(top)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise UsageError(where, f"'{text}' is not a number", expected="such as 0.5 or 1/255") from None


def parse_numbers(where: str, text: str) -> tuple[float, ...]:
    """`0.485,0.456,0.406` as numbers. Raises UsageError."""
    return tuple(parse_number(where, part.strip()) for part in text.split(","))
