# SPDX-License-Identifier: Apache-2.0
"""Trains a chain of layers: two losses, Adam, and the loop over epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .layers import Array, Layer, Parameter

#: From the network's outputs and the targets to the mean loss and its gradient with respect to the outputs.
Loss = Callable[[Array, npt.NDArray[Any]], tuple[float, Array]]


def predict(layers: Sequence[Layer], inputs: Array, training: bool = False) -> Array:
    """The outputs of the chain for a batch."""
    for layer in layers:
        inputs = layer.forward(inputs, training)
    return inputs


def accuracy(layers: Sequence[Layer], inputs: Array, labels: npt.NDArray[Any]) -> float:
    """The share of inputs whose largest output is the label's."""
    return float((predict(layers, inputs).argmax(axis=1) == labels).mean())


def softmax_cross_entropy(logits: Array, labels: npt.NDArray[Any]) -> tuple[float, Array]:
    """For classifiers; `labels` are class numbers."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(np.maximum(probabilities[rows, labels], 1e-12)).mean()
    probabilities[rows, labels] -= 1
    return float(loss), probabilities / np.float32(len(labels))


def squared_error(outputs: Array, targets: npt.NDArray[Any]) -> tuple[float, Array]:
    """For regression."""
    error = outputs - targets
    return float((error**2).mean()), 2 * error / np.float32(error.size)


class Adam:
    """Kingma and Ba 2014 (arXiv 1412.6980), with the constants of the paper."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.slots = [(p, np.zeros_like(p.value), np.zeros_like(p.value)) for p in parameters]
        self.steps = 0

    def step(self, rate: float) -> None:
        self.steps += 1
        correction = np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        for parameter, mean, square in self.slots:
            mean += np.float32(0.1) * (parameter.gradient - mean)
            square += np.float32(0.001) * (parameter.gradient**2 - square)
            parameter.value -= np.float32(rate * correction) * mean / (np.sqrt(square) + np.float32(1e-8))


def fit(
    layers: Sequence[Layer],
    inputs: Array,
    targets: npt.NDArray[Any],
    loss: Loss,
    *,
    epochs: int,
    batch: int,
    rate: float,
    random: np.random.Generator,
    report: Callable[[int, float], None],
) -> None:
    """Train `layers` in place. The learning rate falls from `rate` to 0 along a half cosine.

    `report` is called after each epoch with its number from 1 and its mean loss.
    """
    adam = Adam([parameter for layer in layers for parameter in layer.parameters()])
    batches = -(-len(inputs) // batch)
    for epoch in range(epochs):
        order, total = random.permutation(len(inputs)), 0.0
        for step in range(batches):
            chosen = order[step * batch : (step + 1) * batch]
            value, gradient = loss(predict(layers, inputs[chosen], training=True), targets[chosen])
            for layer in reversed(layers):
                gradient = layer.backward(gradient)
            done = (epoch * batches + step) / (epochs * batches)
            adam.step(rate * 0.5 * (1 + np.cos(np.pi * done)))
            total += value * len(chosen)
        report(epoch + 1, total / len(inputs))
