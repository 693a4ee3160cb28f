# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED for Xtensa with MAC16: a row of inputs as halfwords, weights used as they are; many rows are pixels of a convolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...graph import Array, Layer
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table
from .. import Kernel, _groups
from .._overlap import lead
from .._rounding import words
from . import _mac16
from ._mac16 import SUM_SHIFT, UNSIGNED, Plan, plan

#: The scratch memory that a row is cut for, in bytes, and the units at a time that inputs may have to be widened again for.
SCRATCH, UNITS = 1024, 128


@dataclass(frozen=True)
class Cut:
    """How a row is computed: `segment` inputs and `block` units at a time."""

    segment: int
    segments: int
    block: int
    blocks: int

    @property
    def scratch(self) -> int:
        """Bytes: inputs as halfwords, a word behind them that is read in vain, the sums."""
        return 2 * self.segment + 4 + 4 * self.block


def cut(depth: int, units: int) -> Cut:
    """Within SCRATCH bytes, in parts of about the same size, for a depth that is a multiple of 4."""
    segments = -(-depth // ((SCRATCH - 4 - 4 * min(units, UNITS)) // 8 * 4))
    segment = -(-depth // (4 * segments)) * 4
    blocks = -(-units // ((SCRATCH - 4 - 2 * segment) // 4))
    return Cut(segment, -(-depth // segment), -(-units // blocks), blocks)


def _applies(layer: Layer) -> bool:
    return plan(layer) is not None


def _stream(p: Plan) -> Array:
    """Per unit its weights, those with even k as w + 128, and its start value; tinyc_kernels.h describes it."""
    f = p.filters
    weights = np.zeros((f.count, p.depth), np.int64)
    weights[f.index, : f.depth] = f.weights
    starts = np.zeros(f.count, np.int64)
    # The inputs with odd k have 128 added.
    starts[f.index] = (f.bias - UNSIGNED * f.weights[:, 1::2].sum(axis=1)) << SUM_SHIFT
    weights[:, 0::2] += UNSIGNED
    packed = (weights & 0xFF).astype(np.uint8).view("<i4")
    return np.concatenate([packed, words(starts).reshape(-1, 1)], axis=1).reshape(-1)


def _bind(layer: Layer) -> Binding:
    p = plan(layer)
    assert p is not None
    f, scaling, parts = p.filters, p.scaling, cut(p.depth, p.filters.count)
    # Inputs are read again for the next block only where not all of them are in scratch.
    again = parts.segments > 1 and parts.blocks > 1
    if (scaling == scaling[0]).all():
        scaling = scaling[:1]
    params = Params(
        "tinyc_fully_connected_units_params",
        {
            "batches": layer.output.elements // f.count,
            "input_depth": f.depth,
            "output_depth": f.count,
            "activation_min": f.low,
            "activation_max": f.high,
            "sum_shift": SUM_SHIFT,
            "negative": p.rounding.negative,
            "scaling_step": 3 if len(scaling) > 1 else 0,
            "segment": parts.segment,
            "block": parts.block,
        },
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Table("scaling"), Output(), Scratch()),
        params=params,
        constants=(Constant("stream", _stream(p)), Constant("scaling", words(scaling.reshape(-1)))),
        scratch=parts.scratch,
        overlap={0: _groups.lead(layer, parts.block) if again else lead(layer, buffered=True)},
    )


def _cost(layer: Layer) -> float:
    """Instructions of tinyc_fully_connected_s8_xtensa, within 2 % of counts in QEMU with clang 22."""
    p = plan(layer)
    assert p is not None
    f, groups, parts = p.filters, p.depth // 4, cut(p.depth, p.filters.count)
    alone = 67.0 if (p.scaling != p.scaling[0]).any() else 14.0
    unit = 8.0 * groups + alone + 13.0 * (parts.segments - 1) + (0.0 if f.clamps_negative else 14.5)
    widened = 25.0 * groups * (parts.blocks if parts.segments > 1 else 1)
    return 68.0 + layer.output.elements // f.count * (widened + 40.0 * parts.blocks * parts.segments + f.count * unit)


KERNELS = (
    Kernel("tinyc_conv_2d_s8_xtensa", "FULLY_CONNECTED", _mac16.bind, _mac16.cost, _mac16.applies, isa="xtensa"),
    Kernel("tinyc_fully_connected_s8_xtensa", "FULLY_CONNECTED", _bind, _cost, _applies, isa="xtensa"),
)
