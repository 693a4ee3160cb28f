# SPDX-License-Identifier: Apache-2.0
"""Quantized weights and corrected biases, layer after layer, on what the layers before really give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Array, Graph, Layer
from ..ops import _convolution
from . import execute
from .prepare import channel_axis, linear
from .result import Settings
from .scales import Scales, fake, weight_scales

#: Bytes that the activations of all samples may take while biases are corrected, float and quantized ones together.
MEMORY = 320 << 20
#: Rows of inputs that one layer's GPTQ looks at.
GPTQ_ROWS = 16384


@dataclass(frozen=True, eq=False)
class Weights:
    """One layer's integers: `values` int8 in the shape of its weights, `scales` float32 per channel (or one), the bias in real
    units [channels] or None, and what correction added to it."""

    values: Array
    scales: Array
    bias: Array | None
    shift: Array | None = None


def quantize_weights(
    graph: Graph,
    scales: Scales,
    floats: frozenset[int],
    arrays: Sequence[Array],
    settings: Settings,
    progress: Callable[[str], None] = lambda text: None,
    grids: Mapping[int, tuple[float, ...]] | None = None,
) -> Mapping[int, Weights]:
    """Node position → its weights.

    Samples run twice through the network, once in float32 and once as the integers will have them; each layer's bias makes up for
    the mean difference that its quantized weights and inputs cause. `grids` are the steps on which weights lie that were integers.
    """
    grids = grids or {}
    if not settings.bias_correction and settings.rounding == "nearest":
        return {
            position: _nearest(layer, *_known(graph, scales, position, layer, settings), grids)
            for position, layer in enumerate(graph.layers())
            if position not in floats and linear(layer)
        }
    return _Walk(graph, scales, floats, _few(graph, arrays), settings, progress, grids).run()


def _few(graph: Graph, arrays: Sequence[Array]) -> Sequence[Array]:
    """As many samples as the memory holds."""
    count = max(1, MEMORY // max(1, 2 * execute.live_bytes(graph)))
    return [array[:count] for array in arrays]


def _known(graph: Graph, scales: Scales, position: int, layer: Layer, settings: Settings) -> tuple[float, int | None]:
    """(scale of the input, axis of the channels or None)."""
    source = scales.requantized.get((position, 0)) or scales.of[layer.node.inputs[0]]
    return source.scale[0], channel_axis(layer.op) if settings.per_channel else None


def bias_of(layer: Layer) -> Array | None:
    bias = layer.optional(2)
    return None if bias is None else bias.data


def _nearest(layer: Layer, source: float, axis: int | None, grids: Mapping[int, tuple[float, ...]]) -> Weights:
    weights, bias = layer.input(1).data, bias_of(layer)
    assert weights is not None
    found = weight_scales(weights, axis, bias, source)
    grid = grids.get(layer.node.inputs[1])
    if grid is not None and len(grid) in (1, len(found)):
        own = np.broadcast_to(np.array(grid, np.float32), found.shape)
        better = _errors(weights, own, axis) <= _errors(weights, found, axis)
        found = np.where(better & (own >= weight_scales(weights * 0, axis, bias, source)), own, found)
    return Weights(_rounded(weights, found, axis), found, bias)


def _rounded(weights: Array, scales: Array, axis: int | None) -> Array:
    rounded: Array = np.clip(np.rint(weights / _along(scales, weights.ndim, axis)), -127, 127).astype(np.int8)
    return rounded


def _errors(weights: Array, scales: Array, axis: int | None) -> Array:
    """The summed squared error of rounding, one number per scale."""
    along = _along(scales, weights.ndim, axis)
    error = (_rounded(weights, scales, axis) * along - weights.astype(np.float64)) ** 2
    summed: Array = error.sum(axis=tuple(k for k in range(weights.ndim) if k != axis)).reshape(-1)
    return summed


def _along(scales: Array, dimensions: int, axis: int | None) -> Array:
    """Scales shaped to multiply weights."""
    shape = [1] * dimensions
    if axis is not None:
        shape[axis] = -1
    return scales.astype(np.float64).reshape(shape)


def real_weights(found: Weights, axis: int | None) -> Array:
    """The weights that the integers stand for, float32."""
    values: Array = (found.values * _along(found.scales, found.values.ndim, axis)).astype(np.float32)
    return values


class _Walk:
    """Both runs of the samples, layer after layer."""

    def __init__(
        self,
        graph: Graph,
        scales: Scales,
        floats: frozenset[int],
        arrays: Sequence[Array],
        settings: Settings,
        progress: Callable[[str], None],
        grids: Mapping[int, tuple[float, ...]],
    ) -> None:
        self.grids = grids
        self.graph, self.scales, self.floats, self.settings, self.progress = graph, scales, floats, settings, progress
        self.dtype = settings.activations
        self.real: dict[int, Array] = dict(zip(graph.inputs, arrays, strict=True))
        self.held = {i: fake(array, scales.of[i], self.dtype) for i, array in self.real.items()}
        self.found: dict[int, Weights] = {}

    def run(self) -> Mapping[int, Weights]:
        ends = {i: position for position, node in enumerate(self.graph.nodes) for i in node.inputs}
        count = len(self.graph.nodes)
        for position, layer in enumerate(self.graph.layers()):
            self.progress(f"weights and biases: layer {position + 1} of {count}")
            self._step(position, layer)
            for live in (self.real, self.held):
                for index in [i for i in live if ends.get(i, -1) <= position]:
                    del live[index]
        return self.found

    def _step(self, position: int, layer: Layer) -> None:
        real, held = self._inputs(layer, self.real), self._inputs(layer, self.held)
        if position in self.floats:
            self._store(layer, self._compute(layer, real), self._compute(layer, held))
            return
        for k, q in ((k, q) for (node, k), q in self.scales.requantized.items() if node == position):
            array = held[k]
            assert array is not None
            held[k] = fake(array, q, self.dtype)
        results = self._compute(layer, real)
        approximate = self._linear(position, layer, real, held) if linear(layer) else self._compute(layer, held)
        self._store(layer, results, approximate)

    def _store(self, layer: Layer, results: Sequence[Array], approximate: Sequence[Array]) -> None:
        for index, exact, near in zip(layer.node.outputs, results, approximate, strict=True):
            self.real[index], self.held[index] = exact, fake(near, self.scales.of[index], self.dtype)

    def _inputs(self, layer: Layer, live: Mapping[int, Array]) -> list[Array | None]:
        return [None if i < 0 else live.get(i, self.graph.tensors[i].data) for i in layer.node.inputs]

    def _compute(self, layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
        return execute.layer_outputs(self.graph, layer, inputs)

    def _linear(
        self, position: int, layer: Layer, real: Sequence[Array | None], held: list[Array | None]
    ) -> Sequence[Array]:
        """The layer's output with its integers, which go into `found`."""
        source, axis = _known(self.graph, self.scales, position, layer, self.settings)
        found = _nearest(layer, source, axis, self.grids)
        if self.settings.rounding == "gptq":
            assert held[0] is not None
            found = gptq(layer, found, axis, held[0])
        plain = replace(layer, node=replace(layer.node, attributes={**layer.attributes, "activation": "NONE"}))
        bias = np.zeros(layer.output.shape[-1], np.float32) if found.bias is None else found.bias.reshape(-1)
        weights = real_weights(found, axis)
        [near] = self._compute(plain, [held[0], weights, bias])
        if self.settings.bias_correction:
            [exact] = self._compute(plain, [real[0], layer.input(1).data, bias])
            shift = _mean_difference(exact, near)
            near = near + shift
            found = replace(found, bias=(bias + shift).astype(np.float32), shift=shift)
        self.found[position] = found
        return [clamp(near, layer.attributes["activation"])]


