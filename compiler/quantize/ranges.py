# SPDX-License-Identifier: Apache-2.0
"""The range of every activation, from calibration data. Results do not depend on the order of the samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import ModelError
from ..graph import Array, Graph, Node
from . import execute
from .result import Settings

#: Values beyond this leave no room in float32 for the sums and squares that quantization needs.
LARGEST = 1e18
#: Bins of the histograms that `percentile`, `mse` and `kl` work on.
BINS = 4096
#: exp(-UNSEEN) is far below half a step of an int8 probability, also for many together; and a share of the range to spare,
#: for rows whose largest value is smaller than any that was seen.
UNSEEN, SPARE = 12.0, 0.05
#: Shares of the observed range that `mse` and `kl` try, per side.
TRIES = np.linspace(0.25, 1.0, 61)


@dataclass(frozen=True, eq=False)
class Observed:
    """What calibration saw: per activation of the graph the smallest and largest value of each sample, and per-channel extremes.

    `low` and `high` are tensor index → float64 [samples]; `channels` is tensor index → (low, high), each [channels]; `peak` is tensor
    index → the smallest over all rows (last axis) of a row's largest value.
    """

    low: Mapping[int, Array]
    high: Mapping[int, Array]
    channels: Mapping[int, tuple[Array, Array]]
    peak: Mapping[int, float] = field(default_factory=dict)

    def range(self, index: int) -> tuple[float, float]:
        return float(self.low[index].min()), float(self.high[index].max())


def observe(graph: Graph, arrays: Sequence[Array], progress: Callable[[int], None] = lambda done: None) -> Observed:
    """Runs all samples through the float32 graph."""
    low: dict[int, list[Array]] = {}
    high: dict[int, list[Array]] = {}
    channels: dict[int, tuple[Array, Array]] = {}
    peak: dict[int, float] = {}
    done = 0
    for chunk in execute.chunks(graph, arrays):
        for indices, values in execute.walk(graph, chunk):
            for index, array in zip(indices, values, strict=True):
                flat = array.reshape(len(array), -1)
                low.setdefault(index, []).append(flat.min(axis=1))
                high.setdefault(index, []).append(flat.max(axis=1))
                last = array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)
                ends = last.min(axis=0), last.max(axis=0)
                before = channels.get(index, ends)
                channels[index] = np.minimum(before[0], ends[0]), np.maximum(before[1], ends[1])
                peak[index] = min(peak.get(index, np.inf), float(last.max(axis=1).min()))
        done += len(chunk[0])
        progress(done)
    _check_finite(graph, low, high)
    return Observed(
        {i: np.concatenate(parts).astype(np.float64) for i, parts in low.items()},
        {i: np.concatenate(parts).astype(np.float64) for i, parts in high.items()},
        channels,
        peak,
    )


def _check_finite(graph: Graph, low: Mapping[int, list[Array]], high: Mapping[int, list[Array]]) -> None:
    """Raises ModelError for the first layer whose values exceed `LARGEST` on the samples."""
    for layer in graph.layers():
        for index in layer.node.outputs:
            ends = np.abs(np.concatenate([*low[index], *high[index]]))
            if not (ends <= LARGEST).all():  # NaN, too
                raise ModelError(
                    layer.where,
                    f"computes {ends[np.argmax(~(ends <= LARGEST))]:g} on the calibration data",
                    expected=f"values up to {LARGEST:g}",
                    hint="are the data scaled as in training (--scale, --mean, --std)? did the training converge?",
                )


def choose(
    graph: Graph, arrays: Sequence[Array], observed: Observed, settings: Settings
) -> Mapping[int, tuple[float, float]]:
    """(low, high) of every activation by the method that the settings name."""
    full = _what_softmax_sees(graph, observed, {index: observed.range(index) for index in observed.low})
    if settings.ranges == "minmax":
        return full
    counts = _histograms(graph, arrays, full)
    levels = 255 if settings.activations == "int8" else 65535
    method = {"percentile": _percentile, "mse": _mse, "kl": _kl}[settings.ranges]
    return {
        index: method(counts[index], ends, levels, settings.percentile) if ends[1] > ends[0] else ends
        for index, ends in full.items()
    }


def _what_softmax_sees(
    graph: Graph, observed: Observed, ranges: Mapping[int, tuple[float, float]]
) -> Mapping[int, tuple[float, float]]:
    """`ranges` without the low values of a SOFTMAX's input that cannot be seen in its output.

    A value that lies `UNSEEN` / beta below the largest of its row gets a probability below half a step of the output. Leaving such
    values out makes the steps of those that count finer.
    """
    found = dict(ranges)
    readers: dict[int, list[Node]] = {}
    for node in graph.nodes:
        for index in node.inputs:
            readers.setdefault(index, []).append(node)
    for index, nodes in readers.items():
        if index in found and index not in graph.outputs and all(node.op == "SOFTMAX" for node in nodes):
            low, high = found[index]
            beta = min(float(node.attributes["beta"]) for node in nodes)
            if beta > 0:
                bound = observed.peak[index] - UNSEEN / beta - SPARE * (high - low)
                found[index] = min(max(low, bound), 0.0) if low < 0 else low, high
    return found


def _histograms(graph: Graph, arrays: Sequence[Array], full: Mapping[int, tuple[float, float]]) -> Mapping[int, Array]:
    """Values counted in `BINS` equal bins from a tensor's smallest to its largest value, int64."""
    counts = {index: np.zeros(BINS, np.int64) for index in full}
    for chunk in execute.chunks(graph, arrays):
        for indices, values in execute.walk(graph, chunk):
            for index, array in zip(indices, values, strict=True):
                low, high = full[index]
                if high > low:
                    position = (array.reshape(-1) - np.float32(low)) * np.float32(BINS / (high - low))
                    counts[index] += np.bincount(np.clip(position.astype(np.int64), 0, BINS - 1), minlength=BINS)
    return counts


