# SPDX-License-Identifier: Apache-2.0
"""MAX_POOL_2D: the largest of each window's pixels inside the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph import Array, Layer
from . import Op, _pool
from ._fixed_point import activation_range


def _largest(values: Array, axis: int) -> Array:
    return np.asarray(values.max(axis=axis))


def _reference(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    low, high = activation_range(layer.attributes["activation"], layer.output)
    return [np.clip(_pool.reduce_windows(layer, inputs[0], _largest).astype(np.int64), low, high).astype(np.int8)]


OP = Op(
    name="MAX_POOL_2D",
    versions=(1, 3),
    inputs=("input",),
    options="Pool2DOptions",
    attributes=_pool.attributes,
    export=_pool.export,
    constraints=_pool.CONSTRAINTS,
    output_shapes=_pool.output_shapes,
    reference=_reference,
    cases=lambda: _pool.cases("MAX_POOL_2D"),
)
