# SPDX-License-Identifier: Apache-2.0
"""What AVERAGE_POOL_2D and MAX_POOL_2D share: options, rules, window geometry and test cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph import Array, Graph, Layer, Quantization, Tensor, single_node_graph
from . import Constraint, Integer, _convolution
from ._constraints import ACTIVATIONS, activation, dtype, integer_only, not_empty, per_tensor, rank
from ._options import ACTIVATION_TYPES, PADDINGS, name_of

#: Largest window extent and stride, and most pixels in one window: the kernels' 32-bit arithmetic cannot overflow.
LIMIT = 65536
MAX_WINDOW = 1 << 23
MAX_WINDOW_INT16 = (1 << 16) - 1


def attributes(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """`padding` (SAME or VALID), `stride` and `window` as (height, width), `activation`."""
    return {
        "padding": name_of(PADDINGS, options["padding"]),
        "stride": (options["stride_h"], options["stride_w"]),
        "window": (options["filter_height"], options["filter_width"]),
        "activation": name_of(ACTIVATION_TYPES, options["fused_activation_function"]),
    }


def export(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The raw options of a file."""
    return {
        "padding": PADDINGS.index(attributes["padding"]),
        "stride_h": attributes["stride"][0],
        "stride_w": attributes["stride"][1],
        "filter_height": attributes["window"][0],
        "filter_width": attributes["window"][1],
        "fused_activation_function": ACTIVATION_TYPES.index(attributes["activation"]),
    }


def _padding_known(layer: Layer) -> str | None:
    """The padding must be SAME or VALID."""
    found = layer.attributes["padding"]
    return None if found in PADDINGS else str(found)


def _geometry_usable(layer: Layer) -> str | None:
    """The strides, and the height and width of the window, must be 1 to 65536."""
    stride, window = layer.attributes["stride"], layer.attributes["window"]
    usable = all(1 <= size <= LIMIT for size in (*stride, *window))
    return None if usable else f"strides {list(stride)}, window {list(window)}"


def _window_fits(layer: Layer) -> str | None:
    """With VALID padding the window must fit in the image, and no window may cover more than 8388608 pixels (65535 in int16)."""
    height, width = layer.input(0).shape[1:3]
    window = layer.attributes["window"]
    outside = layer.attributes["padding"] == "VALID" and (window[0] > height or window[1] > width)
    limit = MAX_WINDOW_INT16 if layer.input(0).dtype == "int16" else MAX_WINDOW
    large = min(window[0], height) * min(window[1], width) > limit
    return f"window {list(window)}, image {[height, width]}" if outside or large else None


def _same_quantization(layer: Layer) -> str | None:
    """The output's scale and zero point must be the input's (the scale within 0.000001, as in TFLite Micro)."""
    source, output = layer.input(0), layer.output
    if abs(source.scale - output.scale) <= 1e-6 and source.zero_point == output.zero_point:
        return None
    return f"scales {source.scale:.9g} and {output.scale:.9g}, zero points {source.zero_point} and {output.zero_point}"


def _output_type(layer: Layer) -> str | None:
    """The output must have the input's type."""
    source, output = layer.input(0), layer.output
    return None if source.dtype == output.dtype else f"{source.dtype} and {output.dtype}"


CONSTRAINTS: tuple[Constraint, ...] = (
    dtype("input", 0, "int8", "int16", "float32"),
    _output_type,
    integer_only(per_tensor("input and the output", 0)),
    rank("input", 0, 4, 4),
    activation(*ACTIVATIONS),
    _padding_known,
    _geometry_usable,
    not_empty("input", 0),
    _window_fits,
    integer_only(_same_quantization),
)

#: How a float32 pool becomes an integer one.
INTEGER = Integer("shared", {"float32": 1, "int8": 2, "int16": 3})


@dataclass(frozen=True)
class Axis:
    """The windows along one image axis, in pixels."""

    input: int
    window: int
    stride: int
    pad: int
    """Pixels of padding before the first."""
    output: int

    def ranges(self) -> list[tuple[int, int]]:
        """First and end pixel of each window, clipped to the image; never empty."""
        starts = (position * self.stride - self.pad for position in range(self.output))
        return [(max(start, 0), min(start + self.window, self.input)) for start in starts]


