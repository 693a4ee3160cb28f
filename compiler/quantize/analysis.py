# SPDX-License-Identifier: Apache-2.0
"""Where quantization loses what: layer by layer, the integer network beside the float one that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .. import reference
from ..data.dataset import to_input
from ..errors import ModelError
from ..graph import Array, Layer, Tensor
from ..ops import all_ops
from . import execute
from .check import check_samples
from .prepare import dequantized, linear
from .real_values import decibels, finite, limits, power, spread, to_real
from .result import Quantized

#: Bars of a histogram; each counts the values of 4 steps of an int8 tensor, of 1024 of an int16 one.
BINS = 64
#: The most samples for the distributions, and for what runs through the integer reference.
MOST_SEEN, MOST_COMPARED = 512, 64
#: Multiply-accumulates that the float network may take for the distributions, and for following single errors to the output.
SEEN_WORK, FOLLOW_WORK = 3_000_000_000, 3_000_000_000
#: Bytes that the float values of all tensors may take.
MEMORY = 96 << 20
#: What is smaller than this share of the largest counts as zero: training leaves such weights where a channel has died.
NOTHING = 1e-6
#: From how many values of a channel on it can be said that it never changes.
LEAST_VALUES = 16
#: Fewest samples that single errors are followed for, where there are so many.
LEAST_FOLLOWED = 4


@dataclass(frozen=True)
class Weighing:
    """The weights of a layer.

    Attributes:
        sqnr: of the quantized weights against the real ones, in dB. `worst`, `worst_sqnr`: the channel where it is least.
        spread: largest over smallest of the channels' largest weights, without the channels in `zero`.
        zero: channels whose weights are all zero, or less than `NOTHING` of the layer's largest.
    """

    sqnr: float
    worst: int
    worst_sqnr: float
    spread: float
    zero: tuple[int, ...]


@dataclass(frozen=True)
class LayerLoss:
    """One tensor of the integer network and the layer that makes it; the network's inputs have the operator `INPUT` and node -1.

    Attributes:
        node: position of the layer in the integer network. `op`, `name`: its operator and output tensor. `dtype`: its type.
        sqnr: of the output in the whole integer network against the float one, in dB.
        alone: the same when only this layer works on integers, given exact inputs.
        gain: by how many dB the network's output would get better if only this layer made no error of its own (estimate).
        share: this layer's part of the noise at the network's output, 0 to 1 (estimate).
        weights_share: how much of the layer's own error comes from its weights and bias, 0 to 1; None without weights.
        first, last: what the integers reach, in real units. `step`: the real size of one step.
        low, high: smallest and largest real value seen.
        steps: how many integers occur, of `steps_of`. `used`: share of the range between `first` and `last` with values.
        clipped_below, clipped_above: shares of values outside of the range, by more than half a step.
        clipped_channel: the channel with most of them, and its part of them; None when nothing is clipped or there are no channels.
        beyond: share of samples with a value outside of what calibration saw.
        channels: how many there are along the last axis. `dead`: those that never change, of layers with weights.
        widest: the channel with the largest values. `channel_spread`: these over those of the median of the channels that have any.
        weights: or None.
        bias_shift: what bias correction added: (mean, largest) of the magnitude, in real units and in steps of the output; or None.
        histogram: counts of float values in `BINS` equal parts of the integer range; what is clipped counts in the ends.
    """

    node: int
    op: str
    name: str
    dtype: str
    sqnr: float
    alone: float
    gain: float
    share: float
    weights_share: float | None
    first: float
    last: float
    step: float
    low: float
    high: float
    steps: int
    steps_of: int
    used: float
    clipped_below: float
    clipped_above: float
    clipped_channel: tuple[int, float] | None
    beyond: float
    channels: int
    dead: tuple[int, ...]
    widest: int
    channel_spread: float
    weights: Weighing | None
    bias_shift: tuple[float, float, float, float] | None
    histogram: tuple[int, ...]

    @property
    def clipped(self) -> float:
        """Share of the values outside of the range."""
        return self.clipped_below + self.clipped_above


@dataclass(frozen=True)
class Analysis:
    """What quantization did to a network.

    Attributes:
        layers: the network's inputs, then its layers in order.
        sqnr: of the network's outputs, in dB, measured in the integer reference.
        estimated: the same from the layers' own errors added up: how far `gain` and `share` can be trusted.
        seen, compared, followed: samples for the distributions, through the integer reference, and for `gain` and `share`.
        hints: what to try, the most promising first.
    """

    layers: tuple[LayerLoss, ...]
    sqnr: float
    estimated: float
    seen: int
    compared: int
    followed: int
    hints: tuple[str, ...] = ()

    @property
    def worst(self) -> LayerLoss | None:
        """The layer whose own error costs the network's output most; None when no error reaches it."""
        found = max(self.layers, key=lambda row: row.share, default=None)
        return found if found is not None and found.share > 0.0 else None

    def to_json(self) -> dict[str, Any]:
        """Plain lists, numbers and strings; numbers without end (no error at all) are null. docs/quantization-report.md has the keys."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return finite(value) if isinstance(value, float) else value


def analyse(
    quantized: Quantized, arrays: Sequence[Array], progress: Callable[[str], None] = lambda text: None
) -> Analysis:
    """What every layer loses, on real data.

    Args:
        quantized: the result of `tinyc.quantize.quantize`.
        arrays: one float32 array [n, *sample shape] per input; better not the samples that calibrated. Where there are many, samples
            that are evenly spread over them are taken.
        progress: is told what is being done.

    Raises:
        ModelError: the arrays do not fit the network's inputs, or are empty.
    """
    from .hints import hints

    samples = check_samples(quantized.real, arrays)
    if not samples or not len(samples[0]):
        raise ModelError("data for the analysis", "no samples", expected="at least one")
    found = _Analyst(quantized, samples, progress).analysis()
    return replace(found, hints=hints(found, quantized))


@dataclass(frozen=True)
class _Row:
    """A tensor of the integer network, the one of the float network that it stands for, and the layer that makes it, if any."""

    tensor: int
    real: int
    node: int = -1


class _Seen:
    """The distribution of a tensor's float values over many samples, and how its integers hold them."""

    def __init__(self, tensor: Tensor, calibrated: tuple[float, float]) -> None:
        low, high = limits(tensor) if tensor.dtype != "float32" else (-128, 127)
        self.scale = tensor.scale if tensor.dtype != "float32" else 0.0
        self.zero_point = tensor.zero_point if tensor.dtype != "float32" else 0
        self.ends = low, high
        self.calibrated = calibrated
        self.counts = np.zeros(high - low + 1, np.int64)
        self.below = self.above = self.values = self.samples = self.beyond = 0
        self.channel_low = self.channel_high = self.channel_clipped = np.zeros(0)

    def add(self, array: Array) -> None:
        """`array`: float32 [n, *sample shape]."""
        flat, rows = array.reshape(-1), array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)
        low, high = rows.min(axis=0), rows.max(axis=0)
        if not self.samples:
            self.channel_low, self.channel_high = low, high
            self.channel_clipped = np.zeros(len(low), np.int64)
        self.channel_low, self.channel_high = np.minimum(self.channel_low, low), np.maximum(self.channel_high, high)
        each = array.reshape(len(array), -1)
        margin = 1e-6 * (self.calibrated[1] - self.calibrated[0])
        outside = (each.min(axis=1) < self.calibrated[0] - margin) | (each.max(axis=1) > self.calibrated[1] + margin)
        self.beyond += int(outside.sum())
        self.samples += len(array)
        self.values += flat.size
        if self.scale:
            self._count(flat, rows.shape[1])

    def _count(self, flat: Array, channels: int) -> None:
        # Bounded so that any float32 fits an int64; 16-bit tensors span 65536 steps.
        steps = np.clip(np.rint(flat / np.float32(self.scale)), -(2.0**20), 2.0**20).astype(np.int64) + self.zero_point
        low, high = self.ends
        below, above = steps < low, steps > high
        count = int(below.sum()), int(above.sum())
        if any(count):
            self.below, self.above = self.below + count[0], self.above + count[1]
            self.channel_clipped = self.channel_clipped + (below | above).reshape(-1, channels).sum(axis=0)
        self.counts += np.bincount(np.clip(steps, low, high) - low, minlength=len(self.counts))

    def used(self) -> float:
        """The share of the integer range from the first to the last integer that occurs."""
        found = np.flatnonzero(self.counts)
        return float((found[-1] - found[0]) / (len(self.counts) - 1)) if found.size else 0.0

    def spread(self) -> tuple[int, float]:
        """(channel with the largest values, its largest magnitude over the median channel's)."""
        if not len(self.channel_low):
            return 0, 1.0
        magnitudes = np.maximum(np.abs(self.channel_low), np.abs(self.channel_high)).astype(np.float64)
        live = magnitudes[magnitudes > NOTHING * magnitudes.max()]
        return int(magnitudes.argmax()), float(live.max() / np.median(live)) if live.size else 1.0

    def constant(self) -> tuple[int, ...]:
        """Channels that never change, as far as some values can tell."""
        enough = self.values >= LEAST_VALUES * max(len(self.channel_low), 1)
        return _indices(self.channel_low == self.channel_high) if enough else ()

    def worst_clipped(self) -> tuple[int, float] | None:
        total = self.channel_clipped.sum() if len(self.channel_clipped) > 1 else 0
        return (int(self.channel_clipped.argmax()), float(self.channel_clipped.max() / total)) if total else None


