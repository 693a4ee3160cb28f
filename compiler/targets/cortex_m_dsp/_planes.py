# SPDX-License-Identifier: Apache-2.0
"""Geometry and packed records of the depthwise kernels that work on planes (runtime_c/internal/tinyc_planes_dsp.h).

The kernels transpose four channels at a time, or two, from NHWC to lines of halfwords, padding included. Lines may be rows or columns
of the image. Records hold everything about an output channel: its weights, bias and multiplier, one to a channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...graph import Array, Layer
from ...ops._convolution import Axis, axes, multipliers
from ...ops._fixed_point import activation_range, multiply_by_quantized_multiplier
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table

#: (bytes, lines): scratch that a band of lines should not exceed, and how many output lines a band has even if it does.
BANDS = ((2048, 4), (1024, 1), (0, 1))

#: Every channel of the ReLU kernels is shifted right by this.
RELU_SHIFT = 10

ACCUMULATOR_LIMIT = 1 << 30

#: What may be added to a scaled bias, either way, where no step of the output limits it.
FREE = 1 << 20


@dataclass(frozen=True)
class Planes:
    """How a layer is laid out: which image axis runs along the lines, and where lines are in scratch. See tinyc_kernels.h."""

    lines: Axis
    columns: Axis
    transposed: bool
    used_columns: int
    entry: int
    quads: int
    last: int
    words: int
    pitch: int
    per_pitch: int
    band: int
    lanes: int

    @property
    def buffer_lines(self) -> int:
        return (self.band - 1) * self.lines.stride + self.lines.taps

    @property
    def scratch(self) -> int:
        """Bytes of scratch memory."""
        return self.buffer_lines * self.pitch * (self.lanes // self.per_pitch)


def layouts(layer: Layer, transposed: bool, needed_words: int, pitch: int | None, lanes: int = 4) -> list[Planes]:
    """The layouts of `layer`, with the image's columns as lines where `transposed`, in bands of different heights.

    `needed_words` is what the kernel reads of a line; `pitch` is its fixed distance between lines in bytes, or None; `lanes` is the number
    of channels that it transposes together. None when the lines are too long for that.
    """
    lines, columns = axes(layer)[::-1] if transposed else axes(layer)
    channels = min(layer.input(0).shape[3], lanes)
    used = min(columns.input, (columns.output - 1) * columns.stride + columns.taps - columns.pad)
    before = columns.pad % 4
    first = 4 - before if before else 0
    if channels < lanes or used < first:
        entry, quads, last = -1, 0, 0
        loaded = -(-(columns.pad + used) // 2)
    else:
        quads, last = divmod(used - first, 4)
        entry = before if before else (0 if quads else 4)
        quads += 1 if before else 0
        loaded = (columns.pad // 4 + quads + (1 if last else 0)) * 2
    words = -(-max(loaded, needed_words) // 2) * 2
    per_pitch = lanes
    if pitch is None:
        # All planes side by side, and a multiple of eight words.
        words = -(-words * channels // 8) * 8 // channels if channels != 3 else -(-words // 8) * 8
        pitch = words * channels * 4
    else:
        fitting = [count for count in (4, 2, 1) if count <= lanes and words * 4 * count <= pitch]
        if not fitting:
            return []
        per_pitch = fitting[0]
    line_bytes = pitch * lanes // per_pitch
    bands: dict[int, None] = {}
    for limit, output_lines in BANDS:
        most = max(limit // line_bytes, (output_lines - 1) * lines.stride + lines.taps)
        band = max(1, min(lines.output, (most - lines.taps) // lines.stride + 1))
        # As few bands as that, of equal height.
        bands[-(-lines.output // -(-lines.output // band))] = None
    geometry = (lines, columns, transposed, used, entry, quads, last, words, pitch, per_pitch)
    return [Planes(*geometry, band, lanes) for band in bands]


def best(found: Sequence[Planes], cost: Callable[[Planes], float]) -> list[Planes]:
    """The cheapest layout, then those that take less scratch than all that are cheaper."""
    chosen: list[Planes] = []
    for p in sorted(found, key=lambda p: (cost(p), p.scratch)):
        if not chosen or p.scratch < chosen[-1].scratch:
            chosen.append(p)
    return chosen


@dataclass(frozen=True)
class Work:
    """How often the shared part of the kernels does what, for one layer.

    Attributes:
        groups: of channels, in all images. `calls`: of the line function. `bands`: groups times bands of lines.
        channels: in these calls. `lines`: transposed, of a group. `quads`: of columns in these lines.
        gathered: values transposed one by one. `moves`: calls that fill or copy lines of planes. `moved`: words they write.
        clamped: outputs that go through the activation's clamp.
    """

    groups: int
    calls: int
    bands: int
    channels: int
    lines: int
    quads: int
    gathered: int
    moves: int
    moved: int
    clamped: int


def work(layer: Layer, p: Planes) -> Work:
    """What the kernels do for `layer` as `p` lays it out; follows tinyc_planes_image in C."""
    batches, _, _, depth = layer.input(0).shape
    multiplier = layer.attributes["depth_multiplier"]
    groups, words, regions = -(-depth // p.lanes) * batches, p.pitch // 4, p.lanes // p.per_pitch
    bands = lines = moves = moved = 0
    loaded = -p.lines.pad
    for row in range(0, p.lines.output, p.band):
        top = row * p.lines.stride - p.lines.pad
        end = top + (min(p.band, p.lines.output - row) - 1) * p.lines.stride + p.lines.taps
        kept = max(0, loaded - top)
        inside = max(0, min(end, p.lines.input) - max(top + kept, 0))
        bands, lines, loaded = bands + 1, lines + inside, end
        if p.band < p.lines.output:
            moves += ((kept > 0) + (top + kept < 0) + (end > p.lines.input)) * regions
            moved += (end - top - inside) * words * regions
    low, high = activation_range(layer.attributes["activation"], layer.output)
    return Work(
        groups=groups,
        calls=groups * bands if multiplier == 1 else batches * depth * bands,
        bands=groups * bands,
        channels=batches * depth * multiplier * bands,
        lines=0 if p.entry < 0 else groups * lines,
        quads=groups * lines * (p.quads + (1 if p.last else 0)),
        gathered=batches * lines * depth * p.used_columns if p.entry < 0 else 0,
        moves=groups * moves + regions,
        moved=groups * moved + p.buffer_lines * words * regions,
        clamped=0 if (low, high) == (-128, 127) else layer.output.elements,
    )


@dataclass(frozen=True)
class Channels:
    """What requantization needs of a layer's output channels, and their weights as [channel, filter line, filter column].

    `bias` is int64 with the input offset folded in; `multiplier` and `right` (the right shift) are int64.
    """

    weights: Array
    bias: Array
    multiplier: Array
    right: Array
    zero_point: int
    low: int

    @property
    def range(self) -> tuple[Array, Array]:
        """The least and the greatest accumulator of each channel over all int8 inputs."""
        flat = self.weights.reshape(len(self.weights), -1)
        ends = np.stack([flat * -128, flat * 127])
        return self.bias + ends.min(axis=0).sum(axis=1), self.bias + ends.max(axis=0).sum(axis=1)

    @property
    def bound(self) -> Array:
        """The largest |accumulator| of each channel."""
        least, most = self.range
        return np.maximum(np.abs(least), np.abs(most))

    @property
    def dead(self) -> Array:
        """Channels whose requantized accumulator is 0 for every input: multiplier 0, or shifted out completely."""
        high = self.bound * self.multiplier // (1 << 31) + 1
        dead: Array = (self.multiplier == 0) | (
            (self.right > 0) & (high < (np.int64(1) << np.maximum(self.right, 0)) // 2)
        )
        return dead


def constant(layer: Layer) -> bool:
    """Whether filter and bias are known at build time."""
    bias = layer.optional(2)
    return layer.input(1).constant and (bias is None or bias.constant)


def channels(layer: Layer, transposed: bool) -> Channels:
    """The output channels of `layer`, whose filter and bias are constant."""
    data, bias = layer.input(1).data, layer.optional(2)
    assert data is not None
    weights = data[0].astype(np.int64).transpose((2, 1, 0) if transposed else (2, 0, 1))
    start = -layer.input(0).zero_point * weights.sum(axis=(1, 2))
    if bias is not None:
        assert bias.data is not None
        start = start + bias.data.astype(np.int64).reshape(-1)
    multiplier, shift = multipliers(layer)
    low, _ = activation_range(layer.attributes["activation"], layer.output)
    right = -shift.astype(np.int64)
    return Channels(weights, start, multiplier.astype(np.int64), right, layer.output.zero_point, low)


@dataclass(frozen=True)
class Scaled:
    """Requantization per channel: sums and `bias` are times 2^`power`; `tail` is the record's second free byte."""

    power: Array
    tail: Array
    bias: Array
    multiplier: Array