def axes(layer: Layer) -> tuple[Axis, Axis]:
    """The windows along height and width.

    A layer of some rows only (tinyc.streaming) has the attribute `slab`: rows of padding before the image, and output rows.
    """
    height, width = layer.input(0).shape[1:3]
    window, stride, padding = (layer.attributes[name] for name in ("window", "stride", "padding"))
    rows = _axis(height, window[0], stride[0], padding)
    if "slab" in layer.attributes:
        pad, output = layer.attributes["slab"]
        rows = replace(rows, pad=pad, output=output)
    return rows, _axis(width, window[1], stride[1], padding)


def _axis(extent: int, window: int, stride: int, padding: str) -> Axis:
    if padding == "VALID":
        return Axis(extent, window, stride, 0, (extent - window + stride) // stride)
    output = (extent + stride - 1) // stride
    total = max((output - 1) * stride + window - extent, 0)
    return Axis(extent, window, stride, total // 2, output)


def output_shapes(layer: Layer) -> Sequence[tuple[int, ...]]:
    batch, _, _, depth = layer.input(0).shape
    height, width = axes(layer)
    return [(batch, height.output, width.output, depth)]


def taps(layer: Layer) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """For each pixel of the window, by rows: the rows and columns of output and input that it connects."""
    rows, columns = ([_inside(axis, tap) for tap in range(axis.window)] for axis in axes(layer))
    for out_rows, in_rows in rows:
        for out_columns, in_columns in columns:
            if out_rows.stop and out_columns.stop:
                yield (out_rows, out_columns), (in_rows, in_columns)


def _inside(axis: Axis, tap: int) -> tuple[slice, slice]:
    """The output positions whose input at `tap` of the window is inside the image, and those inputs."""
    return _convolution.Axis(axis.input, axis.window, axis.stride, 1, axis.output, axis.pad).inside(tap)


def reduce_windows(layer: Layer, image: Array, reduce: Callable[[Array, int], Array]) -> Array:
    """`reduce(array, axis)` over every window of `image` [batch, height, width, depth]: along width, then height."""
    height, width = axes(layer)
    rows = np.stack([reduce(image[:, :, start:end], 2) for start, end in width.ranges()], axis=2)
    return np.stack([reduce(rows[:, start:end], 1) for start, end in height.ranges()], axis=1)


def cases(op: str) -> Iterator[tuple[str, Graph]]:
    """Small graphs with the corners of the window geometry."""
    yield "global", case(op, (1, 5, 4, 3), (5, 4), (1, 1), "VALID")
    yield "2x2", case(op, (1, 6, 6, 5), (2, 2), (2, 2), "VALID")
    yield "same odd batch", case(op, (2, 7, 5, 4), (3, 2), (2, 3), "SAME", "RELU")
    yield "overlapping same", case(op, (1, 5, 5, 3), (3, 3), (1, 1), "SAME", "RELU6")
    yield "window larger than image", case(op, (1, 2, 3, 2), (5, 6), (1, 2), "SAME", "RELU_N1_TO_1")
    yield "stride skips pixels", case(op, (1, 9, 8, 1), (2, 1), (4, 3), "VALID")
    yield "1x1 image", case(op, (3, 1, 1, 7), (1, 1), (1, 1), "SAME")
    for other in ("int16", "float32"):
        yield f"2x2, {other}", case(op, (1, 6, 6, 5), (2, 2), (2, 2), "VALID", dtype=other)
        yield f"same odd batch, {other}", case(op, (2, 7, 5, 4), (3, 2), (2, 3), "SAME", "RELU", dtype=other)
        yield f"overlapping same, {other}", case(op, (1, 5, 5, 3), (3, 3), (1, 1), "SAME", "RELU6", dtype=other)


def case(
    op: str,
    shape: tuple[int, ...],
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: str,
    activation: str = "NONE",
    quantization: Quantization | None = None,
    dtype: str = "int8",
) -> Graph:
    """A graph of one pooling layer, its output shape computed."""
    usual = {"int8": Quantization((float(np.float32(0.06)),), (-9,)), "int16": Quantization((2.0**-12,), (0,))}
    q = quantization or usual.get(dtype)
    height, width = (_axis(shape[1 + i], window[i], stride[i], padding).output for i in (0, 1))
    return single_node_graph(
        op,
        (Tensor("input", shape, dtype, q),),
        (Tensor("output", (shape[0], height, width, shape[3]), dtype, q),),
        {"padding": padding, "stride": stride, "window": window, "activation": activation},
    )
