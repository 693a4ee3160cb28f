# SPDX-License-Identifier: Apache-2.0
"""Leads of kernels that compute some output pixels together, one group of channels after the other; see `_overlap.py`.

A group's inputs are read before its first output is written. The next group reads the same windows again, at other channels where
the layer is depthwise.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..graph import Layer
from ._overlap import NOTHING, Block, blocks, first_reads


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
