# SPDX-License-Identifier: Apache-2.0
"""The data of the keyword-spotting example: one-second clips of tones in noise, and their features. All from a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

LABELS = ("noise", "rise", "fall", "low_high", "high_low", "beeps")

RATE = 16000
"""Samples per second; a clip lasts one second."""

WINDOW, HOP, BANDS = 640, 320, 10
"""40 ms windows every 20 ms, 49 in a clip, and 10 bands: as in MLPerf Tiny's keyword spotting."""


def clips(random: np.random.Generator, per_class: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Features [count, 49, 10, 1] and labels [count] of `per_class` clips of each class, shuffled."""
    labels = random.permutation(np.repeat(np.arange(len(LABELS)), per_class))
    made = [features(clip(random, LABELS[label])) for label in labels]
    return np.stack(made)[..., None].astype(np.float32), labels


def clip(random: np.random.Generator, label: str) -> Array:
    """One clip: the tone of its class somewhere in it, in noise up to 12 dB weaker or stronger."""
    background = noise(random)
    if label != "noise":
        background += tone(random, label) * np.sqrt(2) * 10 ** (random.uniform(-12, 12) / 20)
    return background * 10 ** (random.uniform(-6, 6) / 20)


def noise(random: np.random.Generator) -> Array:
    """Noise of power 1 whose spectrum falls by 0 to 10 dB per decade."""
    spectrum = np.fft.rfft(random.normal(size=RATE))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** -random.uniform(0, 0.5)
    samples = np.fft.irfft(spectrum, RATE)
    return samples / samples.std()


def tone(random: np.random.Generator, label: str) -> Array:
    """A sine of amplitude 1 for 0.3 to 0.6 s, silence before and after."""
    length = int(RATE * random.uniform(0.3, 0.6))
    low = random.uniform(300, 1500)
    high = low * random.uniform(1.5, 2.5)
    place = np.linspace(0, 1, length)
    frequency = {
        "rise": low * (high / low) ** place,
        "fall": high * (low / high) ** place,
        "low_high": np.where(place < 0.5, low, high),
        "high_low": np.where(place < 0.5, high, low),
        "beeps": np.full(length, low),
    }[label]
    beeps = int(random.integers(3, 6))
    loudness = (place * (2 * beeps - 1)) % 2 < 1 if label == "beeps" else np.ones(length)
    start = int(random.integers(0, RATE - length))
    samples = np.zeros(RATE)
    phase = random.uniform(0, 2 * np.pi) + 2 * np.pi * np.cumsum(frequency) / RATE
    samples[start : start + length] = loudness * np.sin(phase)
    return samples


def features(samples: Array) -> Array:
    """Log-mel spectrogram [49, 10], scaled to about -2 to 2."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, 1024)) ** 2
    return (np.log(power @ mel_filters() + 1e-3) - 8.8) / 1.2


def mel_filters() -> Array:
    """Weights [513, 10] of triangular bands, evenly spaced from 100 to 4000 Hz on the mel scale."""
    mel = 1127 * np.log1p(np.fft.rfftfreq(1024, 1 / RATE) / 700)
    edges = np.linspace(1127 * np.log1p(100 / 700), 1127 * np.log1p(4000 / 700), BANDS + 2)
    rising = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))
