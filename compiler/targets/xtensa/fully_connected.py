# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED for Xtensa with MAC16: a row of inputs as halfwords, weights used as they are; many rows are pixels of a convolution."""

from __future__ import annotations

import numpy as np

from ...graph import Array, Layer
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table
from .. import Kernel
from .._rounding import words
from . import _mac16
from ._mac16 import SUM_SHIFT, UNSIGNED, Plan, plan


def _scratch(p: Plan) -> int:
    """Bytes: the row as halfwords, a word behind it that is read in vain, the sums."""
    return 2 * p.depth + 4 + 4 * p.filters.count


def _applies(layer: Layer) -> bool:
    p = plan(layer)
    return p is not None and _scratch(p) <= _mac16.SCRATCH_LIMIT


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
    f, scaling = p.filters, p.scaling
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
        },
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Table("scaling"), Output(), Scratch()),
        params=params,
        constants=(Constant("stream", _stream(p)), Constant("scaling", words(scaling.reshape(-1)))),
        scratch=_scratch(p),
    )


def _cost(layer: Layer) -> float:
    """Instructions of tinyc_fully_connected_s8_xtensa, within 2 % of counts in QEMU with clang 22."""
    p = plan(layer)
    assert p is not None
    f, groups = p.filters, p.depth // 4
    alone = 70.0 if (p.scaling != p.scaling[0]).any() else 16.0
    unit = 8.0 * groups + alone + (0.0 if f.clamps_negative else 14.5)
    return 68.0 + layer.output.elements // f.count * (25.0 * groups + f.count * unit)


KERNELS = (
    Kernel("tinyc_conv_2d_s8_xtensa", "FULLY_CONNECTED", _mac16.bind, _mac16.cost, _mac16.applies, isa="xtensa"),
    Kernel("tinyc_fully_connected_s8_xtensa", "FULLY_CONNECTED", _bind, _cost, _applies, isa="xtensa"),
)
