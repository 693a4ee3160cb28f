# SPDX-License-Identifier: Apache-2.0
"""Weights packed for the Xtensa kernels: MAC16 multiplies halfwords and loads the next ones in the same instruction.

A channel's weights are unpacked to halfwords once for a pass of pixels; the input's bytes become halfwords x + 128. Four weights in
a word w are unpacked as 256 times them, by `w & 0xFF00FF00` and the same of w << 8, so sums are 256 times too large, which is what
the requantization wants.
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
from .._rounding import Rounding, rounding, words

#: The kernels have sums times 2^SUM_SHIFT, and a signed multiplier, half of what `_rounding` has.
SUM_SHIFT = 8

#: What is added to an input to make it unsigned.
UNSIGNED = 128

#: Most pixels of a pass, and the memory for its halfwords, in bytes: the fastest, and with less scratch.
PASS, PASS_SCRATCH = 16, (4096, 1664, 1024)

#: Largest scratch memory, in bytes: beyond, a small board's RAM matters more than speed.
SCRATCH_LIMIT = 16 * 1024


@dataclass(frozen=True, eq=False)
class Plan:
    """A layer whose sums, times 2^SUM_SHIFT, stay in 32 bits."""

    filters: Filters
    rounding: Rounding

    @property
    def depth(self) -> int:
        return -(-self.filters.depth // 4) * 4

    @property
    def scaling(self) -> Array:
        """[channels, 3] multiplier, rounding and shift of all channels."""
        table = self.rounding.scaling(self.filters)
        table[:, 0] //= 2
        return table

    @property
    def start(self) -> Array:
        """Per live channel: the bias, for unsigned inputs, times 2^SUM_SHIFT."""
        f = self.filters
        start: Array = (f.bias - UNSIGNED * f.weights.sum(axis=1)) << SUM_SHIFT
        return start


@lru_cache(maxsize=4)
def plan(layer: Layer) -> Plan | None:
    """How the kernels compute `layer`; None where they cannot."""
    f = filters(layer)
    limit = 1 << (31 - SUM_SHIFT)
    if f is None or f.live == 0 or (f.least < -limit).any() or (f.most >= limit).any():
        return None
    r = rounding(f, most=SUM_SHIFT - 1, least=SUM_SHIFT - 1)
    return None if r is None else Plan(f, r)


def pixels(layer: Layer) -> int:
    return layer.output.elements // layer.output.shape[-1]


def passes(layer: Layer, p: Plan, room: int = PASS_SCRATCH[0]) -> tuple[int, int]:
    """(pixels of a pass, number of passes): of about the same size."""
    most = max(1, min(PASS, room // (2 * p.depth), pixels(layer)))
    count = -(-pixels(layer) // most)
    return -(-pixels(layer) // count), count


def scratch(layer: Layer, p: Plan, room: int = PASS_SCRATCH[0]) -> int:
    """Bytes: halfwords of a pass and of a channel, each with a word behind that is read in vain; sums; a patch's bytes and rows."""
    size, _ = passes(layer, p, room)
    rows = 0 if _windows.is_direct(layer) else 4 * _windows.row(layer)
    return 2 * size * p.depth + 2 * p.depth + 4 * size + 8 + p.depth + rows


def pack(p: Plan) -> Array:
    """The table of int32 words for tinyc_conv_2d_s8_xtensa; tinyc_kernels.h describes it."""
    f, r = p.filters, p.rounding
    weights = np.zeros((f.live, p.depth), np.int8)
    weights[:, : f.depth] = f.weights
    distance = np.append(f.index[1:], f.count) - f.index
    records = np.stack([p.start, r.multiplier // 2, r.rounding, r.shift, distance], axis=1)
    constants = [index << 8 | value & 0xFF for index, value in f.constants]
    table = np.concatenate([weights.view("<i4"), words(records.reshape(-1)).reshape(-1, 5)], axis=1)
    return np.concatenate([np.array(constants, np.int32), table.reshape(-1)])


def bind(layer: Layer, room: int = PASS_SCRATCH[0]) -> Binding:
    """The call of tinyc_conv_2d_s8_xtensa."""
    p = plan(layer)
    assert p is not None
    size, _ = passes(layer, p, room)
    params = Params(
        "tinyc_conv_2d_patches_params",
        {
            **_windows.fields(layer, p.filters),
            "sum_shift": SUM_SHIFT,
            "negative": p.rounding.negative,
            "segment": 0,
            "segments": 1,
            "pass": size,
        },
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=params,
        constants=(Constant("stream", pack(p)),),
        scratch=scratch(layer, p, room),
        overlap={0: lead(layer, blocks(pixels(layer), size), buffered=True)},
    )


def applies(layer: Layer, room: int = PASS_SCRATCH[0]) -> bool:
    """Where the scratch is not too large, and passes are not as long with more room."""
    p = plan(layer)
    if p is None or scratch(layer, p) > SCRATCH_LIMIT:
        return False
    return all(passes(layer, p, room) != passes(layer, p, more) for more in PASS_SCRATCH if more > room)


def cost(layer: Layer, room: int = PASS_SCRATCH[0]) -> float:
    """Instructions of tinyc_conv_2d_s8_xtensa.

    Fitted to counts in QEMU with clang 22 of 23 shapes with and without RELU, which are within 2 %; the ESP32's own compiler
    and its mulsh need fewer per output. Per multiply-accumulate: 125 pixels 64 to 64 channels 1.67, 36 pixels 128 to 128 1.47,
    2304 pixels 8 to 16 5.9; 3x3 on 32x32x16 to 16 1.64, on 8x8x64 to 64 1.93; first layers 10x4 to 64 2.24, 3x3 of 3 channels to
    8 3.9.
    """
    p = plan(layer)
    assert p is not None
    f, groups, count = p.filters, p.depth // 4, pixels(layer)
    _, number = passes(layer, p, room)
    products = 4.0 * count * f.live * groups + number * f.live * (78.0 + 9.1 * groups)
    outputs = count * f.live * (25.0 if f.clamps_negative else 37.5)
    direct = _windows.is_direct(layer)
    run = f.depth if direct else _windows.row(layer)
    rows = 1 if direct else layer.input(1).shape[1]
    patch = 59.0 + (8.9 * groups + 29.0 * rows if run % 4 == 0 else 70.0 + 6.0 * f.depth)
    if not direct:
        border = _windows.border(layer)
        patch += 38.0 + 16.0 * border.rows + border.pieces * (16.0 + 6.7 * layer.input(0).shape[3])
    return products + outputs + number * 84.0 + count * (patch + 5.0 * len(f.constants))
