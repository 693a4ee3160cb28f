# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED for the DSP extension, one row at a time: for a single row, where a pair of rows would be wasted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...graph import Layer
from ...ops._fixed_point import activation_range
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table
from .. import Kernel
from . import _stream
from .fully_connected import applies, product

#: The kernel's steps take so many k.
STEP = 8


def _bind(layer: Layer) -> Binding:
    p = product(layer)
    units, depth = p.weights.shape
    low, high = activation_range(layer.attributes["activation"], layer.output)
    fields = {
        "batches": p.rows,
        "input_depth": depth,
        "output_depth": units,
        "activation_min": low,
        "activation_max": high,
    }
    padded = replace(p, weights=np.pad(p.weights, ((0, 0), (0, -depth % STEP))))
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=Params("tinyc_fully_connected_dsp_params", fields),
        constants=(Constant("stream", _stream.pack(padded, layer.output.zero_point)),),
        scratch=2 * padded.weights.shape[1] + 4,
    )


def _cost(layer: Layer) -> float:
    """Instructions, counted in the assembly, and fitted to Cortex-M4 with arm-none-eabi-gcc 12 -O2 for the rest."""
    units, depth = layer.input(1).shape
    steps = -(-depth // STEP)
    block = 38.0 + 27.0 * steps + 3.0 * -(-steps // 4)
    row = 48.0 + 2.15 * depth + -(-units // 4) * block + (28.0 if units % 4 else 0.0)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    return 40.0 + layer.output.elements // units * (row + (0.0 if (low, high) == (-128, 127) else 10.0 * units))


KERNELS = (Kernel("tinyc_fully_connected_s8_dsp", "FULLY_CONNECTED", _bind, _cost, applies, isa="cortex_m_dsp"),)
