# SPDX-License-Identifier: Apache-2.0
"""Recordings of a smartwatch, cut into windows: the data of this example."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from training.packages import folder

LABELS = (
    "pendulum",
    "abduction",
    "forward elevation",
    "internal rotation",
    "external rotation",
    "trapezius extension",
    "row",
)

RATE = 25
"""Samples per second, after averaging pairs of the recorded 50."""

WINDOW = 100
"""Samples in a window: 4 s."""

AXES = 6
"""Acceleration x, y, z in g, then rotation x, y, z in units of 4 rad/s.

All inputs of a model share one scale when it is quantized, so they must be of about the same size: the rotations are
several times larger than the accelerations when they are in rad/s.
"""

STEPS = 64
"""Values are rounded to multiples of 1/64, finer than an int8 step of the input. It makes the data files small."""

HELD_OUT_PEOPLE = (8, 9, 10)


@dataclass(frozen=True, eq=False)
class Windows:
    """`inputs` float32 [count, 100, 6], `labels` [count]: positions in `LABELS`."""

    inputs: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def windows(held_out: bool, hop: int) -> Windows:
    """The windows of the people that are held out, or of all others, one every `hop` samples."""
    stored = np.load(folder("seglearn", "seglearn==1.2.5") / "data" / "watch_dataset.npy", allow_pickle=True).item()
    inputs, labels = [], []
    for recording, label, person in zip(stored["X"], stored["y"], stored["subject"], strict=True):
        if (person in HELD_OUT_PEOPLE) == held_out:
            cut = _cut(_prepare(recording), hop)
            inputs.append(cut)
            labels.append(np.full(len(cut), label))
    return Windows(np.concatenate(inputs), np.concatenate(labels))


def _prepare(recording: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """[samples at 50 Hz, 6] to [samples at 25 Hz, 6]."""
    pairs = recording[: len(recording) // 2 * 2].reshape(-1, 2, AXES).mean(axis=1)
    return (np.rint(pairs / (1, 1, 1, 4, 4, 4) * STEPS) / STEPS).astype(np.float32)


def _cut(samples: npt.NDArray[np.float32], hop: int) -> npt.NDArray[np.float32]:
    return np.stack([samples[first : first + WINDOW] for first in range(0, len(samples) - WINDOW + 1, hop)])
