# SPDX-License-Identifier: Apache-2.0
"""Float networks for the tests of quantization, and TFLite Micro as their judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tinyc.graph import Array, Graph, Node, Tensor

CONV: Mapping[str, Any] = {"padding": "SAME", "stride": (1, 1), "dilation": (1, 1), "activation": "NONE"}
DENSE: Mapping[str, Any] = {"activation": "NONE", "weights_format": "DEFAULT", "keep_num_dims": False}
POOL: Mapping[str, Any] = {"padding": "VALID", "stride": (2, 2), "window": (2, 2), "activation": "NONE"}


class Net:
    """A float32 network that grows layer by layer; `end` is the tensor at its present end."""

    def __init__(self, shape: tuple[int, ...], seed: int = 1) -> None:
        self.random = np.random.default_rng(seed)
        self.tensors = [Tensor("input", (1, *shape), "float32")]
        self.nodes: list[Node] = []
        self.inputs = [0]
        self.end = 0

    def constant(self, values: Array, name: str = "") -> int:
        array = np.asarray(values)
        self.tensors.append(Tensor(name or f"c{len(self.tensors)}", array.shape, str(array.dtype), None, array))
        return len(self.tensors) - 1

    def weights(self, *shape: int, size: float = 0.5) -> int:
        return self.constant((self.random.standard_normal(shape) * size).astype(np.float32))

    def add(
        self,
        op: str,
        inputs: Sequence[int],
        shape: tuple[int, ...],
        attributes: Mapping[str, Any] | None = None,
        dtype: str = "float32",
    ) -> int:
        self.tensors.append(Tensor(f"{op.lower()}_{len(self.nodes)}", shape, dtype))
        self.end = len(self.tensors) - 1
        self.nodes.append(Node(op, tuple(inputs), (self.end,), dict(attributes or {}), 1, len(self.nodes)))
        return self.end

    def conv(self, filters: int, activation: str = "RELU", bias: bool = True) -> int:
        source = self.end
        _, height, width, depth = self.tensors[source].shape
        inputs = [source, self.weights(filters, 3, 3, depth, size=0.3)] + ([self.weights(filters)] if bias else [])
        return self.add("CONV_2D", inputs, (1, height, width, filters), {**CONV, "activation": activation})

    def depthwise(self, activation: str = "RELU6") -> int:
        source = self.end
        _, height, width, depth = self.tensors[source].shape
        inputs = [source, self.weights(1, 3, 3, depth), self.weights(depth)]
        attributes = {**CONV, "activation": activation, "depth_multiplier": 1}
        return self.add("DEPTHWISE_CONV_2D", inputs, (1, height, width, depth), attributes)

    def dense(self, units: int, activation: str = "NONE") -> int:
        source = self.end
        depth = int(np.prod(self.tensors[source].shape))
        inputs = [source, self.weights(units, depth, size=0.3), self.weights(units)]
        return self.add("FULLY_CONNECTED", inputs, (1, units), {**DENSE, "activation": activation})

    def flatten(self) -> int:
        elements = self.tensors[self.end].elements
        shape = self.constant(np.array([1, elements], np.int32))
        return self.add("RESHAPE", [self.end, shape], (1, elements), {"new_shape": (1, elements)})

    def softmax(self) -> int:
        return self.add("SOFTMAX", [self.end], self.tensors[self.end].shape, {"beta": 1.0})

    def graph(self, outputs: Sequence[int] | None = None) -> Graph:
        ends = tuple(outputs or [self.end])
        names = tuple(self.tensors[i].name for i in self.inputs), tuple(self.tensors[i].name for i in ends)
        return Graph(tuple(self.tensors), tuple(self.nodes), tuple(self.inputs), ends, *names)


def small_cnn(seed: int = 1) -> Graph:
    """Convolutions, a depthwise one, a residual ADD, pools, FULLY_CONNECTED and SOFTMAX."""
    net = Net((8, 8, 3), seed)
    first = net.conv(6)
    second = net.conv(6, "NONE")
    net.add("ADD", [first, second], (1, 8, 8, 6), {"activation": "RELU"})
    net.depthwise()
    net.add("MAX_POOL_2D", [net.end], (1, 4, 4, 6), POOL)
    net.flatten()
    net.dense(5)
    net.softmax()
    return net.graph()


def samples(graph: Graph, count: int = 40, seed: int = 0, size: float = 1.0) -> list[Array]:
    random = np.random.default_rng(seed)
    return [
        (random.standard_normal((count, *tensor.shape[1:])) * size).astype(np.float32) for tensor in graph.input_tensors
    ]
