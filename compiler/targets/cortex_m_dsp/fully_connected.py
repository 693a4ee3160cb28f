# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED for the DSP extension: the kernel of 1x1 convolutions, with the rows as pixels."""

from __future__ import annotations

import numpy as np

from ...graph import Layer
from ...ops.fully_connected import multipliers
from ...program import Binding
from .. import Kernel
from . import _stream


def _rows(layer: Layer) -> int:
    return layer.output.elements // layer.input(1).shape[0]


def product(layer: Layer) -> _stream.Product:
    """The layer as a matrix product."""
    weights = layer.input(1)
    assert weights.data is not None
    multiplier, shift = multipliers(layer)
    units = weights.shape[0]
    return _stream.product(
        layer, _rows(layer), weights.data, np.broadcast_to(multiplier, units), np.broadcast_to(shift, units)
    )


def applies(layer: Layer) -> bool:
    """Whether weights and bias are constant and the kernels are exact for them."""
    weights, bias = layer.input(1), layer.optional(2)
    constant = weights.constant and (bias is None or bias.constant)
    return constant and weights.zero_point == 0 and _stream.exact(product(layer))


def _bind(layer: Layer) -> Binding:
    return _stream.bind(layer, product(layer))


def _cost(layer: Layer) -> float:
    units, depth = layer.input(1).shape
    return _stream.cost(layer, _rows(layer), units, depth)


KERNELS = (Kernel("tinyc_conv_1x1_s8_dsp", "FULLY_CONNECTED", _bind, _cost, applies, isa="cortex_m_dsp"),)
