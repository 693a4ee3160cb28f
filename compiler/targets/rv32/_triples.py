# SPDX-License-Identifier: Apache-2.0
"""Weights packed for tinyc_conv_2d_s8_rv32: a matrix product that multiplies three pixels by a weight with two instructions.

See runtime_c/internal/tinyc_triples.h for the words of three pixels, `_rounding.py` for the records.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...graph import Array, Layer
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table
from .. import _windows
from .._filters import Filters, filters
from .._overlap import blocks, lead
from .._rounding import SHIFT, Rounding, rounding, words

#: Channels of a block, pixels of a pass, and the multiple that a filter's depth is padded to.
CHANNELS, PIXELS, UNROLLED = 4, 6, 4

#: The sums of one segment are in -SEGMENT_LIMIT .. SEGMENT_LIMIT - 1.
SEGMENT_LIMIT = 1 << 20

#: Largest scratch memory, in bytes: beyond, a small board's RAM matters more than speed.
SCRATCH_LIMIT = 16 * 1024


@dataclass(frozen=True, eq=False)
class Plan:
    """A layer for tinyc_conv_2d_s8_rv32: its depth is cut into `segments` parts of `segment`."""

    filters: Filters
    rounding: Rounding
    segment: int
    segments: int

    @property
    def depth(self) -> int:
        return -(-self.filters.depth // UNROLLED) * UNROLLED


@lru_cache(maxsize=4)
def plan(layer: Layer) -> Plan | None:
    """How the kernel computes `layer`; None where it cannot."""
    f = filters(layer)
    if f is None or f.live == 0:
        return None
    r = rounding(f)
    if r is None:
        return None
    segment, segments = _segments(f.weights)
    found = Plan(f, r, segment, segments)
    return found if scratch(layer, found) <= SCRATCH_LIMIT else None


def _segments(weights: Array) -> tuple[int, int]:
    """The fewest equal parts (length, count) of the padded depth in which no channel's sum can leave its 21 bits."""
    units = -(-weights.shape[1] // UNROLLED)
    padded = np.zeros((len(weights), units * UNROLLED), np.int64)
    padded[:, : weights.shape[1]] = weights
    for count in range(1, units + 1):
        length = -(-units // count) * UNROLLED
        starts = np.arange(0, padded.shape[1], length)
        most = np.add.reduceat(np.maximum(padded * -128, padded * 127), starts, axis=1).max()
        least = np.add.reduceat(np.minimum(padded * -128, padded * 127), starts, axis=1).min()
        if most < SEGMENT_LIMIT and least >= -SEGMENT_LIMIT:
            return length, len(starts)
    raise AssertionError("four products are below 2^17")


def scratch(layer: Layer, p: Plan) -> int:
    """Bytes: the packed patches of six pixels, and rows of padded patches."""
    return p.depth * 16 + (0 if _windows.is_direct(layer) else 4 * _windows.row(layer))


def pack(p: Plan) -> Array:
    """The kernel's table of int32 words; tinyc_kernels.h describes it."""
    f, r = p.filters, p.rounding
    blocks = -(-f.live // CHANNELS)
    weights = np.zeros((blocks * CHANNELS, p.depth), np.int8)
    weights[: f.live, : f.depth] = f.weights
    bytes_first = np.ascontiguousarray(weights.reshape(blocks, CHANNELS, p.depth).transpose(0, 2, 1))
    packed = bytes_first.view("<i4").reshape(blocks, p.depth).astype(np.int64)
    following = np.append(f.index[1:], f.count)
    steps = PIXELS * f.count - (following - f.index)
    records = np.zeros((blocks * CHANNELS, 5), np.int64)
    start = (f.bias << r.sum_shift) + (1 << 31)
    records[: f.live] = np.stack([start, r.multiplier, r.rounding, r.shift, steps], axis=1)
    table = np.concatenate([packed, records.reshape(blocks, CHANNELS * 5)], axis=1).reshape(-1)
    constants = [index << 8 | value & 0xFF for index, value in f.constants]
    return words(np.append(constants, table).astype(np.int64))


def bind(layer: Layer) -> Binding:
    """The call of tinyc_conv_2d_s8_rv32."""
    p = plan(layer)
    assert p is not None
    params = Params(
        "tinyc_conv_2d_patches_params",
        {
            **_windows.fields(layer, p.filters),
            "sum_shift": p.rounding.sum_shift,
            "negative": p.rounding.negative,
            "segment": p.segment,
            "segments": p.segments,
            "pass": 0,
        },
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=params,
        constants=(Constant("stream", pack(p)),),
        scratch=scratch(layer, p),
        overlap={0: lead(layer, blocks(layer.output.elements // p.filters.count, PIXELS), buffered=True)},
    )


def applies(layer: Layer) -> bool:
    return plan(layer) is not None


def cost(layer: Layer) -> float:
    """Instructions of tinyc_conv_2d_s8_rv32.

    Fitted to counts with riscv64-unknown-elf-gcc 12 -O2 of 23 shapes with and without RELU, which are within 2 %. Per
    multiply-accumulate: 125 pixels 64 to 64 channels 1.99, 36 pixels 128 to 128 1.82, 2304 pixels 8 to 16 3.78; 3x3 on 32x32x16
    to 16 2.08, on 8x8x64 to 64 1.94; first layers 10x4 to 64 2.36, 3x3 of 3 channels to 8 3.23.
    """
    p = plan(layer)
    assert p is not None
    f = p.filters
    pixels = layer.output.elements // f.count
    passes, rest = divmod(pixels, PIXELS)
    blocks = -(-f.live // CHANNELS)
    fast = f.live // CHANNELS if p.rounding.sum_shift == SHIFT and p.segments == 1 else 0
    # Passes of six and of three pixels whose blocks are not of the fast kind.
    six = passes * (blocks - fast) + (blocks if rest > 3 else 0)
    three = blocks if 0 < rest <= 3 else 0
    products = 40.75 * p.depth * (passes * fast + six) + 22.75 * p.depth * three
    outputs = (293.0 if f.clamps_negative else 372.0) * passes * fast
    outputs += 30.0 * (pixels * f.live - passes * PIXELS * fast * CHANNELS)
    slow = (six + three) * (130.0 + 210.0 * p.segments)
    packed = passes * PIXELS + (0 if rest == 0 else 3 if rest <= 3 else 6)
    rows = 1 if _windows.is_direct(layer) else layer.input(1).shape[1]
    border = _windows.border(layer)
    pieces = border.pieces * (12.0 + 5.2 * layer.input(0).shape[-1])
    patches = packed * (
        3.4 * f.depth + 15.0 * rows + 33.0 * border.rows + pieces + (0.0 if _windows.is_direct(layer) else 46.0)
    )
    return 170.0 * (passes + 1) + products + outputs + slow + patches + 5.0 * pixels * len(f.constants)
