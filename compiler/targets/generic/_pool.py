# SPDX-License-Identifier: Apache-2.0
"""The call of both pooling kernels."""

from __future__ import annotations

from ...graph import Layer
from ...ops._fixed_point import activation_range
from ...ops._pool import axes
from ...program import Binding, Input, Output, Params, ParamsPointer
from .._overlap import lead


def bind(layer: Layer) -> Binding:
    height, width = axes(layer)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    params = Params(
        "tinyc_pool_2d_params",
        {
            "batches": layer.output.shape[0],
            "depth": layer.output.shape[3],
            "input_height": height.input,
            "input_width": width.input,
            "output_height": height.output,
            "output_width": width.output,
            "filter_height": height.window,
            "filter_width": width.window,
            "stride_height": height.stride,
            "stride_width": width.stride,
            "pad_height": height.pad,
            "pad_width": width.pad,
            "activation_min": low,
            "activation_max": high,
        },
    )
    return Binding(args=(ParamsPointer(), Input(0), Output()), params=params, overlap={0: lead(layer, buffered=True)})


def cost(layer: Layer, per_output: float) -> float:
    """Instructions: 5 per pixel of a window and `per_output` for the rest."""
    height, width = axes(layer)
    rows = sum(end - start for start, end in height.ranges())
    columns = sum(end - start for start, end in width.ranges())
    batch, _, _, depth = layer.output.shape
    return batch * depth * rows * columns * 5.0 + layer.output.elements * per_output
