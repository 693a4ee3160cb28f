# SPDX-License-Identifier: Apache-2.0
"""From ranges to scales and zero points, by TFLite's quantization specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..graph import Array, Graph, Node, Quantization
from ..ops import Integer, all_ops
from .result import Settings

#: Biases stay below this many steps, so that sums with them fit in 32 bits.
BIAS_LIMIT = float(1 << 30)


def activation(low: float, high: float, dtype: str) -> Quantization:
    """int8: asymmetric over [low, high] widened to include 0, which lies exactly on a step. int16: symmetric, zero point 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    if dtype == "int16":
        return Quantization((_scale(max(-low, high) / 32767),), (0,))
    scale = _scale((high - low) / 255)
    return Quantization((scale,), (int(np.clip(round(-128 - low / scale), -128, 127)),))


def _scale(step: float) -> float:
    """A positive float32 that also other cores keep (no subnormal); 1/128 for a tensor that is always 0."""
    return float(np.float32(max(step, 2.0**-100))) if step > 0 else 1 / 128


def reach(q: Quantization, dtype: str) -> tuple[float, float]:
    """The smallest and largest real value."""
    low, high = (-128, 127) if dtype == "int8" else (-32768, 32767)
    return q.scale[0] * (low - q.zero_point[0]), q.scale[0] * (high - q.zero_point[0])


def fake(values: Array, q: Quantization, dtype: str) -> Array:
    """float32 values as `q` holds them."""
    low, high = (-128, 127) if dtype == "int8" else (-32768, 32767)
    scale, zero_point = np.float32(q.scale[0]), np.float32(q.zero_point[0])
    steps = np.rint(values / scale) + zero_point
    np.clip(steps, low, high, out=steps)
    steps -= zero_point
    steps *= scale
    return steps


def weight_scales(weights: Array, axis: int | None, bias: Array | None, source: float) -> Array:
    """Symmetric scales, int8 -127 to 127: one per index of `axis`, or one in all when that is None; float32.

    A channel of zeros gets a scale that its bias needs; no scale is so small that a bias exceeds its integers.
    """
    axes = tuple(k for k in range(weights.ndim) if k != axis)
    largest = np.abs(weights.astype(np.float64)).max(axis=axes).reshape(-1)
    scales = largest / 127
    if bias is not None:
        needed = np.abs(bias.astype(np.float64).reshape(-1)) / (source * BIAS_LIMIT)
        scales = np.maximum(scales, needed if axis is not None else needed.max(initial=0.0))
    scales = np.where(scales > 0, scales, max(float(scales.max(initial=0.0)), 2.0**-20))
    return np.maximum(scales, 2.0**-100).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Scales:
    """The quantization of every activation of a prepared graph.

    Attributes:
        of: tensor → its quantization.
        requantized: (node position, input position) → the quantization in which the layer takes that input, where it differs.
    """

    of: Mapping[int, Quantization]
    requantized: Mapping[tuple[int, int], Quantization]


def assign(
    graph: Graph,
    ranges: Mapping[int, tuple[float, float]],
    known: Mapping[int, Quantization],
    floats: frozenset[int],
    settings: Settings,
) -> Scales:
    """Scales for all activations: tensors that an operator wants at one scale share it; fixed ones are as the specification says.

    Args:
        graph: prepared float32 graph.
        ranges: tensor → (low, high).
        known: the int8 quantization that the file fixed, where it did.
        floats: positions of nodes that stay float32.
        settings: what was asked for.
    """
    return _Groups(graph, ranges, known, floats, settings.activations).scales()


def rule(node: Node) -> Integer:
    found = all_ops()[node.op].integer
    assert found is not None, node.op
    return found


class _Groups:
    """Sets of tensors that have one quantization, while they are being found."""

    def __init__(
        self,
        graph: Graph,
        ranges: Mapping[int, tuple[float, float]],
        known: Mapping[int, Quantization],
        floats: frozenset[int],
        dtype: str,
    ) -> None:
        self.graph, self.ranges, self.floats, self.dtype = graph, ranges, floats, dtype
        self.parent: dict[int, int] = {}
        self.fixed: dict[int, Quantization] = {}
        if dtype == "int8":
            self.fixed.update((index, q) for index, q in known.items() if index in ranges)

    def find(self, index: int) -> int:
        while self.parent.get(index, index) != index:
            index = self.parent[index]
        return index

    def join(self, a: int, b: int) -> None:
        a, b = self.find(a), self.find(b)
        if a != b:
            self.parent[b] = a
            if b in self.fixed:
                self.fixed[a] = self.fixed[b]

    def scales(self) -> Scales:
        shared = []
        for position, node in enumerate(self.graph.nodes):
            if position in self.floats:
                continue
            found = rule(node)
            if found.output == "fixed":
                self.fixed[node.outputs[0]] = found.fixed[self.dtype]
            elif found.output == "shared":
                shared.append((position, node))
        apart = [pair for position, node in shared for pair in self._share(position, node)]
        quantization = self._of_groups()
        of = {index: quantization[self.find(index)] for index in self.ranges}
        return Scales(of, {(position, k): of[self.graph.nodes[position].outputs[0]] for position, k in apart})

    def _share(self, position: int, node: Node) -> list[tuple[int, int]]:
        """Joins a layer's inputs and output; the inputs that cannot join, since what is fixed for them differs."""
        output, apart = node.outputs[0], []
        inputs = [(k, i) for k, i in enumerate(node.inputs) if i >= 0 and i in self.ranges]
        fixed = [self.fixed.get(self.find(i)) for _, i in inputs]
        same = all(q == fixed[0] for q in fixed) and self.fixed.get(self.find(output), fixed[0]) == fixed[0]
        for (k, index), q in zip(inputs, fixed, strict=True):
            own = self.fixed.get(self.find(output))
            if same or (q is None and own is None) or (len(inputs) == 1 and (own is None or q is None or own == q)):
                self.join(output, index)
            else:
                apart.append((k, index))
        return [(position, k) for k, _ in apart]

    def _of_groups(self) -> Mapping[int, Quantization]:
        ends: dict[int, tuple[float, float]] = {}
        for index, (low, high) in self.ranges.items():
            root = self.find(index)
            before = ends.get(root, (low, high))
            ends[root] = min(before[0], low), max(before[1], high)
        return {
            root: self.fixed[root] if root in self.fixed else activation(low, high, self.dtype)
            for root, (low, high) in ends.items()
        }
