# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D: every input channel with its own `depth_multiplier` filters; the filter is 1HWC.

TFLite Micro crashes when the bias is absent; here that means zeros, as in CONV_2D.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Array, Graph, Layer, Quantization, Tensor, single_node_graph
from . import Integer, Op, _convolution, _products


def _attributes(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**_convolution.attributes(options), "depth_multiplier": options["depth_multiplier"]}


def _export(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**_convolution.export(attributes), "depth_multiplier": attributes["depth_multiplier"]}


def _multiplier_fits(layer: Layer) -> str | None:
    """The filter's channels must be the input's times the depth multiplier, and its first extent 1."""
    depth, shape, multiplier = layer.input(0).shape[3], layer.input(1).shape, layer.attributes["depth_multiplier"]
    if shape[0] == 1 and shape[3] == depth * multiplier:
        return None
    return f"{depth} input channels, depth multiplier {multiplier}, filter {list(shape)}"


def _wide_bias(layer: Layer) -> str | None:
    """The bias of an int16 layer must be int64."""
    # TFLite Micro reads it as int64 whatever it is.
    bias = layer.optional(2)
    return None if layer.input(0).dtype != "int16" or bias is None or bias.dtype == "int64" else bias.dtype


def _output_shapes(layer: Layer) -> Sequence[tuple[int, ...]]:
    height, width = _convolution.axes(layer)
    return [(layer.input(0).shape[0], height.output, width.output, layer.input(1).shape[3])]


def _reference(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    source, weights = inputs[0], inputs[1]
    assert source is not None
    assert weights is not None
    bias = inputs[2] if len(inputs) > 2 else None
    if source.dtype == np.float32:
        return [_products.float_output(layer, _sums(layer, source, weights), bias)]
    sums = _sums(layer, source.astype(np.int64) - layer.input(0).zero_point, weights.astype(np.int64))
    return _convolution.requantize(layer, sums, bias)


def _sums(layer: Layer, images: Array, weights: Array) -> Array:
    """[n, output height, output width, filters]: products added one by one, by the rows and columns of the filter."""
    height, width = _convolution.axes(layer)
    pixels = np.repeat(images, layer.attributes["depth_multiplier"], axis=3)
    sums = np.zeros((len(images), height.output, width.output, weights.shape[3]), images.dtype)
    with np.errstate(all="ignore"):
        for (ky, kx), outside, inside in _convolution.taps(layer):
            sums[:, *outside] += pixels[:, *inside] * weights[0, ky, kx]
    return sums


def _real(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    return _convolution.real(layer, inputs, _sums, 2 * layer.output.elements // layer.output.shape[0])


def _cases() -> Iterator[tuple[str, Graph]]:
    yield from (found := list(_int8_cases()))
    names = ("3x3", "3x3 valid, stride 2", "multiplier 3", "dilated beyond the image", "batch", "per tensor")
    yield from _products.cases_in_other_types(found, names)


def _int8_cases() -> Iterator[tuple[str, Graph]]:
    random = np.random.default_rng(3)

    def case(
        image: tuple[int, int, int],
        window: tuple[int, int],
        multiplier: int = 1,
        *,
        batches: int = 1,
        padding: str = "SAME",
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        act: str = "NONE",
        channels: bool = True,
        scale: float = 0.02,
    ) -> Graph:
        filters = image[2] * multiplier
        scales = tuple(float(np.float32(s)) for s in random.uniform(scale / 4, scale, filters if channels else 1))
        shape = (1, *window, filters)
        quantization = Quantization(scales, (0,) * len(scales), 3)
        template = (
            Tensor("input", (batches, *image), "int8", Quantization((float(np.float32(0.04)),), (9,))),
            Tensor("filter", shape, "int8", quantization, random.integers(-127, 128, shape).astype(np.int8)),
            Tensor("bias", (filters,), "int32", None, random.integers(-4000, 4000, filters).astype(np.int32)),
        )
        attributes = {
            "padding": padding,
            "stride": stride,
            "dilation": dilation,
            "activation": act,
            "depth_multiplier": multiplier,
        }

        def graph(shape: tuple[int, ...]) -> Graph:
            output = Tensor("output", shape, "int8", Quantization((float(np.float32(0.09)),), (-3,)))
            return single_node_graph("DEPTHWISE_CONV_2D", template, (output,), attributes)

        return graph(tuple(_output_shapes(next(graph((0, 0, 0, 0)).layers()))[0]))

    yield "3x3", case((5, 6, 8), (3, 3), act="RELU")
    yield "3x3 valid, stride 2", case((7, 9, 7), (3, 3), padding="VALID", stride=(2, 2), act="RELU6")
    yield "depth 1", case((4, 5, 1), (3, 3))
    yield "1x1 image", case((1, 1, 5), (3, 3))
    yield "multiplier 8 of one channel", case((9, 7, 1), (5, 4), 8, stride=(2, 2), act="RELU")
    yield "multiplier 3", case((4, 5, 5), (2, 3), 3)
    yield "multiplier 4, dilated", case((6, 6, 2), (2, 2), 4, dilation=(2, 3))
    yield "dilated beyond the image", case((3, 4, 4), (3, 3), dilation=(5, 5))
    yield "batch", case((3, 3, 6), (2, 2), batches=3, act="RELU_N1_TO_1")
    yield "per tensor", case((4, 4, 4), (3, 3), channels=False)
    yield "left shifts", case((4, 4, 6), (1, 1), scale=30.0)


OP = Op(
    name="DEPTHWISE_CONV_2D",
    versions=(1, 7),
    inputs=("input", "filter", "bias?"),
    options="DepthwiseConv2DOptions",
    attributes=_attributes,
    export=_export,
    constraints=_convolution.constraints(3, _multiplier_fits, _wide_bias),
    output_shapes=_output_shapes,
    reference=_reference,
    cases=_cases,
    macs=lambda layer: layer.output.elements * layer.input(1).shape[1] * layer.input(1).shape[2],
    real=_real,
    integer=Integer("own", {"float32": 2, "int8": 3, "int16": 5}, channels=3),
)