def signed(c: Channels) -> Scaled | None:
    """Requantization of any layer by right shifts of 1 to 22; None when a channel needs another."""
    dead = c.dead
    if not (((c.right >= 1) & (c.right <= 22)) | dead).all() or (c.bound >= ACCUMULATOR_LIMIT).any():
        return None
    right = np.where(dead, 1, c.right)
    return Scaled(np.ones_like(right), right, 2 * c.bias, np.where(dead, 0, c.multiplier))


def relu(c: Channels) -> Scaled | None:
    """Requantization of a layer whose smallest output is at least the zero point; None when a channel's is not exact.

    TFLite Micro's two roundings of x * multiplier * 2^-e are floor((x * m + 1/2 + 2^(e - 1)) / 2^e) for results of 0 and above,
    with m = multiplier / 2^31, and the others are clamped. With j = RELU_SHIFT - e, the kernel computes the same as
    floor((floor(2^(j + 1) * x * multiplier / 2^32) + 2^(j - 1) + 2^(RELU_SHIFT - 1)) / 2^RELU_SHIFT).
    """
    if c.low < c.zero_point:
        return None
    dead, bound = c.dead, c.bound
    power = np.where(dead, 1, np.clip(RELU_SHIFT + 1 - c.right, 2, 8))
    tail = np.where(dead, 0, np.int64(1) << (np.maximum(power, 2) - 2))
    bias = c.bias << power
    multiplier = np.where(dead, 0, c.multiplier)
    exact = dead | ((power == RELU_SHIFT + 1 - c.right) & (bound < np.int64(1) << (31 - power)))
    for i in np.flatnonzero(~exact):
        found = _searched(c, int(i))
        if found is None:
            return None
        power[i], tail[i], (multiplier[i], bias[i]) = found[0], 0, found[1:]
    return Scaled(power, tail, bias, multiplier)


