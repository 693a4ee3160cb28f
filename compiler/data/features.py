# SPDX-License-Identifier: Apache-2.0
"""Log-mel energies and MFCC in float32, one operation after the other, so that the C twin gets the same bits.

As TensorFlow's tf.signal does it: frames under a periodic Hann window, a real FFT, magnitude or power, triangles on the mel
scale 1127 * ln(1 + f / 700), ln(x + 1e-6), and for MFCC the orthonormal-but-for-c0 DCT-II of
`mfccs_from_log_mel_spectrograms`. The C twin is `runtime_c/preprocess/tinyc_preprocess_frame.c`: a change here is a change there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..graph import Array
from .preprocessing import FeatureSteps

FLOOR = np.float32(1e-6)

#: Cephes logf: ln(1 + m) for m in sqrt(1/2) - 1 to sqrt(2) - 1, highest power first.
LOG_POLYNOMIAL = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)


@dataclass(frozen=True, eq=False)
class Tables:
    """Constants of a front end, float32 but for the indices.

    Attributes:
        window: first half of the window, [frame_length // 2 + 1]; sample n takes entry min(n, frame_length - n).
        cosines: cos(2 pi k / fft), k = 0 to fft / 2; the sine is entry |k - fft / 4|.
        first, counts: int32 per band: the first bin, and how many bins.
        weights: of all bands' bins in turn.
        dct: [coefficients, mels], or empty for log-mel.
    """

    window: Array
    cosines: Array
    first: Array
    counts: Array
    weights: Array
    dct: Array


@cache
def tables(steps: FeatureSteps, sample_rate: int) -> Tables:
    """The constants of these features."""
    length, fft = steps.frame_length, steps.fft
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * n / length) for n in range(length // 2 + 1)]
    cosines = [math.cos(2 * math.pi * k / fft) for k in range(fft // 2 + 1)]
    cosines[fft // 4] = 0.0
    bands = _bands(steps, sample_rate)
    dct = [
        [2 * math.cos(math.pi * c * (n + 0.5) / steps.mels) / math.sqrt(2 * steps.mels) for n in range(steps.mels)]
        for c in range(steps.coefficients if steps.kind == "mfcc" else 0)
    ]
    return Tables(
        np.array(hann, np.float32),
        np.array(cosines, np.float32),
        np.array([first for first, _ in bands], np.int32),
        np.array([len(weights) for _, weights in bands], np.int32),
        np.array([weight for _, weights in bands for weight in weights], np.float32),
        np.array(dct, np.float32).reshape(-1, steps.mels),
    )


def _bands(steps: FeatureSteps, sample_rate: int) -> list[tuple[int, list[float]]]:
    """(first bin, weights) of each band; a band between two bins has none."""
    mel = [_mel(k * sample_rate / steps.fft) for k in range(steps.fft // 2 + 1)]
    low, high = _mel(steps.low), _mel(steps.high)
    edges = [low + (high - low) * i / (steps.mels + 1) for i in range(steps.mels + 2)]
    bands = []
    for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
        rises = [min((m - left) / (centre - left), (right - m) / (right - centre)) for m in mel]
        bins = [k for k in range(1, len(mel)) if rises[k] > 0]  # bin 0 is the mean, which no band has
        bands.append((bins[0], [rises[k] for k in bins]) if bins else (0, []))
    return bands


def _mel(frequency: float) -> float:
    return 1127.0 * math.log1p(frequency / 700.0)


def empty_bands(steps: FeatureSteps, sample_rate: int) -> int:
    """Bands that lie between two bins of the spectrum, so that their value never changes."""
    return int((tables(steps, sample_rate).counts == 0).sum())


def features(window: Array, steps: FeatureSteps, sample_rate: int) -> Array:
    """int16 samples [>= steps.samples] to float32 [frames, coefficients]."""
    table = tables(steps, sample_rate)
    starts = np.arange(steps.frames)[:, None] * steps.frame_stride
    samples = window[starts + np.arange(steps.frame_length)].astype(np.float32) * np.float32(1 / 32768)
    position = np.arange(steps.frame_length)
    weighted = np.zeros((steps.frames, steps.fft), np.float32)
    weighted[:, : steps.frame_length] = samples * table.window[np.minimum(position, steps.frame_length - position)]
    spectrum = _spectrum(weighted, table.cosines)
    if steps.spectrum == "magnitude":
        spectrum = np.sqrt(spectrum)
    logs = log(_weigh(spectrum, table) + FLOOR)
    if steps.kind == "log-mel":
        return logs
    coefficients = np.zeros((steps.frames, steps.coefficients), np.float32)
    for band in range(steps.mels):
        coefficients = coefficients + logs[:, band, None] * table.dct[:, band]
    return coefficients


def _weigh(spectrum: Array, table: Tables) -> Array:
    """[frames, bins] to [frames, bands]: each band's weighted sum, from its lowest bin up."""
    energies = np.zeros((len(spectrum), len(table.counts)), np.float32)
    position = 0
    for band, (first, count) in enumerate(zip(table.first.tolist(), table.counts.tolist(), strict=True)):
        for i in range(count):
            energies[:, band] = energies[:, band] + spectrum[:, first + i] * table.weights[position + i]
        position += count
    return energies


def _spectrum(frames: Array, cosines: Array) -> Array:
    """Squared magnitude of the real FFT, [frames, fft] to [frames, fft / 2 + 1], by a complex FFT of half the length."""
    size = frames.shape[1]
    half = size // 2
    order = _bit_reversed(half)
    re, im = _fft(frames[:, 0::2][:, order], frames[:, 1::2][:, order], cosines)
    k = np.arange(half + 1)
    a, b = k % half, (half - k) % half
    cos, sin = cosines[k], cosines[np.abs(k - size // 4)]
    point5 = np.float32(0.5)
    even_re, even_im = (re[:, a] + re[:, b]) * point5, (im[:, a] - im[:, b]) * point5
    odd_re, odd_im = (im[:, a] + im[:, b]) * point5, (re[:, b] - re[:, a]) * point5
    real = even_re + (cos * odd_re + sin * odd_im)
    imaginary = even_im + (cos * odd_im - sin * odd_re)
    power: Array = real * real + imaginary * imaginary
    return power


def _fft(re: Array, im: Array, cosines: Array) -> tuple[Array, Array]:
    """Radix 2, decimation in time, on bit-reversed input [frames, n]; `cosines` are those of 2 * n points."""
    count, size = re.shape
    quarter = size // 2
    span = 1
    while span < size:
        k = np.arange(span) * (size // span)
        cos, sin = cosines[k], cosines[np.abs(k - quarter)]
        re, im = re.reshape(count, -1, 2, span), im.reshape(count, -1, 2, span)
        top_re, top_im, low_re, low_im = re[:, :, 0], im[:, :, 0], re[:, :, 1], im[:, :, 1]
        turned_re = cos * low_re + sin * low_im
        turned_im = cos * low_im - sin * low_re
        re = np.stack([top_re + turned_re, top_re - turned_re], axis=2).reshape(count, size)
        im = np.stack([top_im + turned_im, top_im - turned_im], axis=2).reshape(count, size)
        span *= 2
    return re, im


def _bit_reversed(size: int) -> Array:
    """0 to size - 1 with their bits in reverse order."""
    order = np.zeros(1, np.int64)
    while len(order) < size:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def log(x: Array) -> Array:
    """ln of positive normal float32 numbers, within 2 units in the last place (Cephes logf)."""
    bits = np.ascontiguousarray(x, np.float32).view(np.int32)
    exponent = (bits >> 23) - 126
    mantissa = ((bits & 0x007FFFFF) | 0x3F000000).view(np.float32)  # 0.5 to 1
    small = mantissa < np.float32(0.70710678)
    exponent = np.where(small, exponent - 1, exponent).astype(np.float32)
    m = np.where(small, mantissa + mantissa, mantissa) - np.float32(1)
    square = m * m
    y = np.full_like(m, LOG_POLYNOMIAL[0])
    for coefficient in LOG_POLYNOMIAL[1:]:
        y = y * m + np.float32(coefficient)
    y = y * m * square
    y = y + exponent * np.float32(-2.12194440e-4)
    y = y - square * np.float32(0.5)
    result: Array = (m + y) + exponent * np.float32(0.693359375)
    return result
