# SPDX-License-Identifier: Apache-2.0
"""Small float networks, and an integer one whose scales are chosen by hand: what the report is tested on."""

from __future__ import annotations

import numpy as np
from tinyc.graph import Array, Graph, Node, Quantization, Tensor
from tinyc.quantize import Quantized, Range, Settings


def real_tensor(name: str, shape: tuple[int, ...], data: Array | None = None) -> Tensor:
    return Tensor(name, shape, "float32", None, None if data is None else data.astype(np.float32))


def dense(name: str, source: int, first: int, activation: str) -> Node:
    """FULLY_CONNECTED of tensor `source` with weights, bias and output at `first`, `first` + 1 and `first` + 2."""
    attributes = {"activation": activation, "weights_format": "DEFAULT", "keep_num_dims": False}
    return Node("FULLY_CONNECTED", (source, first, first + 1), (first + 2,), attributes, 1)


def two_layers(seed: int = 0, sizes: tuple[int, int, int] = (6, 8, 4), last: str = "NONE") -> Graph:
    """Float: 6 inputs, 8 units with RELU, 4 outputs."""
    random = np.random.default_rng(seed)
    inputs, hidden, outputs = sizes
    tensors = (
        real_tensor("x", (1, inputs)),
        real_tensor("hidden/weights", (hidden, inputs), random.normal(0, 0.5, (hidden, inputs))),
        real_tensor("hidden/bias", (hidden,), random.normal(0, 0.2, hidden)),
        real_tensor("hidden", (1, hidden)),
        real_tensor("y/weights", (outputs, hidden), random.normal(0, 0.5, (outputs, hidden))),
        real_tensor("y/bias", (outputs,), random.normal(0, 0.2, outputs)),
        real_tensor("y", (1, outputs)),
    )
    nodes = (dense("hidden", 0, 1, "RELU"), dense("y", 3, 4, last))
    return Graph(tensors, nodes, (0,), (6,), ("x",), ("y",))


def samples(count: int, seed: int = 1, inputs: int = 6) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, (count, inputs)).astype(np.float32)


def float32(value: float) -> float:
    return float(np.float32(value))


def by_hand(
    real: Graph, scales: tuple[float, float, float], zero_points: tuple[int, int, int] = (0, -128, 0)
) -> Quantized:
    """`two_layers` with these scales and zero points of x, hidden and y; weights per channel, -127 to 127."""
    tensors = list(real.tensors)
    activations = (0, 3, 6)
    for index, scale, zero_point in zip(activations, scales, zero_points, strict=True):
        q = Quantization((float32(scale),), (zero_point,))
        tensors[index] = Tensor(tensors[index].name, tensors[index].shape, "int8", q)
    for weights, source in ((1, 0), (4, 3)):
        data, bias = real.tensors[weights].data, real.tensors[weights + 1].data
        assert data is not None and bias is not None
        largest = np.abs(data).max(axis=1)
        found = [float32(max(value / 127, 1e-6)) for value in largest]
        q = Quantization(tuple(found), (0,) * len(found), 0)
        integers = np.clip(np.rint(data / np.array(found)[:, None]), -127, 127).astype(np.int8)
        tensors[weights] = Tensor(tensors[weights].name, data.shape, "int8", q, integers)
        steps = np.array(found) * tensors[source].scale
        q = Quantization(tuple(float32(step) for step in steps), (0,) * len(found), 0)
        integers = np.rint(bias / steps).astype(np.int32)
        tensors[weights + 1] = Tensor(tensors[weights + 1].name, bias.shape, "int32", q, integers)
    graph = Graph(tuple(tensors), real.nodes, real.inputs, real.outputs, real.input_names, real.output_names)
    ranges = {
        index: Range(-1e9, 1e9, scale * (-128 - zero_point), scale * (127 - zero_point))
        for index, scale, zero_point in zip(activations, scales, zero_points, strict=True)
    }
    return Quantized(graph, real, {i: i for i in range(7)}, ranges, samples=(100, 10), settings=Settings())
