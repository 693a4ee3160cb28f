# SPDX-License-Identifier: Apache-2.0
"""What CONV_2D and DEPTHWISE_CONV_2D share: options, rules, geometry and requantization."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph import Array, Layer
from . import Constraint, _products
from ._constraints import (
    ACTIVATIONS,
    activation,
    integer_only,
    per_tensor,
    product_scales_in_range,
    product_types,
    rank,
)
from ._fixed_point import quantize_multiplier
from ._floats import activate
from ._options import ACTIVATION_TYPES, PADDINGS, name_of

#: Largest dilated filter extent and stride, so that 32-bit addressing in the kernels cannot overflow.
LIMIT = 65536

#: Values that the real convolutions work on at a time.
REAL_VALUES = 1 << 18


def attributes(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """`padding` (SAME or VALID), `stride` and `dilation` as (height, width), `activation`."""
    return {
        "padding": name_of(PADDINGS, options["padding"]),
        "stride": (options["stride_h"], options["stride_w"]),
        "dilation": (options["dilation_h_factor"], options["dilation_w_factor"]),
        "activation": name_of(ACTIVATION_TYPES, options["fused_activation_function"]),
    }


def export(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The raw options of a file."""
    return {
        "padding": PADDINGS.index(attributes["padding"]),
        "stride_h": attributes["stride"][0],
        "stride_w": attributes["stride"][1],
        "dilation_h_factor": attributes["dilation"][0],
        "dilation_w_factor": attributes["dilation"][1],
        "fused_activation_function": ACTIVATION_TYPES.index(attributes["activation"]),
    }


def constraints(channel_axis: int, *own: Constraint) -> tuple[Constraint, ...]:
    """The rules of a convolution whose filter's output channels are on `channel_axis`; `own` precede quantization's."""
    return (
        product_types,
        rank("input", 0, 4, 4),
        rank("filter", 1, 4, 4),
        _one_output,
        _not_empty,
        _padding_known,
        activation(*ACTIVATIONS),
        _steps_in_range,
        _window_fits,
        *own,
        _bias_fits(channel_axis),
        _products.bias_in_range,
        integer_only(per_tensor("input and the output", 0)),
        integer_only(_filter_quantized(channel_axis)),
        integer_only(product_scales_in_range),
    )


def _one_output(layer: Layer) -> str | None:
    """The operator must have one output."""
    return None if len(layer.outputs) == 1 else f"{len(layer.outputs)} outputs"


def _not_empty(layer: Layer) -> str | None:
    """The input and the filter must not be empty."""
    shapes = [list(layer.input(i).shape) for i in (0, 1)]
    return f"shapes {shapes[0]} and {shapes[1]}" if any(extent < 1 for shape in shapes for extent in shape) else None


def _padding_known(layer: Layer) -> str | None:
    """The padding must be SAME or VALID."""
    found = layer.attributes["padding"]
    return None if found in PADDINGS else str(found)


def _steps_in_range(layer: Layer) -> str | None:
    """The strides and dilations must be 1 to 65536, and the dilated filter at most 65536 rows and columns."""
    stride, dilation = layer.attributes["stride"], layer.attributes["dilation"]
    dilated = [(taps - 1) * step + 1 for taps, step in zip(layer.input(1).shape[1:3], dilation, strict=True)]
    if all(1 <= step <= LIMIT for step in (*stride, *dilation)) and max(dilated) <= LIMIT:
        return None
    return f"strides {list(stride)}, dilations {list(dilation)}, filter {list(layer.input(1).shape[1:3])}"


def _window_fits(layer: Layer) -> str | None:
    """With VALID padding, the dilated filter must fit into the image."""
    if all(axis.output >= 1 for axis in axes(layer)):
        return None
    filter_size, dilation = layer.input(1).shape[1:3], layer.attributes["dilation"]
    return f"image {list(layer.input(0).shape[1:3])}, filter {list(filter_size)}, dilations {list(dilation)}"


def _bias_fits(channel_axis: int) -> Constraint:
    def check(layer: Layer) -> str | None:
        """The bias must have one value per output channel."""
        bias, channels = layer.optional(2), layer.input(1).shape[channel_axis]
        return None if bias is None or bias.elements == channels else f"{bias.elements} values for {channels} channels"

    return check


