# SPDX-License-Identifier: Apache-2.0
"""SOFTMAX in portable C. The exponentials are a table: smaller with its code than computing them, and faster."""

from __future__ import annotations

from ...graph import Layer
from ...ops.softmax import exponentials
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Table
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


KERNELS = (Kernel("tinyc_softmax_s8", "SOFTMAX", _bind, _cost),)
