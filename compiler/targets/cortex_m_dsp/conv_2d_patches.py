# SPDX-License-Identifier: Apache-2.0
"""CONV_2D with a filter of any size for the DSP extension: a matrix product of patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...graph import Array, Layer
from ...ops._convolution import Axis, axes, multipliers
from ...ops._fixed_point import activation_range
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table
from .. import Kernel
from . import _stream


def _inside(axis: Axis) -> tuple[int, int]:
    """The output positions whose window is inside of the image, as (first, end)."""
    first = -(-axis.pad // axis.stride)
    last = (axis.input - ((axis.taps - 1) * axis.dilation + 1) + axis.pad) // axis.stride
    end = min(axis.output, last + 1)
    return (first, end) if first < end else (0, 0)


@dataclass(frozen=True)
class Patches:
    """A convolution as a matrix product of `rows` runs of `run` bytes per pixel; lengths of `x` and `rest` in halfwords or bytes."""

    rows: int
    run: int
    height: Axis
    width: Axis

    @property
    def rest(self) -> int:
        """Bytes of a patch that are left over of its runs' whole quads, rounded up to a quad."""
        return -(-self.rows * (self.run % 4) // 4) * 4

    @property
    def depth(self) -> int:
        return self.rows * (self.run // 4 * 4) + self.rest

    @property
    def block(self) -> int:
        """Bytes of a patch that is copied together."""
        return -(-self.rows * self.run // 4) * 4

    @property
    def gap(self) -> int:
        """Bytes that make the memory for two widened patches large enough to hold their copies before, row by row in turn."""
        return self.run // 4 * 4 if self.copied else 0

    @property
    def inside(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Output rows and columns whose patches need no copying."""
        return _inside(self.height), _inside(self.width) if self.width.dilation == 1 else (0, 0)

    @property
    def copied(self) -> int:
        """Output pixels of an image whose patches are copied together."""
        (top, bottom), (left, right) = self.inside
        return self.height.output * self.width.output - (bottom - top) * (right - left)

    @property
    def scratch(self) -> int:
        return self.depth * 4 + self.rest * 2 + 8 + self.gap


def _without_idle_dilation(axis: Axis) -> Axis:
    return axis if axis.taps > 1 else Axis(axis.input, 1, axis.stride, 1, axis.output, axis.pad)


def patches(layer: Layer) -> Patches:
    """How the kernel reads the input of `layer`."""
    height, width = (_without_idle_dilation(axis) for axis in axes(layer))
    return Patches(height.taps, width.taps * layer.input(0).shape[3], height, width)


def ordered(weights: Array, run: int) -> Array:
    """Weights [channels, rows, columns, depth] as [channels, k]: the whole quads of each row, then the rest of each."""
    channels, rows = weights.shape[:2]
    flat = weights.reshape(channels, rows, run)
    whole = run // 4 * 4
    return np.concatenate([flat[:, :, :whole].reshape(channels, -1), flat[:, :, whole:].reshape(channels, -1)], axis=1)


def product(layer: Layer) -> _stream.Product:
    """The layer as a matrix product of its patches."""
    weights = layer.input(1).data
    assert weights is not None
    p = patches(layer)
    batches, rows, columns, _ = layer.output.shape
    return _stream.product(layer, batches * rows * columns, ordered(weights, p.run), *multipliers(layer))


def constant(layer: Layer) -> bool:
    """Whether the layer has one group, and constant weights and bias."""
    weights, bias = layer.input(1), layer.optional(2)
    return weights.shape[3] == layer.input(0).shape[3] and weights.constant and (bias is None or bias.constant)


def params(layer: Layer, p: Patches, odd: tuple[int, int] = (0, 0), relu: bool = False) -> Params:
    """The kernels' parameters; `odd` is for Winograd's tiles, `relu` whether the records are for the shorter requantization."""
    source = layer.input(0)
    (top, bottom), (left, right) = p.inside
    low, high = activation_range(layer.attributes["activation"], layer.output)
    fields = {
        "batches": source.shape[0],
        "input_height": p.height.input,
        "input_width": p.width.input,
        "input_depth": source.shape[3],
        "filter_height": p.height.taps,
        "filter_width": p.width.taps,
        "output_height": p.height.output,
        "output_width": p.width.output,
        "output_depth": layer.output.shape[3],
        "stride_height": p.height.stride,
        "stride_width": p.width.stride,
        "dilation_height": p.height.dilation,
        "dilation_width": p.width.dilation,
        "pad_height": p.height.pad,
        "pad_width": p.width.pad,
        "inside_top": top,
        "inside_bottom": bottom,
        "inside_left": left,
        "inside_right": right,
        "input_zero_point": source.zero_point,
        "activation_min": low,
        "activation_max": high,
        "odd_height": odd[0],
        "odd_width": odd[1],
        "relu": int(relu),
    }
    return Params("tinyc_conv_2d_dsp_params", fields)


def bind(parameters: Params, stream: Array, scratch: int, lead: int) -> Binding:
    """The call of a kernel with these parameters; `lead` is its output's over its input."""
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=parameters,
        constants=(Constant("stream", stream),),
        scratch=scratch,
        overlap={0: lead},
    )


def copying(p: Patches) -> float:
    """Instructions of copying together the patches of an image that are not runs of memory."""
    pieces = p.rows if p.width.dilation == 1 else p.rows * p.width.taps
    return p.copied * (76.0 + 36.7 * pieces + 0.57 * p.rows * p.run)


def _applies(layer: Layer) -> bool:
    return constant(layer) and _stream.exact(product(layer))


def _bind(layer: Layer) -> Binding:
    p, matrix = patches(layer), product(layer)
    relu = _stream.relu(matrix, layer)
    stream = _stream.pack(matrix, layer.output.zero_point, relu)
    return bind(params(layer, p, relu=relu), stream, p.scratch, _stream.pairs_lead(layer, matrix.rows))


def _cost(layer: Layer) -> float:
    """Instructions, fitted to counts of 32 layers on Cortex-M4 with arm-none-eabi-gcc 12 -O2; all are within 6 % of it."""
    p = patches(layer)
    batches, height, width, channels = layer.output.shape
    (top, bottom), (left, right) = p.inside
    runs = bottom - top if right - left >= 2 else 0
    singles = (height * width - runs * ((right - left) // 2 * 2)) / 2
    products = _stream.cost_of_patches(layer, batches * height * width, channels, p.rows, p.run)
    return 115.0 + products + batches * (38.0 * runs + 197.0 * singles + copying(p))


KERNELS = (Kernel("tinyc_conv_kxk_s8_dsp", "CONV_2D", _bind, _cost, _applies, isa="cortex_m_dsp"),)
