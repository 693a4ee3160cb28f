# SPDX-License-Identifier: Apache-2.0
"""From a trained chain of layers to an int8 network, by TensorFlow Lite's int8 quantization specification.

Weights are symmetric, -127 to 127: per output channel for the convolutions, per tensor for FULLY_CONNECTED. Activations
are asymmetric per tensor, from the smallest to the largest value seen in the calibration data. Biases are int32 with
scale input x weights. Pools and RESHAPE keep their input's scale; SOFTMAX has scale 1/256 and zero point -128.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tinyc.graph import Graph, Node, Quantization, Tensor

from .layers import Array, AveragePool2D, BatchNorm, Conv2D, Dense, DepthwiseConv2D, Flatten, Layer, MaxPool2D, Relu

#: The operator versions in which int8 arrived.
VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "AVERAGE_POOL_2D": 2,
    "MAX_POOL_2D": 2,
    "RESHAPE": 1,
    "SOFTMAX": 2,
}


@dataclass(frozen=True, eq=False)
class Stage:
    """One operator of the network and the layers that it stands for: batch norm folded in, ReLU fused.

    `channels` is the axis of the output channels in `weights`, None for one scale per tensor.
    """

    op: str
    last: int
    """Position of the last layer that it stands for."""
    attributes: Mapping[str, Any]
    weights: Array | None = None
    bias: Array | None = None
    channels: int | None = None


def stages(layers: Sequence[Layer]) -> list[Stage]:
    """The chain as operators."""
    found: list[Stage] = []
    for position, layer in enumerate(layers):
        if isinstance(layer, BatchNorm):
            found[-1] = replace(_folded(found[-1], layer), last=position)
        elif isinstance(layer, Relu):
            found[-1] = replace(found[-1], last=position, attributes={**found[-1].attributes, "activation": "RELU"})
        else:
            found.append(_stage(position, layer))
    return found


def _stage(position: int, layer: Layer) -> Stage:
    if isinstance(layer, Dense):
        return Stage("FULLY_CONNECTED", position, _DENSE, layer.weights.value, layer.bias.value)
    if isinstance(layer, Conv2D):
        attributes = _window(layer.stride)
        return Stage("CONV_2D", position, attributes, layer.weights.value, layer.bias.value, channels=0)
    if isinstance(layer, DepthwiseConv2D):
        attributes = {**_window(layer.stride), "depth_multiplier": 1}
        return Stage("DEPTHWISE_CONV_2D", position, attributes, layer.weights.value[None], layer.bias.value, channels=3)
    if isinstance(layer, MaxPool2D | AveragePool2D):
        op = "MAX_POOL_2D" if isinstance(layer, MaxPool2D) else "AVERAGE_POOL_2D"
        return Stage(op, position, _pool(layer.kernel))
    if isinstance(layer, Flatten):
        return Stage("RESHAPE", position, {})
    raise TypeError(f"no operator for the layer {type(layer).__name__}")


def _folded(stage: Stage, norm: BatchNorm) -> Stage:
    """factor * (w x + b) + offset = (factor * w) x + (factor * b + offset)"""
    assert stage.weights is not None
    assert stage.bias is not None
    factor, offset = norm.factor_and_offset()
    shape = [1] * stage.weights.ndim
    shape[stage.channels or 0] = -1
    return replace(stage, weights=stage.weights * factor.reshape(shape), bias=stage.bias * factor + offset)


def to_graph(layers: Sequence[Layer], calibration: Array, *, softmax: bool, labels: Sequence[str] = ()) -> Graph:
    """The int8 network of a trained chain.

    Args:
        layers: the chain.
        calibration: typical inputs [count, ...], which fix the ranges of the activations.
        softmax: whether to end in a SOFTMAX, which the chain itself does not have.
        labels: the names of the classes.
    """
    builder = _Builder(calibration)
    position = 0
    for stage in stages(layers):
        for layer in layers[position : stage.last + 1]:
            builder.values = layer.forward(builder.values, training=False)
        position = stage.last + 1
        builder.add(stage)
    if softmax:
        builder.add_softmax()
    return builder.graph(tuple(labels))


class _Builder:
    """The network as far as it is built. `values` are the calibration data at its present end."""

    def __init__(self, calibration: Array) -> None:
        self.values = calibration
        self.nodes: list[Node] = []
        self.tensors = [Tensor("input", (1, *calibration.shape[1:]), "int8", activation_range(calibration))]
        self.end = 0

    def add(self, stage: Stage) -> None:
        """Append the operator that computed `values`."""
        source = self.tensors[self.end].quantization
        assert source is not None
        name = f"{len(self.nodes)}_{stage.op.lower()}"
        constants: list[Tensor] = []
        quantization, attributes = source, stage.attributes
        if stage.weights is not None and stage.bias is not None:
            scales, weights = quantize_weights(stage.weights, stage.channels)
            bias_scales = (np.float32(source.scale[0]) * scales).astype(np.float32)
            bias = np.rint(stage.bias / bias_scales.astype(np.float64)).astype(np.int32)
            constants = [
                Tensor(f"{name}/weights", weights.shape, "int8", _symmetric(scales, stage.channels or 0), weights),
                Tensor(f"{name}/bias", bias.shape, "int32", _symmetric(bias_scales, 0), bias),
            ]
            quantization = activation_range(self.values)
        if stage.op == "RESHAPE":
            shape = (1, *self.values.shape[1:])
            constants = [Tensor(f"{name}/shape", (len(shape),), "int32", None, np.array(shape, np.int32))]
            attributes = {"new_shape": shape}
        self._append(stage.op, attributes, constants, name, quantization)

    def add_softmax(self) -> None:
        self._append("SOFTMAX", {"beta": 1.0}, [], "scores", Quantization((1 / 256,), (-128,)))

    def _append(
        self, op: str, attributes: Mapping[str, Any], constants: list[Tensor], name: str, quantization: Quantization
    ) -> None:
        first = len(self.tensors)
        self.tensors += [*constants, Tensor(name, (1, *self.values.shape[1:]), "int8", quantization)]
        inputs = (self.end, *range(first, first + len(constants)))
        self.end = len(self.tensors) - 1
        self.nodes.append(Node(op, inputs, (self.end,), attributes, VERSIONS[op], len(self.nodes)))

    def graph(self, labels: tuple[str, ...]) -> Graph:
        return Graph(tuple(self.tensors), tuple(self.nodes), (0,), (self.end,), ("input",), ("output",), labels)


def activation_range(values: Array) -> Quantization:
    """int8 from the smallest to the largest of `values`, with 0 exactly on a step."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = float(np.float32((high - low) / 255))
    return Quantization((scale,), (int(np.clip(round(-128 - low / scale), -128, 127)),))