def _searched(c: Channels, i: int) -> tuple[int, int, int] | None:
    """(power, multiplier, scaled bias) that make relu()'s formula, its 2^(j - 1) left out, exact for channel `i`; None if none is found.

    Both functions are monotonic, so they are equal for every accumulator when they step at the same ones. A multiplier cut
    short moves the steps; adding to the scaled bias moves them all together.
    """
    m, e = int(c.multiplier[i]), int(c.right[i])
    low, high = (int(ends[i]) for ends in c.range)
    below, above, wanted = _steps(m, e, (low, high), 127 - c.zero_point)
    threshold = (wanted * (1 << RELU_SHIFT) - (1 << (RELU_SHIFT - 1))) << 32
    for power in range(8, 0, -1):
        cut = (m << 1 << RELU_SHIFT) >> (e + power)
        for shorter in (cut, cut + 1):
            if not 0 < shorter < 1 << 31 or max(-low, high) << power >= (1 << 31) - FREE:
                continue
            first = -(-threshold // shorter)
            least = np.max(first - (above << power), initial=-FREE, where=above <= high)
            most = np.min(first - 1 - (below << power), initial=FREE, where=below >= low)
            if least <= most:
                extra = int((least + most) // 2)
                return power, shorter, (int(c.bias[i]) << power) + extra
    return None


def _steps(multiplier: int, right: int, ends: tuple[int, int], highest: int) -> tuple[Array, Array, Array]:
    """For each result 1 to `highest` of requantization: the last accumulator below it, the first not below it, the result.

    Accumulators are from ends[0] to ends[1]; the next one outside stands for those beyond.
    """
    wanted = np.arange(1, highest + 1)
    below, above = np.full(highest, ends[0] - 1), np.full(highest, ends[1] + 1)
    while (above - below > 1).any():
        middle = (below + above) // 2
        reached = multiply_by_quantized_multiplier(middle, multiplier, -right) >= wanted
        below, above = np.where(reached, below, middle), np.where(reached, middle, above)
    return below, above, wanted


def records_3x3(c: Channels, scaled: Scaled) -> Array:
    """The table of the 3x3 kernels: per channel three words of a filter line and a byte, then bias and multiplier."""
    lines = np.zeros((len(c.weights), 3, 4), np.int64)
    lines[:, :, :3] = c.weights
    lines[:, 0, 3] = scaled.power
    lines[:, 1, 3] = scaled.tail
    return _records(lines.reshape(-1, 12), scaled)


def records(c: Channels, scaled: Scaled, steps: int) -> Array:
    """The table of tinyc_depthwise_s8_dsp: per channel `steps` pairs of weights for each filter line, the shift, bias and multiplier."""
    count, lines, columns = c.weights.shape
    pairs = np.zeros((count, lines, steps * 2), np.int64)
    pairs[:, :, :columns] = c.weights
    flat = np.concatenate([pairs.reshape(count, -1), scaled.tail[:, None]], axis=1)
    return _records(np.pad(flat, ((0, 0), (0, -flat.shape[1] % 4))), scaled)


def _records(values: Array, scaled: Scaled) -> Array:
    """Bytes, bias and multiplier of each channel as int32 words."""
    words = (values & 0xFF).astype(np.uint8).view("<u4")
    ends = (np.stack([scaled.bias, scaled.multiplier], axis=1) & 0xFFFFFFFF).astype(np.uint32)
    return np.concatenate([words, ends], axis=1).view(np.int32)


def bind(layer: Layer, p: Planes, table: Array, spare: int = 0) -> Binding:
    """The call of a kernel with `tinyc_depthwise_dsp_params`, and `spare` bytes of scratch after the planes."""
    source, output = layer.input(0), layer.output
    depth, filters = source.shape[3], output.shape[3]
    low, high = activation_range(layer.attributes["activation"], output)
    along, across = (1, 0) if not p.transposed else (0, 1)
    input_steps = (source.shape[2] * depth, depth)
    output_steps = (output.shape[2] * filters, filters)
    fields = {
        "batches": source.shape[0],
        "channels": depth,
        "multiplier": layer.attributes["depth_multiplier"],
        "input_lines": p.lines.input,
        "input_columns": p.used_columns,
        "input_line_step": input_steps[across],
        "input_column_step": input_steps[along],
        "input_size": source.elements // source.shape[0],
        "output_lines": p.lines.output,
        "output_columns": p.columns.output,
        "output_line_step": output_steps[across],
        "output_column_step": output_steps[along],
        "output_size": output.elements // output.shape[0],
        "filter_lines": p.lines.taps,
        "filter_columns": p.columns.taps,
        "stride_lines": p.lines.stride,
        "stride_columns": p.columns.stride,
        "pad_lines": p.lines.pad,
        "pad_columns": p.columns.pad,
        "band": p.band,
        "buffer_lines": p.buffer_lines,
        "plane_words": p.words,
        "plane_pitch": p.pitch,
        "planes_per_pitch": p.per_pitch,
        "entry": p.entry,
        "quads": p.quads,
        "last": p.last,
        "record_words": table.shape[1],
        "input_zero_point": source.zero_point,
        "output_zero_point": output.zero_point,
        "activation_min": low,
        "activation_max": high,
    }
    same = source.shape == output.shape
    return Binding(
        args=(ParamsPointer(), Input(0), Table("records"), Output(), Scratch()),
        params=Params("tinyc_depthwise_dsp_params", fields),
        constants=(Constant("records", table),),
        scratch=p.scratch + spare,
        in_place=(0,) if same else (),
    )
