# SPDX-License-Identifier: Apache-2.0
"""The integer network in float32: every activation rounded as its integers are. Close to the integers and much faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..graph import Array, Graph, Layer
from . import execute
from .prepare import channel_axis, linear
from .result import Settings
from .scales import Scales, fake
from .weights import Weights, real_weights


def simulated(
    graph: Graph,
    scales: Scales,
    weights: Mapping[int, Weights],
    floats: frozenset[int],
    settings: Settings,
    arrays: Sequence[Array],
) -> list[Array]:
    """The network's outputs [n, *sample shape] as the integer network gives them, but for a step here and there."""
    position_of = {node.outputs[0]: position for position, node in enumerate(graph.nodes)}
    dtype = settings.activations

    def compute(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
        position = position_of[layer.node.outputs[0]]
        held = [
            array
            if array is None or index not in scales.of
            else fake(array, scales.requantized.get((position, k), scales.of[index]), dtype)
            for k, (index, array) in enumerate(zip(layer.node.inputs, inputs, strict=True))
        ]
        if position in floats:
            return execute.real(layer, held)
        if linear(layer):
            found = weights[position]
            axis = channel_axis(layer.op) if settings.per_channel else None
            held[1:3] = [real_weights(found, axis), None if found.bias is None else found.bias.astype(np.float32)]
        results = execute.real(layer, held)
        return [fake(result, scales.of[i], dtype) for i, result in zip(layer.node.outputs, results, strict=True)]

    return execute.outputs(graph, arrays, compute)


def sqnr(real: Sequence[Array], near: Sequence[Array]) -> float:
    """Signal to quantization noise in dB over all outputs: 10 log10 of the mean square over the mean squared difference."""
    signal = noise = 0.0
    for exact, approximate in zip(real, near, strict=True):
        power = float((exact.astype(np.float64) ** 2).mean())
        error = float(((exact.astype(np.float64) - approximate) ** 2).mean())
        signal, noise = signal + power, noise + error
    if noise == 0.0:
        return float("inf")
    return float(10 * np.log10(max(signal, 1e-300) / noise))