def _filter_quantized(channel_axis: int) -> Constraint:
    def check(layer: Layer) -> str | None:
        """The filter must be quantized per tensor or per output channel, with positive scales and zero points of 0."""
        q, channels = layer.input(1).quantization, layer.input(1).shape[channel_axis]
        if q is None or not q.scale:
            return "no quantization"
        if not all(0.0 < scale < float("inf") for scale in q.scale):
            return f"scales {list(q.scale[:3])}"
        if len(q.scale) not in (1, channels) or any(q.zero_point):
            return f"{len(q.scale)} scales for {channels} channels, zero points {sorted(set(q.zero_point))[:3]}"
        return (
            f"channels on axis {q.axis} instead of {channel_axis}" if q.per_channel and q.axis != channel_axis else None
        )

    return check


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a sliding window; lengths in pixels. `pad` pixels are in front of the image."""

    input: int
    taps: int
    stride: int
    dilation: int
    output: int
    pad: int

    def inside(self, tap: int) -> tuple[slice, slice]:
        """The output positions whose input at `tap` is inside the image, and those inputs."""
        offset = tap * self.dilation - self.pad
        first = max(0, -(offset // self.stride))
        end = min(self.output, (self.input - 1 - offset) // self.stride + 1)
        if end <= first:
            return slice(0, 0), slice(0, 0)
        start = first * self.stride + offset
        return slice(first, end), slice(start, start + (end - first - 1) * self.stride + 1, self.stride)


def axes(layer: Layer) -> tuple[Axis, Axis]:
    """Height and width, as in TFLite's padding.h; an output size below 1 means that nothing fits.

    A layer of some rows only (tinyc.streaming) has the attribute `slab`: rows of padding before the image, and output rows.
    """
    found = []
    for position in (0, 1):
        extent, taps = layer.input(0).shape[1 + position], layer.input(1).shape[1 + position]
        stride, dilation = layer.attributes["stride"][position], layer.attributes["dilation"][position]
        dilated = (taps - 1) * dilation + 1
        output = -(-(extent if layer.attributes["padding"] == "SAME" else extent - dilated + 1) // stride)
        pad = max((output - 1) * stride + dilated - extent, 0) // 2
        found.append(Axis(extent, taps, stride, dilation, output, pad))
    if "slab" in layer.attributes:
        pad, output = layer.attributes["slab"]
        found[0] = replace(found[0], pad=pad, output=output)
    return found[0], found[1]


def taps(layer: Layer) -> Iterator[tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
    """For each tap of the filter: (ky, kx), and the rows and columns of output and input that it connects."""
    height, width = axes(layer)
    rows = [height.inside(tap) for tap in range(height.taps)]
    columns = [width.inside(tap) for tap in range(width.taps)]
    for ky, (out_rows, in_rows) in enumerate(rows):
        for kx, (out_columns, in_columns) in enumerate(columns):
            if out_rows.stop and out_columns.stop:
                yield (ky, kx), (out_rows, out_columns), (in_rows, in_columns)


def multipliers(layer: Layer) -> tuple[Array, Array]:
    """(multiplier as int32, shift as int8) per output channel. TFLite Micro multiplies the scales in float64."""
    q, channels = layer.input(1).quantization, layer.output.shape[3]
    assert q is not None
    scales = q.scale if q.per_channel else q.scale * channels
    pairs = [quantize_multiplier(layer.input(0).scale * scale / layer.output.scale) for scale in scales]
    return np.array([m for m, _ in pairs], np.int32), np.array([s for _, s in pairs], np.int8)


def requantize(layer: Layer, sums: Array, bias: Array | None) -> Sequence[Array]:
    """The layer's output from its sums (integers, output channels last)."""
    multiplier, shift = multipliers(layer)
    return [_products.integer_output(layer, sums.astype(np.int64), bias, multiplier, shift)]


def real(
    layer: Layer, inputs: Sequence[Array | None], sums: Callable[[Layer, Array, Array], Array], values: int
) -> Sequence[Array]:
    """The layer on float32 images, any number of them.

    Args:
        layer: gives the geometry.
        inputs: images [n, height, width, depth], filter, and bias or None.
        sums: the sums of products of a few images and the filter.
        values: how many values `sums` works on for one image; only so many images go in that these stay in the cache.
    """
    images, weights = inputs[0], inputs[1]
    assert images is not None
    assert weights is not None
    step = max(1, REAL_VALUES // values)
    with np.errstate(all="ignore"):
        found = [sums(layer, images[i : i + step], weights) for i in range(0, max(len(images), 1), step)]
        result = found[0] if len(found) == 1 else np.concatenate(found)
        if len(inputs) > 2 and inputs[2] is not None:
            result += inputs[2].reshape(-1)
    return [activate(result, layer.attributes["activation"])]
