# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D for the DSP extension, with the smallest code and tables."""

from __future__ import annotations

import numpy as np

from ...graph import Array, Layer
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Table, Value
from .. import Kernel, _overlap
from .._filters import Filters, filters
from .._rounding import words
from . import _compact


def _channels(layer: Layer, f: Filters, s: _compact.Scales) -> tuple[Array, Array, Array]:
    """(weights [channels, taps], bias, scale) of all channels, int64. A constant one is its bias halved and shifted."""
    weights = np.zeros((f.count, f.weights.shape[1]), np.int64)
    bias = np.zeros(f.count, np.int64)
    scale = np.full(f.count, 1 << 31, np.int64)
    weights[f.index], bias[f.index], scale[f.index] = f.weights, _compact.biases(layer, f), s.words
    for channel, value in f.constants:
        bias[channel] = value - f.zero_point << s.shift + 2
    return weights, bias, scale


def _applies(layer: Layer) -> bool:
    g = _compact.geometry(layer)
    if layer.attributes["depth_multiplier"] != 1 or g.input_depth < 4 or not g.fits:
        return False
    f = filters(layer)
    s = _compact.scales(f) if f is not None else None
    if f is None or s is None:
        return False
    bias = _channels(layer, f, s)[1]
    return bool((np.abs(bias[[channel for channel, _ in f.constants]]) < _compact.ACCUMULATOR_LIMIT).all())


def stream(layer: Layer, f: Filters, s: _compact.Scales) -> Array:
    """The kernel's table; tinyc_kernels.h describes it."""
    weights, bias, scale = _channels(layer, f, s)
    parts: list[Array] = []
    for first in range(0, f.count, 4):
        four = slice(min(first, f.count - 4), min(first, f.count - 4) + 4)
        parts.append(_compact.bias_words(bias[four]))
        parts.append(weights[four].T.astype(np.int8).reshape(-1).view("<i4"))
        parts.append(words(scale[four]))
    return np.concatenate(parts).astype(np.int32)


def overlap(layer: Layer) -> int:
    """The lead: pixels in order of memory, and in each four channels after the other, the last of which begin again at depth - 4."""
    depth, reads = layer.output.shape[3], _overlap.first_reads(layer)
    whole = _overlap.lead(layer, buffered=True)
    if depth == 4:
        return whole
    needed = np.minimum.accumulate(reads[::-1])[::-1]
    inside = np.arange(len(reads)) * depth - needed + -depth % 4
    return int(np.clip(max(whole, inside.max()), 0, layer.output.bytes))


def _bind(layer: Layer) -> Binding:
    f, g = filters(layer), _compact.geometry(layer)
    assert f is not None
    s = _compact.scales(f)
    assert s is not None
    fields: dict[str, Value] = {
        "stream": Table("stream"),
        **g.sizes,
        "depth": g.input_depth,
        "output_height": g.height.output,
        "output_width": g.width.output,
        "input_offset": -layer.input(0).zero_point,
        "rounding": 2 * f.zero_point + 1,
        **g.steps,
        **_compact.requantization(f, s),
    }
    return Binding(
        args=(ParamsPointer(), Input(0), Output()),
        params=Params("tinyc_depthwise_compact_dsp_params", fields),
        constants=(Constant("stream", stream(layer, f, s)),),
        overlap={0: overlap(layer)},
    )


def _cost(layer: Layer) -> float:
    """Instructions: those of the assembly, and of the C code as fitted to counts on Cortex-M4 with arm-none-eabi-gcc 12, -Os."""
    f, g = filters(layer), _compact.geometry(layer)
    assert f is not None
    groups = -(-g.input_depth // 4)
    lines = g.batches * g.height.output
    taps = g.taps_inside * 13.2
    rows = g.rows_inside * g.width.output * 8.0
    return groups * (taps + rows + 57.0 * g.pixels) + 72.0 * g.pixels + 39.0 * lines + _compact.clamping(f, g.pixels)


KERNELS = (Kernel("tinyc_depthwise_compact_s8_dsp", "DEPTHWISE_CONV_2D", _bind, _cost, _applies, isa="cortex_m_dsp"),)
