# SPDX-License-Identifier: Apache-2.0
"""CONV_2D with a 1x1 filter for the DSP extension."""

from __future__ import annotations

from ...graph import Layer
from ...ops._convolution import multipliers
from ...program import Binding
from .. import Kernel
from . import _stream


def _is_matrix_product(layer: Layer) -> bool:
    weights, bias = layer.input(1), layer.optional(2)
    return (
        weights.shape[1:3] == (1, 1)
        and weights.shape[3] == layer.input(0).shape[3]
        and tuple(layer.attributes["stride"]) == (1, 1)
        and weights.constant
        and (bias is None or bias.constant)
    )


def _rows(layer: Layer) -> int:
    batches, height, width, _ = layer.output.shape
    return batches * height * width


def _product(layer: Layer) -> _stream.Product:
    weights = layer.input(1)
    assert weights.data is not None
    return _stream.product(layer, _rows(layer), weights.data.reshape(weights.shape[0], -1), *multipliers(layer))


def _applies(layer: Layer) -> bool:
    return _is_matrix_product(layer) and _stream.exact(_product(layer))


def _bind(layer: Layer) -> Binding:
    return _stream.bind(layer, _product(layer))


def _cost(layer: Layer) -> float:
    channels, _, _, depth = layer.input(1).shape
    return _stream.cost(layer, _rows(layer), channels, depth)


KERNELS = (Kernel("tinyc_conv_1x1_s8_dsp", "CONV_2D", _bind, _cost, _applies, isa="cortex_m_dsp"),)
