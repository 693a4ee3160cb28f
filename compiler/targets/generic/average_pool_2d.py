# SPDX-License-Identifier: Apache-2.0
"""AVERAGE_POOL_2D in portable C."""

from __future__ import annotations

from ...graph import Layer
from ...ops._fixed_point import activation_range
from ...program import Binding, Input, Output, Params, ParamsPointer, State
from .. import Kernel
from . import _pool


def bind_rows(layer: Layer) -> Binding:
    """Part of an image's rows, see `tinyc.streaming.slabs.cut`."""
    first, last, rows = layer.attributes["partial"]
    low, high = activation_range(layer.attributes["activation"], layer.output)
    _, height, width, depth = layer.input(0).shape
    fields = {
        "depth": depth,
        "pixels": height * width,
        "count": rows * width,
        "first": int(first),
        "last": int(last),
        "activation_min": low,
        "activation_max": high,
    }
    params = Params("tinyc_average_pool_rows_params", fields)
    return Binding((ParamsPointer(), Input(0), Output(), State()), params, state=4 * depth)


def _cost_of_rows(layer: Layer) -> float:
    first, last = (int(end) for end in layer.attributes["partial"][:2])
    return 6.0 * layer.input(0).elements + layer.output.elements * (4.0 * first + 18.0 * last) + 40.0


KERNELS = (
    Kernel("tinyc_average_pool_2d_s8", "AVERAGE_POOL_2D", _pool.bind, lambda layer: _pool.cost(layer, 60.0)),
    Kernel(
        "tinyc_average_pool_2d_s16",
        "AVERAGE_POOL_2D",
        _pool.bind,
        lambda layer: _pool.cost(layer, 44.0, 6.0),
        dtype="int16",
    ),
    Kernel(
        "tinyc_average_pool_2d_f32",
        "AVERAGE_POOL_2D",
        _pool.bind_float32,
        lambda layer: _pool.cost(layer, 40.0, 6.0),
        dtype="float32",
    ),
    Kernel("tinyc_average_pool_rows_s8", "AVERAGE_POOL_2D", bind_rows, _cost_of_rows, partial=True),
)
