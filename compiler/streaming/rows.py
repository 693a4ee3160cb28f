# SPDX-License-Identifier: Apache-2.0
"""Which rows of a layer's inputs some rows of its output need; and a layer that computes just these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from ..graph import Layer, Tensor
from ..ops import _convolution, _pool

#: Operators that work on each element by itself. Those with two inputs are streamed where no input repeats.
ELEMENTWISE = ("ADD", "SUB", "MUL", "RELU", "RELU6", "LOGISTIC", "TANH", "QUANTIZE", "DEQUANTIZE")
WINDOWED = ("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D")


@dataclass(frozen=True)
class Rows:
    """Rows `first` to `end` - 1 of an image."""

    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first


def height(tensor: Tensor) -> int:
    """Rows of an NHWC tensor."""
    return tensor.shape[1]


def row_bytes(tensor: Tensor) -> int:
    return tensor.bytes // height(tensor)


@lru_cache(maxsize=1 << 9)
def streamed_inputs(layer: Layer) -> tuple[int, ...]:
    """Positions of the inputs that are read row by row."""
    if layer.op in WINDOWED:
        return (0,)
    return tuple(position for position, tensor in enumerate(layer.inputs) if tensor is not None and not tensor.constant)


@lru_cache(maxsize=1 << 9)
def can_stream(layer: Layer) -> bool:
    """Whether rows of the output can be computed from rows of the inputs, one image at a time."""
    images = [*(layer.input(position) for position in streamed_inputs(layer)), *layer.outputs]
    if len(layer.outputs) != 1 or any(len(t.shape) != 4 or t.shape[0] != 1 or t.elements == 0 for t in images):
        return False
    if layer.op in ELEMENTWISE:
        same = all(tensor is None or tensor.shape == layer.output.shape for tensor in layer.inputs)
        return same and all(tensor is None or not tensor.constant for tensor in layer.inputs)
    return layer.op in WINDOWED and all(tensor is None or tensor.constant for tensor in layer.inputs[1:])


@lru_cache(maxsize=1 << 9)
def _window(layer: Layer) -> tuple[int, int, int]:
    """(rows that a window spans, rows from one window to the next, rows of padding before the image)."""
    if layer.op in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        axis = _convolution.axes(layer)[0]
        return (axis.taps - 1) * axis.dilation + 1, axis.stride, axis.pad
    if layer.op in WINDOWED:
        pool = _pool.axes(layer)[0]
        return pool.window, pool.stride, pool.pad
    return 1, 1, 0


@lru_cache(maxsize=1 << 15)
def needed(layer: Layer, rows: Rows) -> Rows:
    """The rows of each streamed input that `rows` of the output are computed from."""
    span, stride, pad = _window(layer)
    limit = height(layer.input(streamed_inputs(layer)[0]))
    first = min(max(rows.first * stride - pad, 0), limit)
    return Rows(first, max(min((rows.end - 1) * stride - pad + span, limit), first))


def is_row_local(layer: Layer) -> bool:
    """Whether each row of the output is computed from the same row of the input only."""
    return _window(layer) == (1, 1, 0)


def slab(layer: Layer, rows: Rows) -> Layer:
    """`layer` for `rows` of the output only: its streamed inputs are the rows needed and nothing else.

    The attribute `slab` is (rows of padding before the first input row, output rows) in place of what padding and shapes say.
    """
    _, stride, pad = _window(layer)
    inputs = needed(layer, rows)
    positions = streamed_inputs(layer)
    cut = tuple(
        _rows_of(tensor, len(inputs)) if tensor is not None and position in positions else tensor
        for position, tensor in enumerate(layer.inputs)
    )
    attributes = dict(layer.attributes)
    if layer.op in WINDOWED:
        attributes["slab"] = (inputs.first - (rows.first * stride - pad), len(rows))
    node = replace(layer.node, attributes=attributes)
    return Layer(node, cut, (_rows_of(layer.output, len(rows)),))


def _rows_of(tensor: Tensor, count: int) -> Tensor:
    batch, _, *rest = tensor.shape
    return replace(tensor, shape=(batch, count, *rest))
