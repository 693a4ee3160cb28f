# SPDX-License-Identifier: Apache-2.0
"""Tests of the training code: `pytest examples/training`."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from tinyc.importers.tflite import from_bytes

from .fit import Loss, accuracy, fit, predict, softmax_cross_entropy, squared_error
from .labels import to_labelled_bytes
from .layers import AveragePool2D, BatchNorm, Conv2D, Dense, DepthwiseConv2D, Flatten, Layer, MaxPool2D, Relu
from .quantize import activation_range, dequantize, quantize, quantize_weights, stages, to_graph

RANDOM = np.random.default_rng(5)
LAYERS = {
    "dense": (Dense(RANDOM, 5, 4), (3, 5)),
    "conv": (Conv2D(RANDOM, (3, 4), 2, 3), (2, 7, 6, 2)),
    "conv stride 2": (Conv2D(RANDOM, (3, 4), 2, 3, stride=2), (2, 7, 6, 2)),
    "depthwise": (DepthwiseConv2D(RANDOM, (3, 4), 3), (2, 7, 6, 3)),
    "depthwise stride 2": (DepthwiseConv2D(RANDOM, (2, 3), 3, stride=2), (2, 7, 6, 3)),
    "batch norm": (BatchNorm(3), (4, 3, 2, 3)),
    "relu": (Relu(), (4, 9)),
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


def test_trained_quantized_and_folded() -> None:
    """Training learns, folding batch norm changes nothing, and the file holds the chain with its labels."""
    layers, images, labels = small_classifier()
    assert accuracy(layers, images, labels) > 0.9

    folded = stages(layers)
    assert [stage.op for stage in folded] == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "MAX_POOL_2D",
        "RESHAPE",
        "FULLY_CONNECTED",
    ]
    conv = Conv2D(np.random.default_rng(0), (3, 3), 1, 6)
    assert folded[0].weights is not None
    assert folded[0].bias is not None
    conv.weights.value, conv.bias.value = folded[0].weights, folded[0].bias
    np.testing.assert_allclose(
        predict([conv, Relu()], images), predict(layers[: folded[0].last + 1], images), rtol=1e-4, atol=1e-4
    )

    data = to_labelled_bytes(to_graph(layers, images, softmax=True, labels=("left", "above")))
    graph = from_bytes(data, "small.tflite")
    assert [node.op for node in graph.nodes] == [*(stage.op for stage in folded), "SOFTMAX"]
    assert graph.labels == ("left", "above")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("labels.txt") == b"left\nabove\n"


def test_activation_range_keeps_zero_and_the_extremes() -> None:
    for low, high in ((-1.0, 3.0), (0.5, 2.0), (-4.0, -1.0), (-0.001, 7.0)):
        values = np.linspace(low, high, 50, dtype=np.float32)
        quantization = activation_range(values)
        (scale,), (zero_point,) = quantization.scale, quantization.zero_point
        assert -128 <= zero_point <= 127
        assert scale == float(np.float32(scale))
        real = scale * (np.array([-128, 127]) - zero_point)
        assert real[0] == pytest.approx(min(low, 0), abs=scale * 0.51)
        assert real[1] == pytest.approx(max(high, 0), abs=scale * 0.51)


def test_quantize_and_back() -> None:
    layers = [Dense(np.random.default_rng(9), 3, 2)]
    values = np.random.default_rng(9).normal(size=(50, 3)).astype(np.float32)
    tensor = to_graph(layers, values, softmax=False).input_tensors[0]
    np.testing.assert_allclose(dequantize(quantize(values, tensor), tensor), values, atol=tensor.scale * 0.51)
    assert quantize(np.array([-1e6, 1e6]), tensor).tolist() == [-128, 127]


def test_weights_are_symmetric_and_zero_channels_are_harmless() -> None:
    weights = np.random.default_rng(10).normal(size=(4, 3, 3, 2)).astype(np.float32)
    weights[2] = 0
    scales, quantized = quantize_weights(weights, 0)
    assert quantized.min() >= -127
    assert [int(np.abs(channel).max()) for channel in quantized] == [127, 127, 0, 127]
    np.testing.assert_allclose(quantized * scales.reshape(4, 1, 1, 1), weights, atol=float(scales.max()) * 0.51)
    assert quantize_weights(weights, None)[0].shape == (1,)
