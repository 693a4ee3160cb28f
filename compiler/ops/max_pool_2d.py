# SPDX-License-Identifier: Apache-2.0
"""MAX_POOL_2D: the largest of each window's pixels inside the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph import Array, Layer
from . import Op, _pool
from ._fixed_point import activation_range
from ._floats import activate, clamp, float_range


def _largest(values: Array, axis: int) -> Array:
    return np.asarray(values.max(axis=axis))


def _reference(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    if inputs[0].dtype == np.float32:
        return [_float_largest(layer, inputs[0])]
    low, high = activation_range(layer.attributes["activation"], layer.output)
    largest = _pool.reduce_windows(layer, inputs[0], _largest).astype(np.int64)
    return [np.clip(largest, low, high).astype(inputs[0].dtype)]


def _float_largest(layer: Layer, image: Array) -> Array:
    """NaN is no pixel's value here, and of 0.0 and -0.0 the first one stays: C++'s max(largest, x), from the lowest number."""
    lowest, _ = float_range("NONE")
    largest = np.full(layer.output.shape, lowest, np.float32)
    for outside, inside in _pool.taps(layer):
        pixels = image[:, *inside]
        largest[:, *outside] = np.where(largest[:, *outside] < pixels, pixels, largest[:, *outside])
    return clamp(largest, layer.attributes["activation"])


def _real(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    return [activate(_pool.reduce_windows(layer, inputs[0], _largest), layer.attributes["activation"])]


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
    real=_real,
    integer=_pool.INTEGER,
)
