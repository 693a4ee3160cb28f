# SPDX-License-Identifier: Apache-2.0
"""MEAN in portable C."""

from __future__ import annotations

from dataclasses import asdict

from ...graph import Layer
from ...ops.mean import count, loops, multiplier
from ...program import Binding, Input, Output, Params, ParamsPointer
from .. import Kernel


def _bind(layer: Layer) -> Binding:
    q, shift = multiplier(layer)
    params = Params(
        "tinyc_mean_params",
        {
            **asdict(loops(layer)),
            "sum_offset": -layer.input(0).zero_point * count(layer),
            "multiplier": q,
            "shift": shift,
            "output_offset": layer.output.zero_point,
        },
    )
    # Each output lies at or before the first input of its own sum, and before those of all later ones.
    return Binding(args=(ParamsPointer(), Input(0), Output()), params=params, overlap={0: 0})


def _bind_float(layer: Layer) -> Binding:
    params = Params("tinyc_mean_f32_params", asdict(loops(layer)))
    return Binding(args=(ParamsPointer(), Input(0), Output()), params=params, overlap={0: 0})


def _cost(layer: Layer) -> float:
    return layer.input(0).elements * 5.0 + layer.output.elements * 50.0


KERNELS = (
    Kernel("tinyc_mean_s8", "MEAN", _bind, _cost),
    Kernel("tinyc_mean_s16", "MEAN", _bind, _cost, dtype="int16"),
    Kernel("tinyc_mean_f32", "MEAN", _bind_float, _cost, dtype="float32"),
)
