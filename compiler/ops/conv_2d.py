# SPDX-License-Identifier: Apache-2.0
"""CONV_2D: convolution of an NHWC image with an OHWI filter, plain or in groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..graph import Array, Graph, Layer, Quantization, Tensor, single_node_graph
from . import Integer, Op, _convolution, _products


def _groups(layer: Layer) -> str | None:
    """The input channels must be a multiple of the filter's, and the filters of the groups that this makes."""
    depth, (filters, _, _, filter_depth) = layer.input(0).shape[3], layer.input(1).shape
    if depth % filter_depth == 0 and filters % (depth // filter_depth) == 0:
        return None
    return f"{depth} input channels, filter {list(layer.input(1).shape)}"


def _output_shapes(layer: Layer) -> Sequence[tuple[int, ...]]:
    height, width = _convolution.axes(layer)
    return [(layer.input(0).shape[0], height.output, width.output, layer.input(1).shape[0])]


def _reference(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    source, weights = inputs[0], inputs[1]
    assert source is not None
    assert weights is not None
    bias = inputs[2] if len(inputs) > 2 else None
    if source.dtype == np.float32:
        return [_products.float_output(layer, _float_sums(layer, source, weights), bias)]
    batches, height, width, filters = layer.output.shape
    depth = weights.shape[3]
    groups = source.shape[3] // depth
    # Sums of products are exact in float64, whose matrix product is much faster than that of integers.
    pixels = (source.astype(np.float64) - layer.input(0).zero_point).reshape(*source.shape[:3], groups, depth)
    kernels = weights.astype(np.float64).reshape(groups, filters // groups, *weights.shape[1:])
    sums = np.zeros((batches, height, width, groups, filters // groups))
    for (ky, kx), outside, inside in _convolution.taps(layer):
        for group in range(groups):
            sums[:, *outside, group] += pixels[:, *inside, group] @ kernels[group, :, ky, kx].T
    return _convolution.requantize(layer, sums.reshape(batches, height, width, filters), bias)


def _float_sums(layer: Layer, source: Array, weights: Array) -> Array:
    """The sums in float32, products added one by one in the order of the filter: rows, columns, channels."""
    filters, _, _, depth = weights.shape
    groups = source.shape[3] // depth
    first = np.arange(filters) // (filters // groups) * depth if groups > 1 else np.zeros(1, np.int64)
    sums = np.zeros(layer.output.shape, np.float32)
    with np.errstate(all="ignore"):
        for (ky, kx), outside, inside in _convolution.taps(layer):
            for channel in range(depth):
                sums[:, *outside] += source[:, *inside][..., first + channel] * weights[:, ky, kx, channel]
    return sums


def _real_sums(layer: Layer, images: Array, weights: Array) -> Array:
    """[n, output height, output width, filters]: a matrix product of every pixel's patch of the image and the filters."""
    height, width = _convolution.axes(layer)
    filters, rows, columns, depth = weights.shape
    groups = images.shape[3] // depth
    patches = _patches(layer, images).reshape(-1, rows * columns, groups, depth)
    kernels = weights.reshape(groups, filters // groups, rows * columns * depth)
    sums = np.empty((len(images) * height.output * width.output, filters), np.float32)
    for group in range(groups):
        part = slice(group * filters // groups, (group + 1) * filters // groups)
        np.matmul(patches[:, :, group].reshape(len(patches), -1), kernels[group].T, out=sums[:, part])
    return sums.reshape(-1, height.output, width.output, filters)


def _patches(layer: Layer, images: Array) -> Array:
    """[n, output height, output width, taps, depth]; taps outside of the image hold zeros."""
    height, width = _convolution.axes(layer)
    if (height.taps, width.taps, height.stride, width.stride) == (1, 1, 1, 1):
        return images[:, :, :, None]
    patches = np.zeros(
        (len(images), height.output, width.output, height.taps * width.taps, images.shape[3]), np.float32
    )
    for (ky, kx), outside, inside in _convolution.taps(layer):
        patches[:, *outside, ky * width.taps + kx] = images[:, *inside]
    return patches


def _real(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    filters, rows, columns, _ = layer.input(1).shape
    pixels = layer.output.shape[1] * layer.output.shape[2]
    return _convolution.real(layer, inputs, _real_sums, pixels * (rows * columns * layer.input(0).shape[3] + filters))


def _cases() -> Iterator[tuple[str, Graph]]:
    yield from (found := list(_int8_cases()))
    names = ("3x3", "3x3 valid, stride 2", "10x4, stride 2", "dilated", "groups", "no bias, batch", "per tensor")
    yield from _products.cases_in_other_types(found, names)


def _int8_cases() -> Iterator[tuple[str, Graph]]:
    random = np.random.default_rng(2)

    def case(
        image: tuple[int, int, int],
        window: tuple[int, int],
        filters: int,
        *,
        batches: int = 1,
        groups: int = 1,
        padding: str = "SAME",
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        act: str = "NONE",
        bias: bool = True,
        channels: bool = True,
        scale: float = 0.01,
    ) -> Graph:
        scales = tuple(float(np.float32(s)) for s in random.uniform(scale / 4, scale, filters if channels else 1))
        depth = image[2] // groups
        shape = (filters, *window, depth)
        template = (
            Tensor("input", (batches, *image), "int8", Quantization((float(np.float32(0.04)),), (-5,))),
            Tensor(
                "filter",
                shape,
                "int8",
                Quantization(scales, (0,) * len(scales)),
                random.integers(-127, 128, shape).astype(np.int8),
            ),
            Tensor("bias", (filters,), "int32", None, random.integers(-4000, 4000, filters).astype(np.int32))
            if bias
            else None,
        )
        attributes = {"padding": padding, "stride": stride, "dilation": dilation, "activation": act}

        def graph(shape: tuple[int, ...]) -> Graph:
            output = Tensor("output", shape, "int8", Quantization((float(np.float32(0.09)),), (3,)))
            return single_node_graph("CONV_2D", template, (output,), attributes)

        return graph(tuple(_output_shapes(next(graph((0, 0, 0, 0)).layers()))[0]))

    yield "3x3", case((5, 6, 4), (3, 3), 8, act="RELU")
    yield "3x3 valid, stride 2", case((7, 9, 3), (3, 3), 5, padding="VALID", stride=(2, 2), act="RELU6")
    yield "1x1", case((3, 5, 16), (1, 1), 12)
    yield "1x1 image, depth 1", case((1, 1, 1), (1, 1), 1)
    yield "1x1 image, 3x3", case((1, 1, 3), (3, 3), 2)
    yield "10x4, stride 2", case((13, 10, 1), (10, 4), 6, stride=(2, 2), act="RELU")
    yield "unequal strides", case((9, 8, 2), (2, 3), 3, stride=(3, 2), act="RELU_N1_TO_1")
    yield "dilated", case((9, 9, 3), (3, 3), 5, dilation=(2, 3))
    yield "dilated beyond the image", case((3, 4, 2), (3, 3), 4, dilation=(5, 5))
    yield "groups", case((4, 4, 6), (3, 3), 10, groups=2)
    yield "groups as depthwise, dilated", case((5, 4, 6), (2, 2), 6, groups=6, dilation=(2, 2))
    yield "no bias, batch", case((3, 3, 5), (2, 2), 7, batches=3, bias=False)
    yield "per tensor", case((4, 4, 4), (3, 3), 6, channels=False)
    yield "left shifts", case((4, 4, 2), (1, 1), 6, scale=30.0)


OP = Op(
    name="CONV_2D",
    versions=(1, 8),
    inputs=("input", "filter", "bias?"),
    options="Conv2DOptions",
    attributes=_convolution.attributes,
    export=_convolution.export,
    constraints=_convolution.constraints(0, _groups),
    output_shapes=_output_shapes,
    reference=_reference,
    cases=_cases,
    macs=lambda layer: layer.output.elements * (layer.input(1).elements // layer.input(1).shape[0]),
    real=_real,
    integer=Integer("own", {"float32": 1, "int8": 3, "int16": 4}, channels=0),
)
