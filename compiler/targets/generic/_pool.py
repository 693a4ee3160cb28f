# SPDX-License-Identifier: Apache-2.0
"""The call of both pooling kernels."""

from __future__ import annotations

from ...graph import Layer
from ...ops._fixed_point import activation_range
from ...ops._floats import float_range
from ...ops._pool import axes
from ...program import Binding, Input, Output, Params, ParamsPointer, Value
from .._overlap import lead


def bind(layer: Layer) -> Binding:
    """A call in int8 or int16."""
    return _bind(layer, "tinyc_pool_2d_params", activation_range(layer.attributes["activation"], layer.output))


def bind_float32(layer: Layer) -> Binding:
    """A call in float32."""
    return _bind(layer, "tinyc_pool_2d_f32_params", float_range(layer.attributes["activation"]))


def _bind(layer: Layer, ctype: str, activation: tuple[Value, Value]) -> Binding:
    height, width = axes(layer)
    fields = {
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
        "activation_min": activation[0],
        "activation_max": activation[1],
    }
    overlap = {0: lead(layer, buffered=True)}
    return Binding((ParamsPointer(), Input(0), Output()), Params(ctype, fields), overlap=overlap)


def cost(layer: Layer, per_output: float, per_pixel: float = 5.0) -> float:
    """Instructions: `per_pixel` of a window and `per_output` for the rest."""
    height, width = axes(layer)
    rows = sum(end - start for start, end in height.ranges())
    columns = sum(end - start for start, end in width.ranges())
    batch, _, _, depth = layer.output.shape
    return batch * depth * rows * columns * per_pixel + layer.output.elements * per_output
