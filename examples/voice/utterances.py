# SPDX-License-Identifier: Apache-2.0
"""Utterances of nine speakers as cepstrum coefficients: the data of this example."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from training.packages import folder

Array = npt.NDArray[np.float32]

COEFFICIENTS = 12
"""LPC cepstrum coefficients per frame."""

FRAMES = 12
"""An utterance of 7 to 29 frames is stretched or shrunk to this many, by linear interpolation."""

SPEAKER = 3
"""The voice that is normal. Of the nine, it has the most held-out utterances."""


def utterances(part: str) -> tuple[Array, npt.NDArray[np.int64]]:
    """(inputs [count, 12, 12], speakers [count]: 1 to 9) of `part`: TRAIN, 30 of each speaker, or TEST, 370 in all."""
    path = folder("aeon", "aeon==1.6.0") / "datasets" / "data" / "JapaneseVowels" / f"JapaneseVowels_{part}.ts"
    read = list(_lines(path.read_text(encoding="utf-8")))
    return np.stack([_stretch(values) for values, _ in read]), np.array([speaker for _, speaker in read])


def _lines(text: str) -> Iterator[tuple[Array, int]]:
    """(values [frames, 12], speaker) per line after `@data`: coefficients between colons, then the speaker."""
    for line in text.partition("@data\n")[2].splitlines():
        *coefficients, speaker = line.split(":")
        yield np.array([row.split(",") for row in coefficients], np.float32).T, int(speaker)


def _stretch(values: Array) -> Array:
    places = np.linspace(0, len(values) - 1, FRAMES)
    columns = [np.interp(places, np.arange(len(values)), column) for column in values.T]
    return np.stack(columns, axis=1).astype(np.float32)
