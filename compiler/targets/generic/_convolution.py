# SPDX-License-Identifier: Apache-2.0
"""What the bindings of CONV_2D and DEPTHWISE_CONV_2D share."""

from __future__ import annotations

from collections.abc import Mapping

from ...graph import Layer
from ...ops._convolution import axes, multipliers
from ...ops._fixed_point import activation_range
from ...ops._floats import float_range
from ...program import Argument, Binding, Constant, Input, Output, Params, ParamsPointer, Table, Value
from .._overlap import lead
from . import _products


def bind(layer: Layer, filter_depth: int, filters_per_group: int) -> Binding:
    """A call with `tinyc_conv_2d_params`, for a convolution in groups of `filter_depth` input channels."""
    return _bind(layer, filter_depth, filters_per_group, (Input(2),))


def bind_int16(layer: Layer, filter_depth: int, filters_per_group: int) -> Binding:
    """The call of a kernel in int16."""
    return _bind(layer, filter_depth, filters_per_group, _products.bias_arguments(layer))


def bind_float32(layer: Layer, filter_depth: int, filters_per_group: int) -> Binding:
    """A call with `tinyc_conv_2d_f32_params`."""
    low, high = float_range(layer.attributes["activation"])
    fields = {**_geometry(layer, filter_depth, filters_per_group), "activation_min": low, "activation_max": high}
    args = (ParamsPointer(), Input(0), Input(1), Input(2), Output())
    return Binding(args, Params("tinyc_conv_2d_f32_params", fields), overlap={0: lead(layer)})


def _bind(layer: Layer, filter_depth: int, filters_per_group: int, bias: tuple[Argument, ...]) -> Binding:
    multiplier, shift = multipliers(layer)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    fields = {
        **_geometry(layer, filter_depth, filters_per_group),
        "input_offset": -layer.input(0).zero_point,
        "output_offset": layer.output.zero_point,
        "activation_min": low,
        "activation_max": high,
        "multiplier": Table("multiplier"),
        "shift": Table("shift"),
    }
    return Binding(
        args=(ParamsPointer(), Input(0), Input(1), *bias, Output()),
        params=Params("tinyc_conv_2d_params", fields),
        constants=(Constant("multiplier", _products.multiplier_table(layer, multiplier)), Constant("shift", shift)),
        overlap={0: lead(layer)},
    )


def _geometry(layer: Layer, filter_depth: int, filters_per_group: int) -> Mapping[str, Value]:
    source = layer.input(0)
    height, width = axes(layer)
    return {
        "batches": source.shape[0],
        "input_height": height.input,
        "input_width": width.input,
        "input_depth": source.shape[3],
        "filter_height": height.taps,
        "filter_width": width.taps,
        "filter_depth": filter_depth,
        "filters_per_group": filters_per_group,
        "output_height": height.output,
        "output_width": width.output,
        "output_depth": layer.output.shape[3],
        "stride_height": height.stride,
        "stride_width": width.stride,
        "dilation_height": height.dilation,
        "dilation_width": width.dilation,
        "pad_height": height.pad,
        "pad_width": width.pad,
    }
