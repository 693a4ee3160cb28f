# SPDX-License-Identifier: Apache-2.0
"""AVERAGE_POOL_2D: the mean of each window's pixels inside the image, rounded half away from zero."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph import Array, Layer
from . import Op, _pool
from ._fixed_point import activation_range
from ._floats import activate, clamp


def _sum(values: Array, axis: int) -> Array:
    return np.asarray(values.sum(axis=axis, dtype=np.int64))


def _counts(layer: Layer) -> Array:
    """Pixels in each window, [output height, output width]."""
    height, width = ([end - start for start, end in axis.ranges()] for axis in _pool.axes(layer))
    return np.outer(np.array(height, np.int64), np.array(width, np.int64))


def _reference(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    if inputs[0].dtype == np.float32:
        return [_float_means(layer, inputs[0])]
    sums = _pool.reduce_windows(layer, inputs[0], _sum)
    count = _counts(layer)[None, :, :, None]
    means = np.sign(sums) * ((np.abs(sums) + count // 2) // count)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    return [np.clip(means, low, high).astype(inputs[0].dtype)]


def _float_means(layer: Layer, image: Array) -> Array:
    """The pixels of each window added one by one, by rows."""
    sums = np.zeros(layer.output.shape, np.float32)
    with np.errstate(all="ignore"):
        for outside, inside in _pool.taps(layer):
            sums[:, *outside] += image[:, *inside]
        means = sums / _counts(layer).astype(np.float32)[None, :, :, None]
    return clamp(means, layer.attributes["activation"])


def _real(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    with np.errstate(all="ignore"):
        sums = _pool.reduce_windows(layer, inputs[0], lambda values, axis: np.asarray(values.sum(axis=axis)))
        means = sums / _counts(layer).astype(np.float32)[None, :, :, None]
    return [activate(means, layer.attributes["activation"])]


OP = Op(
    name="AVERAGE_POOL_2D",
    versions=(1, 3),
    inputs=("input",),
    options="Pool2DOptions",
    attributes=_pool.attributes,
    export=_pool.export,
    constraints=_pool.CONSTRAINTS,
    output_shapes=_pool.output_shapes,
    reference=_reference,
    cases=lambda: _pool.cases("AVERAGE_POOL_2D"),
    real=_real,
    integer=_pool.INTEGER,
)