@dataclass
class _Loss:
    """Powers of a layer's output and of the errors in it, summed over samples."""

    signal: float = 0.0
    network: float = 0.0
    alone: float = 0.0
    own: float = 0.0
    own_weights: float = 0.0


class _Analyst:
    def __init__(self, quantized: Quantized, arrays: Sequence[Array], progress: Callable[[str], None]) -> None:
        self.quantized, self.graph, self.real = quantized, quantized.graph, quantized.real
        self.progress = progress
        self.rows = list(self._rows())
        self.pairs = self._pairs()
        macs = sum(all_ops()[layer.op].macs(layer) for layer in self.real.layers()) + 20 * self._elements()
        self.many = _some(arrays, min(MOST_SEEN, max(MOST_COMPARED, SEEN_WORK // macs)))
        self.few = _some(arrays, max(1, min(MOST_COMPARED, MEMORY // (4 * self._elements()))))
        follow = FOLLOW_WORK // max(1, macs * len(self.real.nodes) // 2)
        self.followed = spread(len(self.few[0]), int(max(LEAST_FOLLOWED, follow)))
        self.losses = {row.tensor: _Loss() for row in self.rows}

    def _elements(self) -> int:
        made = (*self.real.inputs, *(i for node in self.real.nodes for i in node.outputs))
        return max(1, sum(self.real.tensors[i].elements for i in made))

    def _rows(self) -> Iterator[_Row]:
        real_of = self.quantized.real_of
        for index in self.graph.inputs:
            if index in real_of:
                yield _Row(index, real_of[index])
        for position, node in enumerate(self.graph.nodes):
            if node.outputs and node.outputs[0] in real_of:
                yield _Row(node.outputs[0], real_of[node.outputs[0]], position)

    def _pairs(self) -> Mapping[int, int]:
        """Node of the integer network → node of the float network, for layers that both have."""
        makers = {index: position for position, node in enumerate(self.real.nodes) for index in node.outputs}
        found = {row.node: makers[row.real] for row in self.rows if row.node >= 0 and row.real in makers}
        return {node: other for node, other in found.items() if self.graph.nodes[node].op == self.real.nodes[other].op}

    def analysis(self) -> Analysis:
        seen = self._distributions()
        self.progress("running the float network")
        values = execute.run(self.real, self.few)
        self._compare(values)
        reached = self._follow(values)
        total = sum(reached.values())
        layers = tuple(self._layer(row, seen[row.tensor], reached.get(row.tensor, 0.0), total) for row in self.rows)
        return Analysis(
            layers=layers,
            sqnr=self._output_sqnr(),
            estimated=decibels(1.0, total),
            seen=len(self.many[0]),
            compared=len(self.few[0]),
            followed=len(self.followed),
        )

    def _distributions(self) -> Mapping[int, _Seen]:
        self.progress(f"looking at the values of {len(self.many[0])} samples")
        by_real: dict[int, list[_Seen]] = {}
        found = {}
        for row in self.rows:
            calibrated = self.quantized.ranges.get(row.real)
            ends = (calibrated.low, calibrated.high) if calibrated is not None else (-np.inf, np.inf)
            found[row.tensor] = _Seen(self.graph.tensors[row.tensor], ends)
            by_real.setdefault(row.real, []).append(found[row.tensor])
        for chunk in execute.chunks(self.real, self.many):
            for indices, arrays in execute.walk(self.real, chunk):
                for index, array in zip(indices, arrays, strict=True):
                    for seen in by_real.get(index, ()):
                        seen.add(array)
        return found

    def _compare(self, values: Sequence[Array | None]) -> None:
        """The integer reference on every sample, as a whole and layer by layer on exact inputs."""
        count = len(self.few[0])
        for sample in range(count):
            self.progress(f"comparing with the integer reference: {sample + 1} of {count} samples")
            given = [self._integers(index, values, sample) for index in self.graph.inputs]
            whole = reference.run(self.graph, given)
            for row in self.rows:
                tensor, exact = self.graph.tensors[row.tensor], self._exact(row.real, values, sample)
                got, loss = whole[row.tensor], self.losses[row.tensor]
                assert got is not None
                loss.signal += power(exact)
                loss.network += power(exact - to_real(got, tensor).reshape(-1))
                loss.alone += power(exact - to_real(self._alone(row, values, sample), tensor).reshape(-1))

    def _exact(self, real: int, values: Sequence[Array | None], sample: int) -> Array:
        """A float tensor's values in one sample, float64 and flat."""
        array = values[real]
        assert array is not None
        found: Array = array[sample].reshape(-1).astype(np.float64)
        return found

    def _integers(self, index: int, values: Sequence[Array | None], sample: int) -> Array:
        """A tensor of the integer network from the exact float values of a sample."""
        tensor = self.graph.tensors[index]
        array = values[self.quantized.real_of[index]]
        assert array is not None
        return to_input(array[sample].reshape(tensor.shape).astype(np.float32), tensor)

    def _alone(self, row: _Row, values: Sequence[Array | None], sample: int) -> Array:
        """The layer's integer output on exact inputs; for the network's inputs these themselves."""
        if row.node < 0:
            return self._integers(row.tensor, values, sample)
        layer = self.graph.layer(self.graph.nodes[row.node])
        given = [self._given(index, values, sample) for index in layer.node.inputs]
        return all_ops()[layer.op].reference(layer, given)[0]

    def _given(self, index: int, values: Sequence[Array | None], sample: int) -> Array | None:
        if index < 0:
            return None
        data = self.graph.tensors[index].data
        return data if data is not None else self._integers(index, values, sample)

    # What single errors do to the network's output

    def _follow(self, values: Sequence[Array | None]) -> Mapping[int, float]:
        """Row → noise over signal that its own error alone makes at the network's outputs."""
        kept = [
            array[self.followed] if array is not None and self._varies(i) else array for i, array in enumerate(values)
        ]
        found: dict[int, float] = {}
        for number, row in enumerate(self.rows):
            self.progress(f"following the error of tensor {number + 1} of {len(self.rows)} to the output")
            error = self._own_error(row, kept)
            if not error.any():
                continue
            exact = kept[row.real]
            assert exact is not None
            found[row.tensor] = self._at_outputs(row.real, exact + error, kept)
        return found

    def _varies(self, index: int) -> bool:
        return self.real.tensors[index].data is None

    def _own_error(self, row: _Row, values: Sequence[Array | None]) -> Array:
        """The error that the layer itself makes: its integer output less what it would be without rounding, of the same inputs.

        Also sums up which part of it its weights make.
        """
        exact = values[row.real]
        assert exact is not None
        tensor, loss = self.graph.tensors[row.tensor], self.losses[row.tensor]
        samples = range(len(exact))
        got = np.stack([to_real(self._alone(row, values, n), tensor).reshape(exact.shape[1:]) for n in samples])
        if row.node not in self.pairs:
            return self._conversion_error(row, exact, got)
        layer = self.real.layer(self.real.nodes[self.pairs[row.node]])
        held = self._held_inputs(row, layer, values)
        wanted = execute.layer_outputs(self.real, layer, held)[0]
        error: Array = got - wanted
        loss.own += power(error)
        if linear(layer) and self.graph.tensors[row.tensor].dtype != "float32":
            rounded = [held[0], *self._rounded_weights(row, layer)]
            loss.own_weights += power(execute.layer_outputs(self.real, layer, rounded)[0] - wanted)
        return error

    def _conversion_error(self, row: _Row, exact: Array, got: Array) -> Array:
        """An input's error is its rounding. A conversion's is what it adds to the rounding of what it converts."""
        if row.node < 0:
            return got - exact
        source = self.graph.nodes[row.node].inputs[0]
        return got - self._held(source, exact)

    def _held_inputs(self, row: _Row, layer: Layer, values: Sequence[Array | None]) -> list[Array | None]:
        """The float layer's inputs as the integers of the integer layer hold them; weights are the real ones."""
        sources = self.graph.nodes[row.node].inputs
        held: list[Array | None] = []
        for position, index in enumerate(layer.node.inputs):
            array = None if index < 0 else values[index]
            if array is not None and self._varies(index) and position < len(sources):
                array = self._held(sources[position], array)
            held.append(array)
        return held

    def _held(self, index: int, array: Array) -> Array:
        tensor = self.graph.tensors[index]
        return to_real(to_input(array.astype(np.float32), tensor), tensor)

    def _rounded_weights(self, row: _Row, layer: Layer) -> list[Array | None]:
        """The integer layer's weights and bias in real numbers, in the shapes of the float layer's."""
        found: list[Array | None] = []
        for index in self.graph.nodes[row.node].inputs[1:]:
            found.append(dequantized(self.graph.tensors[index]) if index >= 0 else None)
        weights = layer.input(1)
        assert found[0] is not None
        found[0] = found[0].reshape(weights.shape)
        return found

    def _at_outputs(self, changed: int, array: Array, values: Sequence[Array | None]) -> float:
        """Noise over signal at the network's outputs when one tensor has other values."""
        other: dict[int, Array] = {changed: array}
        for layer in self.real.layers():
            if other.keys() & set(layer.node.inputs):
                given = [None if i < 0 else other.get(i, values[i]) for i in layer.node.inputs]
                results = execute.layer_outputs(self.real, layer, given)
                other.update(zip(layer.node.outputs, results, strict=True))
        noise = signal = 0.0
        for index in self.real.outputs:
            exact = values[index]
            assert exact is not None
            signal += power(exact)
            if index in other:
                noise += power(other[index].astype(np.float64) - exact)
        return noise / signal if signal > 0.0 else 0.0

    # Rows

    def _output_sqnr(self) -> float:
        losses = [self.losses[index] for index in self.graph.outputs if index in self.losses]
        return decibels(sum(loss.signal for loss in losses), sum(loss.network for loss in losses))

    def _layer(self, row: _Row, seen: _Seen, reached: float, total: float) -> LayerLoss:
        tensor, loss = self.graph.tensors[row.tensor], self.losses[row.tensor]
        share = reached / total if total > 0.0 else 0.0
        widest, channel_spread = seen.spread()
        weights = self._weighing(row)
        low, high = seen.ends
        real = not seen.scale
        return LayerLoss(
            node=row.node,
            op=self.graph.nodes[row.node].op if row.node >= 0 else "INPUT",
            name=tensor.name,
            dtype=tensor.dtype,
            sqnr=decibels(loss.signal, loss.network),
            alone=decibels(loss.signal, loss.alone),
            gain=decibels(1.0, 1.0 - share),
            share=share,
            weights_share=_part(loss.own_weights, loss.own) if weights is not None else None,
            first=float(seen.channel_low.min()) if real else seen.scale * (low - seen.zero_point),
            last=float(seen.channel_high.max()) if real else seen.scale * (high - seen.zero_point),
            step=seen.scale,
            low=float(seen.channel_low.min()),
            high=float(seen.channel_high.max()),
            steps=int((seen.counts > 0).sum()),
            steps_of=0 if real else len(seen.counts),
            used=seen.used(),
            clipped_below=seen.below / max(seen.values, 1),
            clipped_above=seen.above / max(seen.values, 1),
            clipped_channel=seen.worst_clipped(),
            beyond=seen.beyond / max(seen.samples, 1),
            channels=len(seen.channel_low),
            dead=seen.constant() if weights is not None else (),
            widest=widest,
            channel_spread=channel_spread,
            weights=weights,
            bias_shift=self._bias_shift(row, tensor),
            histogram=tuple(int(count) for count in seen.counts.reshape(BINS, -1).sum(axis=1)) if not real else (),
        )

    def _weighing(self, row: _Row) -> Weighing | None:
        if row.node not in self.pairs or self.graph.tensors[row.tensor].dtype == "float32":
            return None
        layer = self.real.layer(self.real.nodes[self.pairs[row.node]])
        if not linear(layer):
            return None
        real, rounded = layer.input(1).data, self._rounded_weights(row, layer)[0]
        rule = all_ops()[layer.op].integer
        assert real is not None and rounded is not None and rule is not None and rule.channels is not None
        exact = np.moveaxis(real.astype(np.float64), rule.channels, 0).reshape(real.shape[rule.channels], -1)
        error = exact - np.moveaxis(rounded.astype(np.float64), rule.channels, 0).reshape(exact.shape)
        channels = [decibels(power(a), power(e)) for a, e in zip(exact, error, strict=True)]
        largest = np.abs(exact).max(axis=1)
        zero = largest <= NOTHING * largest.max()
        used = largest[~zero]
        worst = min(range(len(channels)), key=lambda channel: (bool(zero[channel]), channels[channel]))
        return Weighing(
            sqnr=decibels(power(exact), power(error)),
            worst=worst,
            worst_sqnr=channels[worst],
            spread=float(used.max() / used.min()) if used.size else 1.0,
            zero=_indices(zero),
        )

    def _bias_shift(self, row: _Row, tensor: Tensor) -> tuple[float, float, float, float] | None:
        inputs = self.graph.nodes[row.node].inputs if row.node >= 0 else ()
        shift = next((self.quantized.bias_shift[i] for i in inputs[2:3] if i in self.quantized.bias_shift), None)
        if shift is None or shift.size == 0 or tensor.dtype == "float32":
            return None
        size = np.abs(shift.astype(np.float64))
        mean, most = float(size.mean()), float(size.max())
        return mean, most, mean / tensor.scale, most / tensor.scale


def _part(part: float, whole: float) -> float:
    """Weights and rounding can cancel each other, so the part is held to at most the whole."""
    return min(1.0, part / whole) if whole > 0.0 else 0.0


def _indices(mask: Array) -> tuple[int, ...]:
    """Where there are several channels, those in `mask`."""
    return tuple(int(i) for i in np.flatnonzero(mask)) if mask.size > 1 else ()


def _some(arrays: Sequence[Array], limit: int) -> list[Array]:
    chosen = spread(len(arrays[0]), int(limit))
    return [array[chosen] for array in arrays]


__all__ = ["BINS", "Analysis", "LayerLoss", "Weighing", "analyse"]
