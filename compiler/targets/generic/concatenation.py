# SPDX-License-Identifier: Apache-2.0
"""CONCATENATION in portable C."""

from __future__ import annotations

import math

import numpy as np

from ...graph import Layer
from ...ops.concatenation import axis, inputs
from ...program import Binding, Constant, InputArray, Output, Params, ParamsPointer, Table
from .. import Kernel


def _blocks(layer: Layer) -> int:
    """How many times each input gives a block."""
    return math.prod(layer.output.shape[: axis(layer)])


def _bind(layer: Layer) -> Binding:
    blocks = _blocks(layer)
    sizes = np.array([tensor.bytes // blocks for tensor in inputs(layer)], np.int32)
    params = Params("tinyc_concatenation_params", {"inputs": len(sizes), "blocks": blocks, "size": Table("size")})
    return Binding(
        args=(ParamsPointer(), InputArray(), Output()),
        params=params,
        constants=(Constant("size", sizes),),
        overlap=_overlap(sizes.tolist(), blocks),
    )


def _overlap(sizes: list[int], blocks: int) -> dict[int, int]:
    """Copying goes forward: what has been written is ahead of what has been read of an input by the other inputs' bytes so far."""
    total, before = sum(sizes), 0
    leads = {}
    for position, size in enumerate(sizes):
        leads[position] = (blocks - 1) * (total - size) + before
        before += size
    return leads


def _cost(layer: Layer) -> float:
    return layer.output.bytes * 3.0 + _blocks(layer) * len(layer.inputs) * 15.0


KERNELS = (Kernel("tinyc_concatenation", "CONCATENATION", _bind, _cost, dtype=None),)
