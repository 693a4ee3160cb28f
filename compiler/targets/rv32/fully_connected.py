# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED for RV32: eight units at a time for few rows; many rows are pixels of a convolution."""

from __future__ import annotations

import numpy as np

from ...graph import Array, Layer
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Table
from .. import Kernel, _groups
from .._filters import Filters, filters
from .._rounding import Rounding, rounding, words
from . import _triples

UNITS = 8


def _plan(layer: Layer) -> tuple[Filters, Rounding] | None:
    f = filters(layer)
    r = None if f is None or f.live == 0 else rounding(f)
    return None if f is None or r is None else (f, r)


def _applies(layer: Layer) -> bool:
    return _plan(layer) is not None


def _stream(f: Filters, r: Rounding) -> Array:
    """The kernel's weights and start values; tinyc_kernels.h describes them."""
    blocks = -(-f.count // UNITS)
    weights = np.zeros((blocks * UNITS, f.depth), np.int8)
    weights[f.index] = f.weights
    starts = np.zeros(blocks * UNITS, np.int64)
    starts[f.index] = f.bias << r.sum_shift
    lanes = np.ascontiguousarray(weights.reshape(blocks, UNITS, f.depth).transpose(0, 2, 1))
    lines = [lanes.view("<i4").reshape(blocks, -1), words(starts).reshape(blocks, UNITS)]
    return np.concatenate(lines, axis=1).reshape(-1)


def _bind(layer: Layer) -> Binding:
    found = _plan(layer)
    assert found is not None
    f, r = found
    scaling = r.scaling(f)
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
            "sum_shift": r.sum_shift,
            "negative": r.negative,
            "scaling_step": 3 if len(scaling) > 1 else 0,
            "segment": 0,
            "block": 0,
        },
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Table("scaling"), Output()),
        params=params,
        constants=(Constant("stream", _stream(f, r)), Constant("scaling", words(scaling.reshape(-1)))),
        overlap={0: _groups.lead(layer, UNITS)},
    )


def _cost(layer: Layer) -> float:
    """Instructions of tinyc_fully_connected_s8_rv32, within 1 % of counts with riscv64-unknown-elf-gcc 12 -O2."""
    found = _plan(layer)
    assert found is not None
    f, _ = found
    blocks = -(-f.count // UNITS)
    products = blocks * (103.0 * (f.depth // 4) + 28.0 * (f.depth % 4) + 63.0)
    return 50.0 + layer.output.elements // f.count * (products + f.count * (17.0 if f.clamps_negative else 23.0))


KERNELS = (
    Kernel("tinyc_conv_2d_s8_rv32", "FULLY_CONNECTED", _triples.bind, _triples.cost, _triples.applies, isa="rv32"),
    Kernel("tinyc_fully_connected_s8_rv32", "FULLY_CONNECTED", _bind, _cost, _applies, isa="rv32"),
)
