# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED in portable C."""

from __future__ import annotations

from ...graph import Layer
from ...ops._fixed_point import activation_range
from ...ops.fully_connected import multipliers
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Table
from .. import Kernel
from .._overlap import lead


def _bind(layer: Layer) -> Binding:
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
        args=(ParamsPointer(), Input(0), Input(1), Input(2), Output()),
        params=params,
        constants=(Constant("multiplier", multiplier), Constant("shift", shift)),
        overlap={0: lead(layer)},
    )


def _cost(layer: Layer) -> float:
    """Fitted to counts on Cortex-M3 with arm-none-eabi-gcc 12 -O2."""
    units, depth = layer.input(1).shape
    return (layer.output.elements // units) * (20.0 + -(-units // 4) * (12.2 * depth + 60.0) + 40.0 * units)


KERNELS = (Kernel("tinyc_fully_connected_s8", "FULLY_CONNECTED", _bind, _cost),)