def quantize_weights(weights: Array, channels: int | None) -> tuple[Array, npt.NDArray[np.int8]]:
    """(scales, int8 weights): one scale per index of axis `channels`, or one in all. Zero weights get the scale 1."""
    axes = tuple(axis for axis in range(weights.ndim) if axis != channels)
    largest = np.abs(weights).max(axis=axes, keepdims=True)
    scales = np.where(largest > 0, largest / np.float32(127), np.float32(1)).astype(np.float32)
    return scales.reshape(-1), np.clip(np.rint(weights / scales), -127, 127).astype(np.int8)


def _symmetric(scales: Array, axis: int) -> Quantization:
    return Quantization(tuple(float(scale) for scale in scales), (0,) * len(scales), axis)


def quantize(values: Array, tensor: Tensor) -> npt.NDArray[np.int8]:
    """Real values as `tensor` holds them."""
    return np.clip(np.rint(values / np.float32(tensor.scale)) + tensor.zero_point, -128, 127).astype(np.int8)


def dequantize(values: npt.NDArray[np.int8], tensor: Tensor) -> Array:
    """The real values that `tensor` holds."""
    return (np.float32(tensor.scale) * (values.astype(np.float32) - np.float32(tensor.zero_point))).astype(np.float32)


_DENSE: Mapping[str, Any] = {"activation": "NONE", "weights_format": "DEFAULT", "keep_num_dims": False}


def _window(stride: int) -> Mapping[str, Any]:
    return {"padding": "SAME", "stride": (stride, stride), "dilation": (1, 1), "activation": "NONE"}


def _pool(kernel: tuple[int, int]) -> Mapping[str, Any]:
    return {"padding": "VALID", "stride": kernel, "window": kernel, "activation": "NONE"}
