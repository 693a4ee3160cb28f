# SPDX-License-Identifier: Apache-2.0
"""How a layer's weights lie in the parameters of a compiled model.

Nothing of this is published; it is read from public pairs of original and compiled files, and every byte of those
agrees. Weights are unsigned: int8 ones are stored with their top bit inverted, so their zero point is 0x80. Two forms:

* A matrix (convolutions, fully connected layers): groups of up to 64 output channels, all of 64 slots when there are
  several, else one group whose slots are rounded up to 16. A group is a header, then for each kernel row, kernel column
  and four input channels: [slot][4 input channels]. Missing input channels, and missing output channels up to the next
  multiple of four, hold the zero point; the other empty slots hold 0.
* A diagonal (depthwise layers, one channel to one channel): groups of four channels, each a header, then for each
  kernel row and column a 4x4 matrix with the weights on its diagonal and the zero point elsewhere. So a depthwise
  weight takes four bytes.

A header is up to three tables with an entry for each slot: float32 multipliers, int32 biases, uint32 zero points of the
weights. Layers quantized per tensor have the biases only. Layers begin at multiples of 64 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...graph import Array, Layer

ALIGNMENT = 64
GROUP = 64
SLOTS = 16
LANES = 4
ENTRY = 4

#: Operators whose weights are input 1 and bias input 2, and whose layout is known.
WITH_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@dataclass(frozen=True)
class Header:
    """Which tables stand before the weights of every group."""

    multipliers: bool
    biases: bool
    zero_points: bool

    @property
    def tables(self) -> int:
        return self.multipliers + self.biases + self.zero_points


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of a layer as the device has them.

    Attributes:
        values: uint8 [output channels, kernel rows, kernel columns, input channels]; of a diagonal 1 input channel.
        zero_point: what stands for 0.
        diagonal: the form, see the module.
    """

    values: Array
    zero_point: int
    diagonal: bool

    @property
    def channels(self) -> int:
        return int(self.values.shape[0])

    @property
    def slots(self) -> int:
        """Slots of every group."""
        return LANES if self.diagonal else matrix_slots(self.channels)

    def groups(self) -> Iterator[tuple[int, bytes]]:
        """First channel and weight bytes, without header, of every group."""
        step = LANES if self.diagonal else GROUP
        for first in range(0, self.channels, step):
            part = self.values[first : first + step]
            yield first, _diagonal(part, self.zero_point) if self.diagonal else self._matrix(part)

    def _matrix(self, part: Array) -> bytes:
        count, rows, columns, inputs = part.shape
        blocks = np.full((rows, columns, -(-inputs // LANES), self.slots, LANES), self.zero_point, np.uint8)
        blocks[..., round_up(count, LANES) :, :] = 0
        padded = np.pad(part, ((0, 0), (0, 0), (0, 0), (0, -inputs % LANES)), constant_values=self.zero_point)
        blocks[..., :count, :] = padded.reshape(count, rows, columns, -1, LANES).transpose(1, 2, 3, 0, 4)
        return blocks.tobytes()

    def bytes(self, header: Header) -> int:
        """On-chip bytes with header and alignment."""
        return layer_bytes(self.values.shape, self.diagonal, header)

    def place(self, at: int) -> tuple[int, int, int, int]:
        """Output channel, kernel row, kernel column and input channel of byte `at` of the weights of all groups joined.

        Padding gives the coordinates that it would have.
        """
        _, rows, columns, inputs = self.values.shape
        if self.diagonal:
            group, rest = divmod(at, rows * columns * LANES * LANES)
            tap, rest = divmod(rest, LANES * LANES)
            return group * LANES + rest // LANES, tap // columns, tap % columns, 0
        blocks = -(-inputs // LANES)
        group, rest = divmod(at, rows * columns * blocks * self.slots * LANES)
        tap, rest = divmod(rest, blocks * self.slots * LANES)
        block, rest = divmod(rest, self.slots * LANES)
        return group * GROUP + rest // LANES, tap // columns, tap % columns, block * LANES + rest % LANES


def _diagonal(part: Array, zero_point: int) -> bytes:
    count, rows, columns, _ = part.shape
    blocks = np.full((rows, columns, LANES, LANES), zero_point, np.uint8)
    for lane in range(count):
        blocks[:, :, lane, lane] = part[lane, :, :, 0]
    return blocks.tobytes()


def round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def matrix_slots(channels: int) -> int:
    return GROUP if channels > GROUP else round_up(channels, SLOTS)


def layer_bytes(shape: tuple[int, ...], diagonal: bool, header: Header) -> int:
    """On-chip bytes of weights [output channels, rows, columns, input channels] with header and alignment."""
    channels, rows, columns, inputs = shape
    step, slots = (LANES, LANES) if diagonal else (GROUP, matrix_slots(channels))
    weights = rows * columns * (LANES if diagonal else round_up(inputs, LANES)) * slots
    groups = -(-channels // step)
    return round_up(groups * (header.tables * ENTRY * slots + weights), ALIGNMENT)


def device_weights(layer: Layer) -> Weights | None:
    """The weights of a layer in the device's order; None when it has none, or none of a known layout."""
    tensor = layer.optional(1)
    if layer.op not in WITH_WEIGHTS or layer.optional(0) is None or not layer.outputs:
        return None
    if tensor is None or tensor.data is None or tensor.quantization is None or tensor.dtype not in ("int8", "uint8"):
        return None
    if len(tensor.shape) != (2 if layer.op == "FULLY_CONNECTED" else 4) or 0 in tensor.shape:
        return None
    if tensor.dtype == "int8":
        values, zero_point = tensor.data.view(np.uint8) ^ np.uint8(0x80), 0x80
    else:
        values, zero_point = tensor.data, tensor.quantization.zero_point[0]
    return _arranged(layer, values, zero_point)


def _arranged(layer: Layer, values: Array, zero_point: int) -> Weights | None:
    source = layer.input(0)
    if layer.op == "FULLY_CONNECTED":
        return Weights(values[:, None, None, :], zero_point, False)
    if layer.op == "CONV_2D":
        return Weights(values, zero_point, values.shape[0] == 1 and values.shape[3] == 1)
    if values.shape[0] != 1:
        return None
    by_channel = values.transpose(3, 1, 2, 0)
    inputs = source.shape[-1] if source.shape else 0
    if inputs == 1 and by_channel.shape[0] > 1:
        # One input channel to several output channels is an ordinary convolution.
        return Weights(by_channel, zero_point, False)
    return Weights(by_channel, zero_point, True) if inputs == by_channel.shape[0] else None


def headers(layer: Layer) -> tuple[Header, ...]:
    """The headers that a layer may have, the likeliest first: no table for what is 0 or the same everywhere.

    Multipliers that differ need their table: without it other multipliers would go unnoticed.
    """
    quantization = layer.input(1).quantization
    bias = layer.optional(2)
    has_bias = bias is not None and bias.data is not None and bool(np.any(bias.data))
    biases = (True, False) if has_bias else (False, True)
    if quantization is None or not quantization.per_channel or layer.input(1).dtype != "int8":
        return tuple(Header(False, some, False) for some in biases)
    multipliers = (True,) if len(set(quantization.scale)) > 1 else (False, True)
    return tuple(Header(there, some, True) for there in multipliers for some in biases)
