# SPDX-License-Identifier: Apache-2.0
"""CONV_2D, FULLY_CONNECTED and DEPTHWISE_CONV_2D of one input channel for the DSP extension, with the smallest code and tables."""

from __future__ import annotations

import numpy as np

from ...graph import Array, Layer
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table, Value
from .. import Kernel, _overlap
from .._filters import Filters, filters
from .._rounding import words
from . import _compact

#: The sum of an odd channel times 256 must fit into 32 bits.
STACKED_LIMIT = 1 << 23


def _patch(g: _compact.Geometry) -> int:
    """Values of a patch, rounded up to whole steps of the kernel."""
    return -(-g.taps * g.input_depth // 8) * 8


def ordered(g: _compact.Geometry, weights: Array) -> Array:
    """Weights [channels, rows, columns and input channels] in the kernel's order, padded with zeros."""
    count, depth = weights.shape
    if g.input_depth % 4 == 0:
        weights = weights.reshape(count, depth // 4, 4)[:, :, [0, 2, 1, 3]].reshape(count, depth)
    return np.pad(weights, ((0, 0), (0, _patch(g) - depth)))


def stacked(even: Array, odd: Array) -> Array | None:
    """Halfwords of two channels' weights, int64; None where they do not fit."""
    pairs = odd * 256 + even
    return pairs if (np.abs(pairs + 0.5) < 1 << 15).all() else None


def _pairs(g: _compact.Geometry, f: Filters) -> Array | None:
    """[pairs, patch] halfwords of the channels that are not constant; None where their arithmetic is not exact."""
    odd = np.maximum(np.abs(f.least), np.abs(f.most))[1::2]
    weights = np.pad(ordered(g, f.weights), ((0, f.live % 2), (0, 0)))
    return stacked(weights[0::2], weights[1::2]) if (odd < STACKED_LIMIT).all() else None


def _applies(layer: Layer) -> bool:
    if layer.op == "DEPTHWISE_CONV_2D" and layer.input(0).shape[3] != 1:
        return False
    f, g = filters(layer), _compact.geometry(layer)
    return (
        f is not None
        and g.fits
        and max(f.count, _patch(g) // 2) <= _compact.SIZE
        and _pairs(g, f) is not None
        and _compact.scales(f) is not None
    )


def _common(f: Filters, s: _compact.Scales) -> int:
    """The scale of all channels, or 0 where they differ."""
    return int(s.words[0]) if not f.constants and (s.words == s.words[0]).all() else 0


def stream(layer: Layer, f: Filters, g: _compact.Geometry, s: _compact.Scales) -> Array:
    """The kernel's table; tinyc_kernels.h describes it."""
    pairs, bias = _pairs(g, f), _compact.biases(layer, f)
    assert pairs is not None
    bias = np.pad(bias, (0, f.live % 2))
    scale = np.zeros(f.count, np.int64)
    scale[f.index] = s.words
    for channel, value in f.constants:
        scale[channel] = value & 0xFF
    number = np.full(f.count, -1)
    number[f.index] = np.arange(f.live)
    parts: list[Array] = []
    for channel in range(f.count):
        if not _common(f, s):
            parts.append(words(scale[channel : channel + 1]))
        if number[channel] >= 0 and number[channel] % 2 == 0:
            at = int(number[channel])
            parts.append(_compact.bias_words(bias[at : at + 2]))
            parts.append(_compact.halfwords(pairs[at // 2]))
    return np.concatenate(parts).astype(np.int32)


def _bind(layer: Layer) -> Binding:
    f, g = filters(layer), _compact.geometry(layer)
    assert f is not None
    s = _compact.scales(f)
    assert s is not None
    fields: dict[str, Value] = {
        "stream": Table("stream"),
        "scale": int(words(np.array([_common(f, s)]))[0]),
        **g.sizes,
        "input_depth": g.input_depth,
        "output_height": g.height.output,
        "output_width": g.width.output,
        "output_depth": f.count,
        "patch_words": _patch(g) // 2,
        "input_offset": -layer.input(0).zero_point,
        "rounding": 2 * f.zero_point + 1,
        **g.steps,
        **_compact.requantization(f, s),
    }
    return Binding(
        args=(ParamsPointer(), Input(0), Output(), Scratch()),
        params=Params("tinyc_conv_2d_compact_dsp_params", fields),
        constants=(Constant("stream", stream(layer, f, g, s)),),
        scratch=_patch(g) * 2,
        overlap={0: _overlap.lead(layer, buffered=True)},
    )


def _cost(layer: Layer) -> float:
    """Instructions: those of the assembly, and of the C code as fitted to counts on Cortex-M4 with arm-none-eabi-gcc 12, -Os."""
    f, g = filters(layer), _compact.geometry(layer)
    assert f is not None
    s = _compact.scales(f)
    assert s is not None
    common = _common(f, s) != 0
    pairs = f.live // 2 * (43 - 2 * common) + f.live % 2 * (27 - common) + 2 * _patch(g) * -(-f.live // 2)
    pixel = 41.0 + pairs + 8.0 * len(f.constants) + 5.0 * g.height.taps
    inside = g.taps_inside
    outside = g.pixels * g.taps - inside
    tap = 22.0 + (1.5 if g.input_depth % 4 == 0 else 5.0) * g.input_depth
    return g.pixels * pixel + inside * tap + outside * (22.0 + 4.5 * g.input_depth) + _compact.clamping(f, g.pixels)


KERNELS = tuple(
    Kernel("tinyc_conv_2d_compact_s8_dsp", op, _bind, _cost, _applies, isa="cortex_m_dsp")
    for op in ("CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D")
)
