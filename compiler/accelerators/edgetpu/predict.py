# SPDX-License-Identifier: Apache-2.0
"""Bytes of the chip's memory that a model's parameters will take, by the layouts in :mod:`.parameters`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ...graph import Graph
from .parameters import device_weights, headers

#: Parameter memory that users report as usable, of about 8 MB; the rest is for activations and differs by model.
USABLE_LOW = int(7.6 * (1 << 20))
USABLE_HIGH = int(7.9 * (1 << 20))


@dataclass(frozen=True)
class LayerMemory:
    """A layer with weights: bytes in the original, and on the chip (four for each depthwise weight)."""

    index: int
    op: str
    name: str
    original: int
    chip: int
    diagonal: bool


@dataclass(frozen=True)
class Prediction:
    """What the layers take together. `unknown` counts layers with weights of an unknown layout."""

    layers: tuple[LayerMemory, ...]
    unknown: int

    @property
    def chip(self) -> int:
        return sum(layer.chip for layer in self.layers)

    @property
    def fit(self) -> str:
        """`fits`, `perhaps` or `streams`: what does not fit is sent anew for each inference."""
        if self.chip <= USABLE_LOW:
            return "fits"
        return "perhaps" if self.chip <= USABLE_HIGH else "streams"

    @property
    def streamed(self) -> int:
        """Bytes sent for each inference, at least."""
        return max(0, self.chip - USABLE_HIGH)


def predict(graph: Graph, nodes: Collection[int]) -> Prediction:
    """For the operators of `graph` with these indices."""
    layers, unknown = [], 0
    for layer in graph.layers():
        if layer.node.index not in nodes:
            continue
        weights = device_weights(layer)
        constant = sum(t.bytes for t in layer.inputs if t is not None and t.constant and t.dtype in ("int8", "uint8"))
        if weights is None:
            unknown += constant > 0
            continue
        size = weights.bytes(headers(layer)[0])
        name = layer.output.name
        layers.append(LayerMemory(layer.node.index, layer.op, name, constant, size, weights.diagonal))
    return Prediction(tuple(layers), unknown)
