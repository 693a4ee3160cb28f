# SPDX-License-Identifier: Apache-2.0
"""Random networks for the memory planner: branches, residuals, concatenations, several outputs, chains in place, views, odd sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from emitted import Maker
from tinyc.graph import Graph, Layer, Node, Quantization, Source, Tensor
from tinyc.ops import all_ops, problems

#: Bytes of the largest tensor.
LARGEST = 3000
ACTIVATIONS = ("NONE", "NONE", "RELU", "RELU6")
#: Adds layers to a tensor, if they fit.
Layers = Callable[[int], bool]
LOOKUPS = {"LOGISTIC": (1 / 256, -128), "SOFTMAX": (1 / 256, -128), "TANH": (1 / 128, 0)}


class Networks(Maker):
    """Grows a network. `images` are the int8 tensors of four dimensions, of which layers are made; `unread` has no reader yet.

    All layers but lookups share one of two quantizations, so that concatenations find partners.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        scales = self.random.uniform(0.02, 0.1, 2)
        self.quantizations = [
            Quantization((float(np.float32(scale)),), (int(zero),))
            for scale, zero in zip(scales, self.random.integers(-30, 30, 2), strict=True)
        ]
        self.images: list[int] = []
        self.unread: list[int] = []
        self.batch = int(self.random.choice([1, 1, 1, 1, 1, 1, 1, 2]))

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.tensors[tensor].shape

    def choice(self, values: Sequence[Any]) -> Any:
        return values[int(self.random.integers(len(values)))]

    def add_input(self, tall: bool) -> None:
        low, high, wide = (8, 25, 7) if tall else (1, 20, 13)
        height, width = int(self.random.integers(low, high)), int(self.random.integers(1, wide))
        depth = int(self.choice([1, 2, 3, 4, 5, 8] if tall else [1, 2, 3, 4, 5, 8, 12, 16]))
        tensor = Tensor(f"input{len(self.tensors)}", (self.batch, height, width, depth), "int8", self.quantization())
        self.images.append(self.add(tensor))
        self.unread.append(self.images[-1])

    def quantization(self) -> Quantization:
        return self.quantizations[int(self.random.random() < 0.25)]

    def layer(self, op: str, inputs: Sequence[int], quantization: Quantization | None, **attributes: Any) -> bool:
        """One more layer with an int8 output, unless that would be too large: whether it was added."""
        node = Node(op, tuple(inputs), (len(self.tensors),), attributes, 1, len(self.nodes))
        sources = tuple(self.tensors[i] for i in inputs)
        draft = Layer(node, sources, (Tensor(f"t{len(self.tensors)}", (0,) * 4, "int8", quantization),))
        shape = tuple(all_ops()[op].output_shapes(draft)[0])
        if not 0 < math.prod(shape) <= LARGEST:
            return False
        output = self.add(replace(draft.output, shape=shape))
        self.nodes.append(node)
        self.unread = [tensor for tensor in self.unread if tensor not in inputs]
        self.unread.append(output)
        if len(shape) == 4:
            self.images.append(output)
        assert problems(Graph(tuple(self.tensors), (), (), ()).layer(node)) == []
        return True

    def weights(self, source: int, shape: tuple[int, ...], axis: int, output: Quantization) -> tuple[int, int]:
        """Filter and bias that spread the outputs over the whole range."""
        channels = shape[axis]
        terms = math.prod(shape) // channels
        real = self.random.uniform(0.4, 2.0, channels) * 60 / (73 * 70 * math.sqrt(terms))
        scales = tuple(float(np.float32(m * output.scale[0] / self.tensors[source].scale)) for m in real)
        values = self.random.integers(-127, 128, shape)
        products = tuple(float(np.float32(self.tensors[source].scale * scale)) for scale in scales)
        return (
            self.constant(values, "int8", Quantization(scales, (0,) * channels, axis)),
            self.constant(
                self.random.integers(-2000, 2000, channels), "int32", Quantization(products, (0,) * channels)
            ),
        )

    # Layers; each takes the image that it reads

    def pointwise(self, source: int) -> bool:
        return self.convolve(source, (1, 1), (1, 1))

    def spatial(self, source: int) -> bool:
        return self.convolve(source, self.choice([(3, 3), (3, 3), (5, 3), (1, 3), (2, 2)]), (1, 1))

    def strided(self, source: int) -> bool:
        return self.convolve(
            source, self.choice([(1, 1), (3, 3), (2, 3)]), self.choice([(2, 2), (2, 1), (1, 2), (3, 2)])
        )

    def convolve(self, source: int, window: tuple[int, int], stride: tuple[int, int]) -> bool:
        depth = self.shape(source)[3]
        filters = int(self.choice([depth, depth, 1, 3, 4, 6, 8, 13, 16]))
        quantization = self.quantization()
        weights = self.weights(source, (filters, *window, depth), 0, quantization)
        return self.layer("CONV_2D", (source, *weights), quantization, **self.geometry(source, window, stride))

    def depthwise(self, source: int) -> bool:
        window = self.choice([(3, 3), (3, 3), (5, 5), (1, 1), (2, 3)])
        stride = self.choice([(1, 1), (1, 1), (1, 1), (2, 2), (2, 1)])
        multiplier = int(self.choice([1, 1, 1, 1, 2, 3]))
        quantization = self.quantization()
        shape = (1, *window, self.shape(source)[3] * multiplier)
        weights = self.weights(source, shape, 3, quantization)
        options = {**self.geometry(source, window, stride), "depth_multiplier": multiplier}
        return self.layer("DEPTHWISE_CONV_2D", (source, *weights), quantization, **options)

    def geometry(self, source: int, window: tuple[int, int], stride: tuple[int, int]) -> dict[str, Any]:
        fits = all(extent >= size for extent, size in zip(self.shape(source)[1:3], window, strict=True))
        padding = "VALID" if fits and self.random.random() < 0.25 else "SAME"
        dilation = (2, 1) if padding == "SAME" and stride == (1, 1) and self.random.random() < 0.1 else (1, 1)
        return {"padding": padding, "stride": stride, "dilation": dilation, "activation": self.choice(ACTIVATIONS)}

    def pool(self, source: int) -> bool:
        op = self.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"])
        window = self.choice([(2, 2), (3, 3), (3, 1)])
        options = self.geometry(source, window, self.choice([(1, 1), (2, 2), (1, 2)]))
        del options["dilation"]
        return self.layer(op, (source,), self.tensors[source].quantization, window=window, **options)

    def average(self, source: int) -> bool:
        """The mean of a whole image."""
        window = self.shape(source)[1:3]
        options = {"padding": "VALID", "stride": self.choice([(1, 1), window]), "activation": "NONE"}
        return self.layer("AVERAGE_POOL_2D", (source,), self.tensors[source].quantization, window=window, **options)

    def combine(self, source: int) -> bool:
        """A residual connection, or the sum of a tensor with itself."""
        same = [t for t in self.images if self.shape(t) == self.shape(source) and t != source]
        other = int(self.choice(same)) if same else source
        pair = (source, other) if self.random.random() < 0.5 else (other, source)
        op = self.choice(["ADD", "ADD", "SUB", "MUL"])
        return self.layer(op, pair, self.quantization(), activation=self.choice(ACTIVATIONS))

    def broadcast(self, source: int) -> bool:
        """With one row of channels, computed where there is one, else constant."""
        depth = self.shape(source)[3]
        gates = [t for t in self.images if self.shape(t) == (1, 1, 1, depth) and t != source]
        gate = int(self.choice(gates)) if gates else None
        if gate is None:
            gate = self.constant(self.random.integers(-128, 128, (depth,)), "int8", self.quantization())
        return self.layer(self.choice(["ADD", "MUL"]), (source, gate), self.quantization(), activation="NONE")

    def elementwise(self, source: int) -> bool:
        op = self.choice(["RELU", "RELU6", "QUANTIZE", *LOOKUPS])
        if op in LOOKUPS:
            scale, zero = LOOKUPS[op]
            options = {"beta": 1.0} if op == "SOFTMAX" else {}
            return self.layer(op, (source,), Quantization((scale,), (zero,)), **options)
        return self.layer(op, (source,), self.quantization())

    def pad(self, source: int) -> bool:
        sides = [[0, 0], *self.random.integers(0, 3, (2, 2)).tolist(), [0, int(self.random.integers(0, 2))]]
        return self.layer("PAD", (source, self.constant(sides, "int32")), self.tensors[source].quantization)

    def concatenate(self, source: int) -> bool:
        axis = int(self.choice([1, 2, 3, 3, 3]))

        def key(tensor: int) -> object:
            others = (*self.shape(tensor)[:axis], *self.shape(tensor)[axis + 1 :])
            return others, self.tensors[tensor].quantization

        fitting = [tensor for tensor in self.images if key(tensor) == key(source)]
        parts = [int(self.choice(fitting)) for _ in range(int(self.random.integers(1, 4)))]
        parts.insert(int(self.random.integers(len(parts) + 1)), source)
        quantization = self.tensors[source].quantization
        return self.layer("CONCATENATION", parts, quantization, axis=axis, activation="NONE")

    def view(self, source: int) -> bool:
        batch, height, width, depth = self.shape(source)
        shape = self.choice(
            [(batch, width, height, depth), (batch, height * width, 1, depth), (batch, 1, height, width * depth)]
        )
        table = self.constant(shape, "int32")
        return self.layer("RESHAPE", (source, table), self.tensors[source].quantization, new_shape=shape)

    def mean(self, source: int) -> bool:
        axes = self.constant([1, 2], "int32")
        return self.layer("MEAN", (source, axes), self.quantization(), keep_dims=bool(self.random.integers(2)))

    def dense(self, source: int) -> bool:
        """The channels of every pixel, or the whole image, by a matrix; the result is an image again."""
        batch, height, width, depth = self.shape(source)
        units = int(self.choice([1, 4, 7, 10, depth]))
        rows, columns = self.choice([(batch * height * width, depth), (batch, height * width * depth)])
        if rows * units > LARGEST:
            return False
        quantization = self.quantization()
        weights = self.weights(source, (units, columns), 0, quantization)
        output = self.add(Tensor(f"t{len(self.tensors)}", (rows, units), "int8", quantization))
        options = {"activation": "NONE", "weights_format": "DEFAULT", "keep_num_dims": False}
        self.node("FULLY_CONNECTED", (source, *weights), output, **options)
        self.unread = [tensor for tensor in self.unread if tensor != source]
        shape = (1, rows, 1, units)
        return self.layer("RESHAPE", (output, self.constant(shape, "int32")), quantization, new_shape=shape)

    def inverted_residual(self, source: int) -> bool:
        """More channels, a spatial layer, fewer channels, and back to the input where the shapes allow: row streaming's own."""
        depth = self.shape(source)[3]
        quantization = self.quantizations[0]

        def add(filters: int, window: tuple[int, int], stride: tuple[int, int]) -> bool:
            at = self.images[-1]
            options = {"padding": "SAME", "stride": stride, "dilation": (1, 1), "activation": self.choice(ACTIVATIONS)}
            weights = self.weights(at, (filters, *window, self.shape(at)[3]), 0, quantization)
            return self.layer("CONV_2D", (at, *weights), quantization, **options)

        if self.images[-1] != source or not add(depth * int(self.choice([2, 3, 4])), (1, 1), (1, 1)):
            return False
        for layer in (self.depthwise, self.elementwise, self.depthwise)[: int(self.choice([1, 2, 2, 3]))]:
            layer(self.images[-1])
        stride = self.choice([(1, 1), (1, 1), (2, 1)])
        if not add(depth, self.choice([(1, 1), (1, 1), (3, 3)]), stride):
            return False
        if self.shape(self.images[-1]) == self.shape(source):
            self.layer("ADD", (self.images[-1], source), quantization, activation="NONE")
        return True

    def grow(self, kinds: Mapping[Layers, float]) -> None:
        """One more layer or block, on the newest tensor more often than not."""
        source = self.images[-1] if self.random.random() < 0.6 else int(self.choice(self.images[-6:]))
        weights = np.array(list(kinds.values()))
        list(kinds)[int(self.random.choice(len(weights), p=weights / weights.sum()))](source)

    def blocks(self) -> Mapping[Layers, float]:
        """What tall images are made of."""
        return {self.inverted_residual: 4, self.pool: 1, self.elementwise: 1, self.combine: 1, self.view: 0.2}

    def all_kinds(self) -> Mapping[Layers, float]:
        return {
            self.pointwise: 4,
            self.spatial: 3,
            self.strided: 1.5,
            self.depthwise: 4,
            self.pool: 1.5,
            self.combine: 4,
            self.broadcast: 1,
            self.elementwise: 2,
            self.pad: 1,
            self.concatenate: 2.5,
            self.view: 1,
            self.average: 0.3,
            self.mean: 0.3,
            self.dense: 0.7,
        }

    def finished(self, name: str) -> Graph:
        """With the tensors that nothing reads as outputs, most of them, and some others."""
        random = self.random
        outputs = [self.unread[-1], *(t for t in self.unread[:-1] if random.random() < 0.8)]
        if random.random() < 0.2:
            outputs.append(int(self.choice(self.images)))
        if random.random() < 0.1:
            real = self.add(Tensor("real", self.shape(outputs[0]), "float32"))
            outputs.append(self.node("DEQUANTIZE", (outputs[0],), real))
        inputs = tuple(i for i, tensor in enumerate(self.tensors) if tensor.name.startswith("input"))
        source = Source(f"{name}.tflite", "0" * 64, 1)
        return Graph(tuple(self.tensors), tuple(self.nodes), inputs, tuple(outputs), source=source)


def memory_graph(seed: int) -> Graph:
    """A valid network of 1 to 3 inputs and about 2 to 15 layers; every other one of blocks on tall images."""
    maker = Networks(seed)
    tall = seed % 2 == 1
    for _ in range(1 if tall else int(maker.choice([1, 1, 1, 2, 3]))):
        maker.add_input(tall)
    count = int(maker.random.integers(2, 15))
    while len(maker.nodes) < count:
        maker.grow(maker.blocks() if tall and maker.random.random() < 0.8 else maker.all_kinds())
    if tall and maker.random.random() < 0.4:
        maker.average(maker.images[-1])
    return maker.finished(f"memory{seed}")