def _centers(ends: tuple[float, float]) -> Array:
    step = (ends[1] - ends[0]) / BINS
    return ends[0] + step * (np.arange(BINS) + 0.5)


def _percentile(counts: Array, ends: tuple[float, float], levels: int, percent: float) -> tuple[float, float]:
    """Leaves out the same share of the values on either side that does not begin at 0."""
    share = np.cumsum(counts) / counts.sum()
    step = (ends[1] - ends[0]) / BINS
    tail = (100.0 - percent) / 100.0
    low = ends[0] + step * int(np.searchsorted(share, tail, side="right"))
    high = ends[0] + step * (int(np.searchsorted(share, 1.0 - tail, side="left")) + 1)
    return (ends[0] if ends[0] >= 0 else min(low, 0.0)), (ends[1] if ends[1] <= 0 else max(min(high, ends[1]), 0.0))


def _sides(ends: tuple[float, float]) -> list[tuple[float, float]]:
    """Ranges within `ends`: each side that lies beyond 0 shrinks by itself."""
    lows = TRIES * ends[0] if ends[0] < 0 else np.array([ends[0]])
    highs = TRIES * ends[1] if ends[1] > 0 else np.array([ends[1]])
    if len(lows) > 1 and len(highs) > 1:
        lows, highs = lows[::3], highs[::3]
    return [(float(low), float(high)) for low in lows for high in highs]


def _mse(counts: Array, ends: tuple[float, float], levels: int, percent: float) -> tuple[float, float]:
    """The range with the least mean squared error of rounding and clipping."""
    values, weights = _centers(ends), counts / counts.sum()
    used = weights > 0
    values, weights = values[used], weights[used]

    def error(tried: tuple[float, float]) -> float:
        low, high = min(tried[0], 0.0), max(tried[1], 0.0)
        scale = (high - low) / levels
        clipped = np.clip(values, low, high)
        # Within the range the error of rounding is taken as evenly spread: bins may be finer or coarser than steps.
        return float((weights * (values - clipped) ** 2).sum() + (weights[clipped == values].sum()) * scale**2 / 12)

    return min(_sides(ends), key=error)


def _kl(counts: Array, ends: tuple[float, float], levels: int, percent: float) -> tuple[float, float]:
    """The range whose quantized distribution diverges least from the real one (Kullback-Leibler, as in TensorRT's calibration)."""
    steps = min(levels, 255)
    centers = _centers(ends)

    def divergence(tried: tuple[float, float]) -> float:
        inside = (centers >= tried[0]) & (centers <= tried[1])
        if inside.sum() < steps:
            return float("inf")
        real = counts[inside].astype(np.float64)
        target = real.copy()
        target[0] += counts[centers < tried[0]].sum()
        target[-1] += counts[centers > tried[1]].sum()
        group = np.minimum(np.arange(len(real)) * steps // len(real), steps - 1)
        filled = (real > 0).astype(np.float64)
        total, places = np.bincount(group, real, steps), np.bincount(group, filled, steps)
        spread = np.where(filled > 0, (total / np.maximum(places, 1))[group], 0.0)
        p, q = target / target.sum(), spread / max(spread.sum(), 1.0)
        both = (p > 0) & (q > 0)
        # What lies where the quantized distribution has nothing would diverge without bound; it counts by a small floor.
        missing = p[(p > 0) & (q == 0)]
        return float((p[both] * np.log(p[both] / q[both])).sum() + (missing * np.log(missing / 1e-9)).sum())

    return min(_sides(ends), key=divergence)
