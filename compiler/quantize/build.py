# SPDX-License-Identifier: Apache-2.0
"""Puts the integer network together: the prepared float32 graph with its activations, weights and biases in integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..graph import DTYPES, Array, Graph, Layer, Node, Quantization, Tensor
from .prepare import linear
from .result import Settings
from .scales import Scales, activation, rule
from .weights import Weights

#: The version of QUANTIZE and DEQUANTIZE that takes the types used here.
CAST_VERSIONS: Mapping[tuple[str, str], int] = {
    ("QUANTIZE", "int8"): 2,
    ("QUANTIZE", "int16"): 2,
    ("DEQUANTIZE", "int8"): 2,
    ("DEQUANTIZE", "int16"): 3,
}


class Builder:
    """The integer network while it grows. `graph()` gives it; `real_of` and `bias_of` say what its tensors stand for."""

    def __init__(
        self,
        real: Graph,
        scales: Scales,
        weights: Mapping[int, Weights],
        floats: frozenset[int],
        settings: Settings,
    ) -> None:
        self.real, self.scales, self.weights, self.floats, self.settings = real, scales, weights, floats, settings
        self.dtype = settings.activations
        self.tensors: list[Tensor] = []
        self.nodes: list[Node] = []
        self.integer: dict[int, int] = {}
        self.float: dict[int, int] = {}
        self.real_of: dict[int, int] = {}
        self.shift: dict[int, Array] = {}
        for index in real.inputs:
            self._activation(index)
        for position, layer in enumerate(real.layers()):
            if position in floats:
                self._float_layer(layer)
            else:
                self._integer_layer(position, layer)

    def graph(self) -> Graph:
        inputs = tuple(self.integer[i] for i in self.real.inputs)
        outputs = tuple(self._as_integer(i) for i in self.real.outputs)
        return replace(self.real, tensors=tuple(self.tensors), nodes=tuple(self.nodes), inputs=inputs, outputs=outputs)

    def _add(self, tensor: Tensor, stands_for: int | None = None) -> int:
        self.tensors.append(tensor)
        if stands_for is not None:
            self.real_of[len(self.tensors) - 1] = stands_for
        return len(self.tensors) - 1

    def _node(
        self, op: str, inputs: tuple[int, ...], outputs: tuple[int, ...], version: int, like: Node | None
    ) -> None:
        attributes = {} if like is None else like.attributes
        self.nodes.append(Node(op, inputs, outputs, attributes, version, len(self.nodes)))

    # Activations

    def _activation(self, index: int) -> int:
        tensor = replace(self.real.tensors[index], dtype=self.dtype, quantization=self.scales.of[index])
        self.integer[index] = self._add(tensor, index)
        return self.integer[index]

    def _as_integer(self, index: int) -> int:
        """The integer form of an activation; a float layer's output is quantized the first time."""
        if index not in self.integer:
            source = self.float[index]
            self._activation(index)
            self.tensors[self.integer[index]] = replace(
                self.tensors[self.integer[index]], name=f"{self.real.tensors[index].name}_{self.dtype}"
            )
            version = CAST_VERSIONS["QUANTIZE", self.dtype]
            self._node("QUANTIZE", (source,), (self.integer[index],), version, None)
        return self.integer[index]

    def _as_float(self, index: int) -> int:
        if index not in self.float:
            tensor = self.real.tensors[index]
            self.float[index] = self._add(replace(tensor, name=f"{tensor.name}_float32"), index)
            source = self.integer[index]
            version = CAST_VERSIONS["DEQUANTIZE", self.dtype]
            self._node("DEQUANTIZE", (source,), (self.float[index],), version, None)
        return self.float[index]

    def _requantized(self, index: int, q: Quantization) -> int:
        source = self._as_integer(index)
        if self.tensors[source].quantization == q:
            return source
        tensor = replace(self.tensors[source], name=f"{self.tensors[source].name}_requantized", quantization=q)
        target = self._add(tensor, index)
        self._node("QUANTIZE", (source,), (target,), CAST_VERSIONS["QUANTIZE", self.dtype], None)
        return target

    # Layers

    def _float_layer(self, layer: Layer) -> None:
        inputs = []
        for index in layer.node.inputs:
            if index < 0:
                inputs.append(-1)
            elif self.real.tensors[index].data is not None:
                inputs.append(self._add(self.real.tensors[index], index))
            else:
                inputs.append(self._as_float(index))
        outputs = []
        for index in layer.node.outputs:
            self.float[index] = self._add(self.real.tensors[index], index)
            outputs.append(self.float[index])
        self._node(layer.op, tuple(inputs), tuple(outputs), layer.node.version, layer.node)

    def _integer_layer(self, position: int, layer: Layer) -> None:
        inputs: tuple[int, ...]
        if linear(layer):
            inputs = self._linear_inputs(position, layer)
        else:
            inputs = tuple(self._input(position, k, layer) for k in range(len(layer.node.inputs)))
        outputs = tuple(self._activation(index) for index in layer.node.outputs)
        # What the float file needed a newer version for (groups, kept dimensions), the integer one needs it for, too.
        version = max(rule(layer.node).versions[self.dtype], layer.node.version)
        self._node(layer.op, inputs, outputs, version, layer.node)

    def _input(self, position: int, k: int, layer: Layer) -> int:
        index = layer.node.inputs[k]
        if index < 0:
            return -1
        tensor = self.real.tensors[index]
        if tensor.data is None:
            q = self.scales.requantized.get((position, k))
            return self._as_integer(index) if q is None else self._requantized(index, q)
        if tensor.dtype != "float32":
            return self._add(tensor, index)
        if rule(layer.node).output == "shared":
            q = self.scales.of[layer.node.outputs[0]]
        else:
            q = activation(float(tensor.data.min(initial=0)), float(tensor.data.max(initial=0)), self.dtype)
        return self._add(replace(tensor, dtype=self.dtype, quantization=q, data=self._held(tensor.data, q)), index)

    def _held(self, values: Array, q: Quantization) -> Array:
        limits = np.iinfo(np.dtype(DTYPES[self.dtype]))
        steps = np.rint(values.astype(np.float64) / q.scale[0]) + q.zero_point[0]
        held: Array = np.clip(steps, limits.min, limits.max).astype(DTYPES[self.dtype])
        return held

    def _linear_inputs(self, position: int, layer: Layer) -> tuple[int, ...]:
        source = self._input(position, 0, layer)
        found = self.weights[position]
        axis = rule(layer.node).channels or 0
        scales = tuple(float(scale) for scale in found.scales)
        q = Quantization(scales, (0,) * len(scales), axis if len(scales) > 1 else 0)
        weights = replace(layer.input(1), dtype="int8", quantization=q, data=found.values)
        filters = self._add(weights, layer.node.inputs[1])
        index = self._add(self._bias(layer, found, self.tensors[source].scale), layer.node.inputs[2])
        if found.shift is not None:
            self.shift[index] = found.shift
        return source, filters, index

    def _bias(self, layer: Layer, found: Weights, source: float) -> Tensor:
        """int32 at the scale input x weights (int64 for int16 activations). Zeros stay: LiteRT refuses a CONV_2D without a bias."""
        assert found.bias is not None
        steps = np.float32(source) * found.scales
        values = np.rint(found.bias.reshape(-1).astype(np.float64) / steps.astype(np.float64))
        dtype = "int32" if self.dtype == "int8" else "int64"
        limit = np.iinfo(np.dtype(DTYPES[dtype]))
        q = Quantization(tuple(float(step) for step in steps), (0,) * len(steps), 0)
        data = np.clip(values, float(limit.min), float(limit.max)).astype(DTYPES[dtype])
        tensor = layer.input(2)
        return Tensor(tensor.name, (len(data),), dtype, q, data)
