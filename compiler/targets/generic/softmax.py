# SPDX-License-Identifier: Apache-2.0
"""SOFTMAX in portable C. The exponentials are a table: smaller with its code than computing them, and faster."""

from __future__ import annotations

from ...graph import Layer
from ...ops.softmax import exponentials, int16_multiplier, int16_tables
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Table, Value
from .. import Kernel


def _bind(layer: Layer) -> Binding:
    depth = layer.input(0).shape[-1]
    table = exponentials(layer)
    params = Params(
        "tinyc_softmax_params",
        {
            "rows": layer.input(0).elements // depth,
            "depth": depth,
            "exponentials_size": len(table),
            "exponentials": Table("exponentials"),
        },
    )
    args = (ParamsPointer(), Input(0), Output())
    return Binding(args, params, (Constant("exponentials", table),), overlap={0: 0})


def _cost(layer: Layer) -> float:
    return 45.0 * layer.output.elements + 200.0 * layer.output.elements / layer.output.shape[-1]


def _rows(layer: Layer) -> dict[str, Value]:
    depth = layer.input(0).shape[-1]
    return {"rows": layer.input(0).elements // depth, "depth": depth}


def _bind_int16(layer: Layer) -> Binding:
    multiplier, shift = int16_multiplier(layer)
    powers, reciprocals = int16_tables()
    params = Params(
        "tinyc_softmax_s16_params",
        {
            **_rows(layer),
            "multiplier": multiplier,
            "shift": shift,
            "exponentials": Table("exponentials"),
            "reciprocals": Table("reciprocals"),
        },
    )
    tables = (Constant("exponentials", powers), Constant("reciprocals", reciprocals))
    return Binding((ParamsPointer(), Input(0), Output()), params, tables, overlap={0: 0})


def _bind_float(layer: Layer) -> Binding:
    params = Params("tinyc_softmax_f32_params", {**_rows(layer), "beta": float(layer.attributes["beta"])})
    return Binding((ParamsPointer(), Input(0), Output()), params, overlap={0: 0})


def _cost_float(layer: Layer) -> float:
    return 150.0 * layer.output.elements


KERNELS = (
    Kernel("tinyc_softmax_s8", "SOFTMAX", _bind, _cost),
    Kernel("tinyc_softmax_s16", "SOFTMAX", _bind_int16, _cost, dtype="int16"),
    Kernel("tinyc_softmax_f32", "SOFTMAX", _bind_float, _cost_float, dtype="float32"),
)
