# SPDX-License-Identifier: Apache-2.0
"""Kernels that compute some output pixels together, one group of channels after the other: their leads (see `_overlap.py`), and
whether they work in place.

A group's inputs are read before its first output is written. The next group reads the same windows again, at other channels where
the layer is depthwise.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..graph import Layer
from ._overlap import NOTHING, Block, blocks, first_reads


def in_place(layer: Layer, whole: bool) -> tuple[int, ...]:
    """`Binding.in_place` of a depthwise kernel that is done with a channel's input, if it is `whole`, before it writes that channel.

    With equal shapes a channel's outputs replace that channel's inputs and nothing else. At any other address they would replace
    channels that are not read yet.
    """
    return (0,) if whole and layer.input(0).shape == layer.output.shape else ()


def lead(layer: Layer, group: int, parts: Iterable[Block] | None = None, *, multiplier: int = 0) -> int:
    """The lead over input 0, exact where every window's first value counts.

    Args:
        layer: what `_overlap.lead` takes.
        group: output channels that are computed together; the last group has what is left.
        parts: blocks of output pixels (rows, for FULLY_CONNECTED) in the order of computing; single pixels by default.
        multiplier: output channels per input channel of a depthwise layer; 0 where every group reads all input channels.
    """
    depth = layer.output.shape[-1]
    pixels = layer.output.elements // depth
    chosen = list(parts or blocks(pixels, 1))
    first = first_reads(layer)
    earliest = np.array([first[begin:end].min(initial=NOTHING) for begin, end in chosen], np.int64)
    groups = np.arange(-(-depth // group), dtype=np.int64)
    channels = group * groups // multiplier if multiplier else 0 * groups
    reads = earliest[:, None] + channels
    ends = np.array([end - 1 for _, end in chosen], np.int64)[:, None] * depth + np.minimum(group * (groups + 1), depth)
    reached = np.maximum.accumulate(ends.reshape(-1))[:-1]
    needed = np.minimum.accumulate(reads.reshape(-1)[::-1])[::-1][1:]
    return int(np.clip((reached - needed).max(initial=0), 0, layer.output.bytes))
