# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED in portable C."""

from __future__ import annotations

from ...graph import Layer
from ...ops._fixed_point import activation_range
from ...ops._floats import float_range
from ...ops.fully_connected import multipliers
from ...program import Argument, Binding, Constant, Input, Output, Params, ParamsPointer, Table
from .. import Kernel
from .._overlap import lead
from . import _products


def _bind(layer: Layer) -> Binding:
    return _bind_integers(layer, (Input(2),))


def _bind_int16(layer: Layer) -> Binding:
    return _bind_integers(layer, _products.bias_arguments(layer))


def _bind_float32(layer: Layer) -> Binding:
    units, depth = layer.input(1).shape
    low, high = float_range(layer.attributes["activation"])
    fields = {
        "batches": layer.output.elements // units,
        "input_depth": depth,
        "output_depth": units,
        "activation_min": low,
        "activation_max": high,
    }
    args = (ParamsPointer(), Input(0), Input(1), Input(2), Output())
    return Binding(args, Params("tinyc_fully_connected_f32_params", fields), overlap={0: lead(layer)})


def _bind_integers(layer: Layer, bias: tuple[Argument, ...]) -> Binding:
    weights, output = layer.input(1), layer.output
    units, depth = weights.shape
    multiplier, shift = multipliers(layer)
    low, high = activation_range(layer.attributes["activation"], output)
    params = Params(
        "tinyc_fully_connected_params",
        {
            "batches": layer.output.elements // units,
            "input_depth": depth,
            "output_depth": units,
            "input_offset": -layer.input(0).zero_point,
            "filter_offset": -weights.zero_point,
            "output_offset": output.zero_point,
            "activation_min": low,
            "activation_max": high,
            "per_channel": int(len(multiplier) > 1),
            "multiplier": Table("multiplier"),
            "shift": Table("shift"),
        },
    )
    return Binding(
        args=(ParamsPointer(), Input(0), Input(1), *bias, Output()),
        params=params,
        constants=(Constant("multiplier", _products.multiplier_table(layer, multiplier)), Constant("shift", shift)),
        overlap={0: lead(layer)},
    )


def _cost(layer: Layer) -> float:
    """Fitted to counts on Cortex-M3 with arm-none-eabi-gcc 12 -O2."""
    units, depth = layer.input(1).shape
    return (layer.output.elements // units) * (20.0 + -(-units // 4) * (12.2 * depth + 60.0) + 40.0 * units)


def _cost_int16(layer: Layer) -> float:
    """Fitted to counts on Cortex-M4."""
    return _rows(layer, 11.0, 70.0)


def _cost_float32(layer: Layer) -> float:
    """Fitted to counts on Cortex-M4 with its FPU; on Cortex-M3 it is 22 times as much."""
    return _rows(layer, 14.5, 25.0)


def _rows(layer: Layer, per_weight: float, per_output: float) -> float:
    units, depth = layer.input(1).shape
    return (layer.output.elements // units) * (
        20.0 + -(-units // 4) * (per_weight * depth + 110.0) + per_output * units
    )


KERNELS = (
    Kernel("tinyc_fully_connected_s8", "FULLY_CONNECTED", _bind, _cost),
    Kernel("tinyc_fully_connected_s16", "FULLY_CONNECTED", _bind_int16, _cost_int16, dtype="int16"),
    Kernel("tinyc_fully_connected_f32", "FULLY_CONNECTED", _bind_float32, _cost_float32, dtype="float32"),
)