def _mean_difference(exact: Array, near: Array) -> Array:
    """Per channel (the last axis), over all samples and positions; float32."""
    axes = tuple(range(exact.ndim - 1))
    difference: Array = (exact.astype(np.float64) - near).mean(axis=axes).astype(np.float32)
    return difference


def clamp(values: Array, activation: str) -> Array:
    """A fused activation on real values."""
    low, high = {"RELU": (0.0, np.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}.get(
        activation, (-np.inf, np.inf)
    )
    clamped: Array = np.clip(values, np.float32(low), np.float32(high))
    return clamped


# GPTQ


def gptq(layer: Layer, nearest: Weights, axis: int | None, inputs: Array) -> Weights:
    """Weights rounded one after the other, each error passed on to those not yet rounded (Frantar et al. 2022, arXiv 2210.17323).

    For CONV_2D in one group and FULLY_CONNECTED; other layers keep the nearest integers.
    """
    columns = _columns(layer, inputs)
    weights = layer.input(1).data
    if columns is None or weights is None:
        return nearest
    matrix = weights.reshape(weights.shape[0], -1).astype(np.float64)
    scales = np.broadcast_to(nearest.scales.astype(np.float64), (len(matrix),))
    values = _gptq_rounded(matrix, scales, columns.astype(np.float64))
    return replace(nearest, values=values.reshape(weights.shape).astype(np.int8))


def _gptq_rounded(matrix: Array, scales: Array, columns: Array) -> Array:
    hessian = columns.T @ columns / len(columns)
    hessian += np.eye(len(hessian)) * (0.01 * float(np.diag(hessian).mean()) + 1e-9)
    factor = np.linalg.cholesky(np.linalg.inv(hessian)).T
    left, rounded = matrix.copy(), np.zeros_like(matrix)
    for k in range(matrix.shape[1]):
        rounded[:, k] = np.clip(np.rint(left[:, k] / scales), -127, 127)
        error = (left[:, k] - rounded[:, k] * scales) / factor[k, k]
        left[:, k:] -= np.outer(error, factor[k, k:])
    return rounded


def _columns(layer: Layer, inputs: Array) -> Array | None:
    """The rows of values that the layer's weights multiply, at most `GPTQ_ROWS` of them, evenly spread; None where not supported."""
    weights = layer.input(1)
    if layer.op == "FULLY_CONNECTED":
        rows = inputs.reshape(-1, weights.shape[-1])
        return rows[:: -(-len(rows) // GPTQ_ROWS)]
    if layer.op != "CONV_2D" or weights.shape[3] != layer.input(0).shape[3] or inputs.ndim != 4:
        return None
    height, width = _convolution.axes(layer)
    picked = inputs[:: -(-len(inputs) * height.output * width.output // GPTQ_ROWS)]
    shape = (len(picked), height.output, width.output, *weights.shape[1:])
    columns = np.zeros(shape, np.float32)
    for (ky, kx), outside, inside in _convolution.taps(layer):
        columns[:, *outside, ky, kx] = picked[:, *inside]
    rows = columns.reshape(-1, weights.elements // weights.shape[0])
    return rows[:: -(-len(rows) // GPTQ_ROWS)]
