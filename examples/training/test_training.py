# SPDX-License-Identifier: Apache-2.0
"""Tests of the training code: `pytest examples/training`."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from tinyc.exporters.tflite import to_bytes
from tinyc.importers.tflite import from_bytes
from tinyc.quantize import execute, quantize

from .fit import Loss, accuracy, fit, predict, softmax_cross_entropy, squared_error
from .graph import to_graph
from .layers import (
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
from .metrics import area_under_curve

RANDOM = np.random.default_rng(5)
LAYERS = {
    "dense": (Dense(RANDOM, 5, 4), (3, 5)),
    "conv": (Conv2D(RANDOM, (3, 4), 2, 3), (2, 7, 6, 2)),
    "conv stride 2": (Conv2D(RANDOM, (3, 4), 2, 3, stride=2), (2, 7, 6, 2)),
    "depthwise": (DepthwiseConv2D(RANDOM, (3, 4), 3), (2, 7, 6, 3)),
    "depthwise stride 2": (DepthwiseConv2D(RANDOM, (2, 3), 3, stride=2), (2, 7, 6, 3)),
    "batch norm": (BatchNorm(3), (4, 3, 2, 3)),
    "relu": (Relu(), (4, 9)),
    "relu 6": (Relu6(), (4, 9)),
    "residual": (Residual([Conv2D(RANDOM, (3, 3), 3, 3), BatchNorm(3)]), (4, 5, 4, 3)),
    "max pool": (MaxPool2D((2, 3)), (2, 4, 6, 3)),
    "average pool": (AveragePool2D((2, 3)), (2, 4, 6, 3)),
    "flatten": (Flatten(), (2, 4, 6, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_backward_is_the_slope_of_forward(name: str) -> None:
    layer, shape = LAYERS[name]
    random = np.random.default_rng(6)
    x = random.normal(size=shape).astype(np.float32)
    direction = random.normal(size=layer.forward(x, training=True).shape).astype(np.float32)
    gradients = [layer.backward(direction), *(parameter.gradient.copy() for parameter in layer.parameters())]
    arrays = [x, *(parameter.value for parameter in layer.parameters())]

    def loss_at(array: np.ndarray, index: tuple[int, ...], step: float) -> float:
        kept = array[index]
        array[index] = kept + step
        loss = float((layer.forward(x, training=True).astype(np.float64) * direction).sum())
        array[index] = kept
        return loss

    for array, gradient in zip(arrays, gradients, strict=True):
        assert gradient.shape == array.shape
        for _ in range(8):
            index = tuple(int(random.integers(extent)) for extent in array.shape)
            slope = (loss_at(array, index, 0.005) - loss_at(array, index, -0.005)) / 0.01
            assert gradient[index] == pytest.approx(slope, rel=0.02, abs=0.02)


@pytest.mark.parametrize("loss", [softmax_cross_entropy, squared_error])
def test_gradient_of_loss(loss: Loss) -> None:
    random = np.random.default_rng(7)
    outputs = random.normal(size=(4, 3)).astype(np.float32)
    targets = np.array([0, 2, 1, 2]) if loss is softmax_cross_entropy else random.normal(size=(4, 3))
    _, gradient = loss(outputs, targets)
    for index in np.ndindex(outputs.shape):
        step = np.zeros_like(outputs)
        step[index] = 0.01
        slope = (loss(outputs + step, targets)[0] - loss(outputs - step, targets)[0]) / 0.02
        assert gradient[index] == pytest.approx(slope, rel=0.02, abs=0.002)


def small_classifier() -> tuple[list[Layer], np.ndarray, np.ndarray]:
    """A trained network that tells images brighter on the left from those brighter above, and its data."""
    random = np.random.default_rng(8)
    labels = random.integers(0, 2, 400)
    images = random.normal(size=(400, 4, 4, 1)).astype(np.float32)
    images[labels == 0, :, :2] += 1
    images[labels == 1, :2] += 1
    layers = [
        *(Conv2D(random, (3, 3), 1, 6), BatchNorm(6), Relu()),
        *(DepthwiseConv2D(random, (3, 3), 6), BatchNorm(6), Relu()),
        MaxPool2D((2, 2)),
        Flatten(),
        Dense(random, 24, 2),
    ]
    losses: list[float] = []
    fit(
        layers,
        images,
        labels,
        softmax_cross_entropy,
        epochs=10,
        batch=20,
        rate=0.01,
        random=random,
        report=lambda epoch, loss: losses.append(loss),
    )
    assert losses[-1] < losses[0] / 2
    return layers, images, labels


def test_trained_folded_and_quantized() -> None:
    """Training learns, folding batch norm changes nothing, and the files hold the chain with its labels."""
    layers, images, labels = small_classifier()
    assert accuracy(layers, images, labels) > 0.9

    graph = to_graph(layers, images.shape[1:], labels=("left", "above"))
    assert [(node.op, node.attributes.get("activation")) for node in graph.nodes] == [
        ("CONV_2D", "RELU"),
        ("DEPTHWISE_CONV_2D", "RELU"),
        ("MAX_POOL_2D", "NONE"),
        ("RESHAPE", None),
        ("FULLY_CONNECTED", "NONE"),
    ]
    scores = predict(layers, images)
    (found,) = execute.outputs(graph, [images])
    np.testing.assert_allclose(found.reshape(scores.shape), scores, rtol=1e-4, atol=1e-4)

    quantized = quantize(graph, [images]).graph
    for file, dtype in ((to_bytes(graph), "float32"), (to_bytes(quantized), "int8")):
        read = from_bytes(file, "small.tflite")
        assert [node.op for node in read.nodes] == [node.op for node in graph.nodes]
        assert read.input_tensors[0].dtype == dtype
        assert read.labels == ("left", "above")
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            assert archive.read("labels.txt") == b"left\nabove\n"


def test_residual_block_becomes_add() -> None:
    random = np.random.default_rng(11)
    layers = [
        *(Conv2D(random, (3, 3), 1, 4), Relu6()),
        *(Residual([Conv2D(random, (3, 3), 4, 4), BatchNorm(4)]), Relu()),
        *(Flatten(), Dense(random, 64, 3)),
    ]
    images = random.normal(size=(5, 4, 4, 1)).astype(np.float32)
    graph = to_graph(layers, images.shape[1:], softmax=True)
    assert [node.op for node in graph.nodes] == [
        "CONV_2D",
        "CONV_2D",
        "ADD",
        "RESHAPE",
        "FULLY_CONNECTED",
        "SOFTMAX",
    ]
    assert [node.attributes["activation"] for node in graph.nodes[:3]] == ["RELU6", "NONE", "RELU"]
    (scores,) = execute.outputs(graph, [images])
    exponentials = np.exp(predict(layers, images))
    np.testing.assert_allclose(
        scores.reshape(5, 3), exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-5
    )


def test_a_chain_without_operators_is_refused() -> None:
    with pytest.raises(TypeError, match="BatchNorm"):
        to_graph([Conv2D(RANDOM, (3, 3), 3, 3), Relu(), BatchNorm(3)], (4, 4, 3))
    with pytest.raises(TypeError, match="MaxPool2D"):
        to_graph([MaxPool2D((2, 2)), BatchNorm(3)], (4, 4, 3))


def test_area_under_curve() -> None:
    anomalous = np.array([False, False, True, True])
    assert area_under_curve(np.array([1, 2, 3, 4]), anomalous) == 1.0
    assert area_under_curve(np.array([4, 3, 2, 1]), anomalous) == 0.0
    assert area_under_curve(np.array([1, 3, 2, 3]), anomalous) == (1 + 0 + 1 + 0.5) / 4
