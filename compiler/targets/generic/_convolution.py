# SPDX-License-Identifier: Apache-2.0
"""What the bindings of CONV_2D and DEPTHWISE_CONV_2D share."""

from __future__ import annotations

from ...graph import Layer
from ...ops._convolution import axes, multipliers
from ...ops._fixed_point import activation_range
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Table
from .._overlap import lead


def bind(layer: Layer, filter_depth: int, filters_per_group: int) -> Binding:
    """A call with `tinyc_conv_2d_params`, for a convolution in groups of `filter_depth` input channels."""
    source, output = layer.input(0), layer.output
    height, width = axes(layer)
    multiplier, shift = multipliers(layer)
    low, high = activation_range(layer.attributes["activation"], output)
    params = Params(
        "tinyc_conv_2d_params",
        {
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
            "output_depth": output.shape[3],
            "stride_height": height.stride,
            "stride_width": width.stride,
            "dilation_height": height.dilation,
            "dilation_width": width.dilation,
            "pad_height": height.pad,
            "pad_width": width.pad,
            "input_offset": -source.zero_point,
            "output_offset": output.zero_point,
            "activation_min": low,
            "activation_max": high,
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
