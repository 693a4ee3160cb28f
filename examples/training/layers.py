# SPDX-License-Identifier: Apache-2.0
"""Layers with a forward and a backward pass, in float32 numpy. Images are NHWC, weights lie as TFLite stores them.

A layer keeps from `forward` what its `backward` needs, so one backward pass follows one forward pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class Parameter:
    """A trained array and the gradient of the loss with respect to it, which `backward` sets."""

    def __init__(self, value: npt.NDArray[np.floating]) -> None:
        self.value: Array = value.astype(np.float32)
        self.gradient: Array = np.zeros_like(self.value)


class Layer(ABC):
    """One step of a network. Layers without parameters inherit `parameters` from here."""

    def parameters(self) -> list[Parameter]:
        return []

    @abstractmethod
    def forward(self, x: Array, training: bool) -> Array:
        """The step's output for a batch."""

    @abstractmethod
    def backward(self, gradient: Array) -> Array:
        """The gradient with respect to the input, from the one with respect to the output."""


def he_normal(random: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> Parameter:
    """Weights drawn as He et al. 2015 (arXiv 1502.01852) advise for layers followed by a ReLU."""
    return Parameter(random.normal(0.0, np.sqrt(2.0 / fan_in), shape))


class Dense(Layer):
    """y = x W' + b with weights [units, depth]: FULLY_CONNECTED."""

    def __init__(self, random: np.random.Generator, depth: int, units: int) -> None:
        self.weights = he_normal(random, (units, depth), depth)
        self.bias = Parameter(np.zeros(units))

    def parameters(self) -> list[Parameter]:
        return [self.weights, self.bias]

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x
        return x @ self.weights.value.T + self.bias.value

    def backward(self, gradient: Array) -> Array:
        self.weights.gradient = gradient.T @ self.x
        self.bias.gradient = gradient.sum(axis=0)
        return gradient @ self.weights.value


class Window:
    """A kernel sliding over an image with TensorFlow's SAME padding: its taps see strided views of the padded image."""

    def __init__(self, kernel: tuple[int, int], stride: int, image: tuple[int, ...]) -> None:
        self.kernel, self.stride = kernel, stride
        self.size = tuple(-(-extent // stride) for extent in image[1:3])
        axes = zip(self.size, kernel, image[1:3], strict=True)
        missing = [max((out - 1) * stride + taps - extent, 0) for out, taps, extent in axes]
        self.before = tuple(total // 2 for total in missing)
        self.padding = ((0, 0), *((total // 2, total - total // 2) for total in missing), (0, 0))

    def pad(self, image: Array) -> Array:
        return np.pad(image, self.padding)

    def crop(self, padded: Array, image: tuple[int, ...]) -> Array:
        """The part of `padded` that is the image of the given shape."""
        top, left = self.before
        return padded[:, top : top + image[1], left : left + image[2]]

    def taps(self) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
        """Row and column in the kernel, and the slices of the padded image that this tap sees."""
        rows, columns = (self.stride * (extent - 1) + 1 for extent in self.size)
        for y in range(self.kernel[0]):
            for x in range(self.kernel[1]):
                yield y, x, (slice(None), slice(y, y + rows, self.stride), slice(x, x + columns, self.stride))


class Conv2D(Layer):
    """Convolution with weights [out, height, width, in] and SAME padding: CONV_2D."""

    def __init__(
        self, random: np.random.Generator, kernel: tuple[int, int], inputs: int, outputs: int, stride: int = 1
    ) -> None:
        self.stride = stride
        self.weights = he_normal(random, (outputs, *kernel, inputs), kernel[0] * kernel[1] * inputs)
        self.bias = Parameter(np.zeros(outputs))

    def parameters(self) -> list[Parameter]:
        return [self.weights, self.bias]

    def forward(self, x: Array, training: bool) -> Array:
        outputs, height, width, inputs = self.weights.value.shape
        self.shape = x.shape
        self.window = Window((height, width), self.stride, x.shape)
        padded = self.window.pad(x)
        patches = np.stack([padded[tap] for _, _, tap in self.window.taps()], axis=3)
        self.patches = patches.reshape(-1, height * width * inputs)
        y = self.patches @ self.weights.value.reshape(outputs, -1).T + self.bias.value
        return y.reshape(len(x), *self.window.size, outputs)

    def backward(self, gradient: Array) -> Array:
        outputs, height, width, inputs = self.weights.value.shape
        flat = gradient.reshape(-1, outputs)
        self.weights.gradient = (flat.T @ self.patches).reshape(self.weights.value.shape)
        self.bias.gradient = flat.sum(axis=0)
        patches = (flat @ self.weights.value.reshape(outputs, -1)).reshape(*gradient.shape[:3], height, width, inputs)
        padded = self.window.pad(np.zeros(self.shape, np.float32))
        for y, x, tap in self.window.taps():
            padded[tap] += patches[:, :, :, y, x]
        return self.window.crop(padded, self.shape)


class DepthwiseConv2D(Layer):
    """One filter per channel, weights [height, width, channels], SAME padding: DEPTHWISE_CONV_2D."""

    def __init__(self, random: np.random.Generator, kernel: tuple[int, int], channels: int, stride: int = 1) -> None:
        self.stride = stride
        self.weights = he_normal(random, (*kernel, channels), kernel[0] * kernel[1])
        self.bias = Parameter(np.zeros(channels))

    def parameters(self) -> list[Parameter]:
        return [self.weights, self.bias]

    def forward(self, x: Array, training: bool) -> Array:
        height, width, channels = self.weights.value.shape
        self.shape = x.shape
        self.window = Window((height, width), self.stride, x.shape)
        self.padded = self.window.pad(x)
        total = np.zeros((len(x), *self.window.size, channels), np.float32) + self.bias.value
        for row, column, tap in self.window.taps():
            total += self.padded[tap] * self.weights.value[row, column]
        return total

    def backward(self, gradient: Array) -> Array:
        padded = np.zeros_like(self.padded)
        for row, column, tap in self.window.taps():
            self.weights.gradient[row, column] = (self.padded[tap] * gradient).sum(axis=(0, 1, 2))
            padded[tap] += gradient * self.weights.value[row, column]
        self.bias.gradient = gradient.sum(axis=(0, 1, 2))
        return self.window.crop(padded, self.shape)


class BatchNorm(Layer):
    """Normalizes each channel over the batch while training; by running averages, and so foldable, afterwards."""

    MOMENTUM = 0.9
    EPSILON = 1e-3

    def __init__(self, channels: int) -> None:
        self.gamma = Parameter(np.ones(channels))
        self.beta = Parameter(np.zeros(channels))
        self.mean: Array = np.zeros(channels, np.float32)
        self.variance: Array = np.ones(channels, np.float32)

    def parameters(self) -> list[Parameter]:
        return [self.gamma, self.beta]

    def factor_and_offset(self) -> tuple[Array, Array]:
        """y = factor * x + offset, per channel, after training."""
        factor = self.gamma.value / np.sqrt(self.variance + np.float32(self.EPSILON))
        return factor, self.beta.value - self.mean * factor

    def forward(self, x: Array, training: bool) -> Array:
        if not training:
            factor, offset = self.factor_and_offset()
            return x * factor + offset
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axis=axes), x.var(axis=axes)
        keep = np.float32(self.MOMENTUM)
        self.mean = keep * self.mean + (1 - keep) * mean
        self.variance = keep * self.variance + (1 - keep) * variance
        self.deviation = np.sqrt(variance + np.float32(self.EPSILON))
        self.normal = (x - mean) / self.deviation
        return self.gamma.value * self.normal + self.beta.value

    def backward(self, gradient: Array) -> Array:
        axes = tuple(range(gradient.ndim - 1))
        self.gamma.gradient = (gradient * self.normal).sum(axis=axes)
        self.beta.gradient = gradient.sum(axis=axes)
        inner = gradient * self.gamma.value
        inner -= inner.mean(axis=axes) + self.normal * (inner * self.normal).mean(axis=axes)
        return inner / self.deviation


class Relu(Layer):
    def forward(self, x: Array, training: bool) -> Array:
        self.positive = x > 0
        return x * self.positive

    def backward(self, gradient: Array) -> Array:
        return gradient * self.positive


class Relu6(Layer):
    """min(max(x, 0), 6)"""

    def forward(self, x: Array, training: bool) -> Array:
        self.inside = (x > 0) & (x < 6)
        return np.clip(x, np.float32(0), np.float32(6))

    def backward(self, gradient: Array) -> Array:
        return gradient * self.inside


class Residual(Layer):
    """x + f(x), where f is a chain of layers that keeps the shape: ADD."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = layers

    def parameters(self) -> list[Parameter]:
        return [parameter for layer in self.layers for parameter in layer.parameters()]

    def forward(self, x: Array, training: bool) -> Array:
        y = x
        for layer in self.layers:
            y = layer.forward(y, training)
        return x + y

    def backward(self, gradient: Array) -> Array:
        inner = gradient
        for layer in reversed(self.layers):
            inner = layer.backward(inner)
        return gradient + inner


class Flatten(Layer):
    """[batch, ...] to [batch, elements]: RESHAPE."""

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, gradient: Array) -> Array:
        return gradient.reshape(self.shape)


class Pool(Layer):
    """Shared by the two pools: windows that do not overlap and that divide the image evenly."""

    def __init__(self, kernel: tuple[int, int]) -> None:
        self.kernel = kernel

    def windows(self, x: Array) -> Array:
        """[batch, out height, kernel height, out width, kernel width, channels], a view."""
        (height, width), (batch, rows, columns, channels) = self.kernel, x.shape
        return x.reshape(batch, rows // height, height, columns // width, width, channels)


class MaxPool2D(Pool):
    """MAX_POOL_2D."""

    def forward(self, x: Array, training: bool) -> Array:
        windows = self.windows(x)
        y = windows.max(axis=(2, 4), keepdims=True)
        largest = windows == y
        self.share = (largest / largest.sum(axis=(2, 4), keepdims=True)).astype(np.float32)
        self.shape = x.shape
        return y[:, :, 0, :, 0]

    def backward(self, gradient: Array) -> Array:
        return (self.share * gradient[:, :, None, :, None]).reshape(self.shape)


class AveragePool2D(Pool):
    """AVERAGE_POOL_2D."""

    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        return self.windows(x).mean(axis=(2, 4))

    def backward(self, gradient: Array) -> Array:
        share = gradient[:, :, None, :, None] / np.float32(self.kernel[0] * self.kernel[1])
        return np.broadcast_to(share, self.windows(np.empty(self.shape, np.float32)).shape).reshape(self.shape)
