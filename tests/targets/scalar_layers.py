# SPDX-License-Identifier: Apache-2.0
"""Layers for the kernels of scalar cores: all geometries, zero points and activations, ties, dead and saturating channels."""

from __future__ import annotations

from typing import Any

import layers
import numpy as np
from hypothesis import strategies as st
from tinyc.graph import Graph, Quantization, Tensor, single_node_graph


@st.composite
def scales(draw: st.DrawFn, channels: int, terms: int) -> tuple[float, ...]:
    """Filter scales for an input and output scale of 1: mostly results that fill the range; ties, right shifts up to 16, dead
    channels and, rarely, left shifts."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([1, channels]))
    exponents = 6.5 + np.log2(terms) / 2 + random.uniform(-3.0, 3.0, count)
    kind = draw(st.sampled_from(["usual"] * 4 + ["power of two"] * 3 + ["small"] * 2 + ["wide", "left"]))
    if kind == "power of two":
        exponents = np.ceil(exponents)
    if kind == "small":
        exponents = random.uniform(1.0, 4.0, count)
    if kind == "wide":
        exponents = random.uniform(1.0, 16.0, count)
    if kind == "left":
        exponents = random.uniform(-3.0, 8.0, count)
    if draw(st.integers(0, 3)) == 0:
        exponents[random.integers(0, count)] = random.choice([20.0, 34.0, 45.0])
    return tuple(layers.scale(2.0**-e if e == int(e) else 0.999 * 2.0**-e) for e in exponents)


@st.composite
def _conv_shape(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """(input, filter, attributes) of a CONV_2D."""
    window = draw(layers.windows(draw(st.sampled_from([1, 1, 3, 3, 5]))))
    rows, columns = window["size"]
    depth = draw(st.integers(1, 9) | st.sampled_from([16, 31, 32, 33, 64, 67]))
    channels = max(1, min(draw(st.integers(1, 21)), 6000 // (depth * rows * columns)))
    image = (draw(st.sampled_from([1, 1, 2])), *window["image"], depth)
    return image, (channels, rows, columns, depth), window["attributes"]


@st.composite
def _depthwise_shape(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """(input, filter, attributes) of a DEPTHWISE_CONV_2D, mostly with a filter of up to 3x3."""
    depth, multiplier = draw(st.integers(1, 9) | st.sampled_from([16, 20])), draw(st.sampled_from([1, 1, 1, 1, 2, 3]))
    batches = draw(st.sampled_from([1, 1, 2]))
    if draw(st.integers(0, 2)) == 0:
        window = draw(layers.windows(draw(st.sampled_from([4, 6, 9]))))
        attributes = {**window["attributes"], "depth_multiplier": multiplier}
        return (batches, *window["image"], depth), (1, *window["size"], depth * multiplier), attributes
    size = draw(st.sampled_from([(3, 3), (3, 3), (3, 3), (1, 3), (3, 1), (2, 3), (2, 2), (1, 1)]))
    stride = draw(st.sampled_from([(1, 1), (1, 1), (2, 2)]))
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    least = 1 if padding == "SAME" else 3
    image = (batches, draw(st.integers(least, 14)), draw(st.integers(least, 14)), depth)
    attributes = {"padding": padding, "stride": stride, "dilation": (1, 1), "depth_multiplier": multiplier}
    return image, (1, *size, depth * multiplier), attributes


@st.composite
def layer(draw: st.DrawFn, op: str) -> Graph:
    """A layer of `op`, of which the kernels take most."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    attributes: dict[str, Any]
    if op == "FULLY_CONNECTED":
        depth, channels = draw(st.integers(1, 40) | st.sampled_from([63, 64, 65, 300])), draw(st.integers(1, 21))
        rows = draw(st.sampled_from([(1,), (1,), (2,), (2, 3), (9,)]))
        image, shape = (*rows, depth), (channels, depth)
        attributes = {"weights_format": "DEFAULT", "keep_num_dims": len(rows) > 1}
    else:
        image, shape, attributes = draw(_conv_shape() if op == "CONV_2D" else _depthwise_shape())
        channels = shape[3] if op == "DEPTHWISE_CONV_2D" else shape[0]
    attributes = {**attributes, "activation": draw(layers.ACTIVATIONS)}
    terms = int(np.prod(shape)) // channels
    filter_scales = draw(scales(channels, terms))
    size = draw(st.sampled_from([100, 20000, 20000, 20000, 1000000, 300000000]))
    bias = None
    if op != "CONV_2D" or draw(st.integers(0, 4)) > 0:
        values = random.integers(-size, size, channels).astype(np.int32)
        bias = Tensor("bias", (channels,), "int32", Quantization((filter_scales[0],), (0,)), values)
    data = draw(layers.weights(shape))
    kind = draw(st.sampled_from(["as it is", "as it is", "small", "sparse"]))
    if kind == "small":
        data = (data // 4).astype(np.int8)
    if kind == "sparse":
        axis = 3 if op == "DEPTHWISE_CONV_2D" else 0
        dead = random.random(channels) < 0.5
        data = np.where(np.expand_dims(dead, [i for i in range(data.ndim) if i != axis]), 0, data).astype(np.int8)
    axis = 3 if op == "DEPTHWISE_CONV_2D" else 0
    inputs = (
        Tensor("input", image, "int8", Quantization((1.0,), (draw(layers.ZERO_POINTS),))),
        Tensor("filter", shape, "int8", Quantization(filter_scales, (0,) * len(filter_scales), axis), data),
        bias,
    )
    output = Quantization((1.0,), (draw(layers.ZERO_POINTS),))
    if op == "FULLY_CONNECTED":
        result = Tensor("output", (*image[:-1], channels), "int8", output)
        return single_node_graph(op, inputs, (result,), attributes)
    return layers.with_output_shape(op, inputs, output, attributes)


def usual(op: str, image: tuple[int, ...], shape: tuple[int, ...], zero_point: int = -128, **attributes: Any) -> Graph:
    """A layer as in trained models: normal weights, results that fill the range. `zero_point` is the output's."""
    random = np.random.default_rng(0)
    channels = shape[3] if op == "DEPTHWISE_CONV_2D" else shape[0]
    terms = int(np.prod(shape)) // channels
    data = np.clip(random.normal(0.0, 40.0, shape), -127, 127).astype(np.int8)
    scales = tuple(layers.scale(s) for s in random.uniform(0.5, 1.0, channels) / (40.0 * np.sqrt(terms)))
    bias = Tensor("bias", (channels,), "int32", None, random.integers(-1000, 1000, channels).astype(np.int32))
    axis = 3 if op == "DEPTHWISE_CONV_2D" else 0
    inputs = (
        Tensor("input", image, "int8", Quantization((1.0,), (-128,))),
        Tensor("filter", shape, "int8", Quantization(scales, (0,) * channels, axis), data),
        bias,
    )
    if op == "FULLY_CONNECTED":
        attributes = {"weights_format": "DEFAULT", "keep_num_dims": False, "activation": "RELU", **attributes}
        output = Tensor("output", (*image[:-1], channels), "int8", Quantization((1.0,), (zero_point,)))
        return single_node_graph(op, inputs, (output,), attributes)
    attributes = {"padding": "SAME", "stride": (1, 1), "dilation": (1, 1), "activation": "RELU", **attributes}
    if op == "DEPTHWISE_CONV_2D":
        attributes = {"depth_multiplier": shape[3] // image[3], **attributes}
    return layers.with_output_shape(op, inputs, Quantization((1.0,), (zero_point,)), attributes)
