# SPDX-License-Identifier: Apache-2.0
"""From a trained chain of layers to a float32 network: batch norm folded into the weights, activations fused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tinyc.graph import Graph, Node, Tensor

from .layers import (
    Array,
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    Layer,
    MaxPool2D,
    Relu,
    Relu6,
    Residual,
)

#: A layer, the batch norm after it, and the activation after that.
Group = tuple[Layer, BatchNorm | None, str]


def groups(layers: Sequence[Layer]) -> Iterator[Group]:
    """The chain, cut where an operator ends."""
    position = 0
    while position < len(layers):
        layer = layers[position]
        following = layers[position + 1 : position + 3]
        norm = following[0] if following and isinstance(following[0], BatchNorm) else None
        last = following[1 if norm else 0 :][:1]
        activation = _ACTIVATIONS.get(type(last[0]), "NONE") if last else "NONE"
        yield layer, norm, activation
        position += 1 + (norm is not None) + (activation != "NONE")


def to_graph(
    layers: Sequence[Layer], shape: tuple[int, ...], *, softmax: bool = False, labels: Sequence[str] = ()
) -> Graph:
    """The float32 network of a trained chain.

    Args:
        layers: the chain.
        shape: the shape of one input.
        softmax: whether to end in a SOFTMAX, which the chain itself does not have.
        labels: the names of the classes.

    Raises TypeError for a layer, or an order of layers, that no operator stands for.
    """
    builder = _Builder(shape)
    builder.add_chain(layers)
    if softmax:
        builder.append("SOFTMAX", {"beta": 1.0}, (), "scores", builder.value)
    return builder.graph(tuple(labels))


class _Builder:
    """The network as far as it is built. `value` is what an input of zeros gives at its present end."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.value: Array = np.zeros((1, *shape), np.float32)
        self.nodes: list[Node] = []
        self.tensors = [Tensor("input", self.value.shape, "float32")]
        self.end = 0

    def add_chain(self, layers: Sequence[Layer]) -> None:
        for group in groups(layers):
            self.add(*group)

    def add(self, layer: Layer, norm: BatchNorm | None, activation: str) -> None:
        name = f"{len(self.nodes)}_{type(layer).__name__.lower()}"
        value = layer.forward(self.value, training=False)
        if isinstance(layer, Residual):
            source = self.end
            self.add_chain(layer.layers)
            name = f"{len(self.nodes)}_add"
            self.append("ADD", {"activation": activation}, (), name, value, others=(source,))
        elif isinstance(layer, Conv2D | DepthwiseConv2D | Dense):
            self._append_weighted(layer, norm, activation, name, value)
        elif activation == "NONE" and norm is None:
            self._append_plain(layer, name, value)
        else:
            raise TypeError(f"no operator for {type(layer).__name__} with batch norm or an activation after it")

    def _append_weighted(
        self, layer: Conv2D | DepthwiseConv2D | Dense, norm: BatchNorm | None, activation: str, name: str, value: Array
    ) -> None:
        weights, bias = layer.weights.value, layer.bias.value
        if isinstance(layer, Dense):
            op, attributes = "FULLY_CONNECTED", _DENSE
        elif isinstance(layer, Conv2D):
            op, attributes = "CONV_2D", _window(layer.stride)
        else:
            op, attributes = "DEPTHWISE_CONV_2D", {**_window(layer.stride), "depth_multiplier": 1}
        if norm is not None:
            channels = -1 if op == "DEPTHWISE_CONV_2D" else 0
            weights, bias = folded(weights, bias, norm, channels)
        constants = (
            _constant(f"{name}/weights", weights[None] if op == "DEPTHWISE_CONV_2D" else weights),
            _constant(f"{name}/bias", bias),
        )
        self.append(op, {**attributes, "activation": activation}, constants, name, value)

    def _append_plain(self, layer: Layer, name: str, value: Array) -> None:
        if isinstance(layer, MaxPool2D | AveragePool2D):
            op = "MAX_POOL_2D" if isinstance(layer, MaxPool2D) else "AVERAGE_POOL_2D"
            self.append(op, _pool(layer.kernel), (), name, value)
        elif isinstance(layer, Flatten):
            shape = _constant(f"{name}/shape", np.array(value.shape, np.int32))
            self.append("RESHAPE", {"new_shape": value.shape}, (shape,), name, value)
        else:
            raise TypeError(f"no operator for the layer {type(layer).__name__} at this place")

    def append(
        self,
        op: str,
        attributes: Mapping[str, Any],
        constants: Sequence[Tensor],
        name: str,
        value: Array,
        others: tuple[int, ...] = (),
    ) -> None:
        """One operator on the present end, then `others` and the constants; its output is the new end."""
        first = len(self.tensors)
        self.tensors += [*constants, Tensor(name, value.shape, "float32")]
        inputs = (*others, self.end, *range(first, first + len(constants)))
        self.end = len(self.tensors) - 1
        self.nodes.append(Node(op, inputs, (self.end,), attributes, 1, len(self.nodes)))
        self.value = value

    def graph(self, labels: tuple[str, ...]) -> Graph:
        return Graph(tuple(self.tensors), tuple(self.nodes), (0,), (self.end,), ("input",), ("output",), labels)


def folded(weights: Array, bias: Array, norm: BatchNorm, channels: int) -> tuple[Array, Array]:
    """factor * (w x + b) + offset = (factor * w) x + (factor * b + offset); `channels` is the axis in the weights."""
    factor, offset = norm.factor_and_offset()
    shape = [1] * weights.ndim
    shape[channels] = -1
    return weights * factor.reshape(shape), bias * factor + offset


def _constant(name: str, data: npt.NDArray[Any]) -> Tensor:
    return Tensor(name, data.shape, str(data.dtype), None, data)


_ACTIVATIONS: Mapping[type[Layer], str] = {Relu: "RELU", Relu6: "RELU6"}

_DENSE: Mapping[str, Any] = {"weights_format": "DEFAULT", "keep_num_dims": False}


def _window(stride: int) -> Mapping[str, Any]:
    return {"padding": "SAME", "stride": (stride, stride), "dilation": (1, 1)}


def _pool(kernel: tuple[int, int]) -> Mapping[str, Any]:
    return {"padding": "VALID", "stride": kernel, "window": kernel, "activation": "NONE"}
