# SPDX-License-Identifier: Apache-2.0
"""Images to another size in integers, so that a device without a floating-point unit gets the same bytes.

An axis that shrinks is averaged over the area of each new pixel; one that grows is interpolated between the centres of two
pixels. Weights are whole numbers with a common sum, and a pixel is rounded once, half up. The C twin is
`runtime_c/preprocess/tinyc_preprocess_image.c`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..graph import Array
from .preprocessing import ImageSteps

#: Pillow's weights of red, green and blue, which sum to 65536.
GRAY = (19595, 38470, 7471)


@dataclass(frozen=True)
class Area:
    """A rectangle: x and y of its corner, width, height."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Axis:
    """For each new pixel the old ones and their weights, [new, taps] each; the weights of a pixel sum to `total`."""

    positions: Array
    weights: Array
    total: int


def gray(image: Array) -> Array:
    """uint8 [height, width, 3] to [height, width, 1], as Pillow's `convert("L")`."""
    red, green, blue = (image[..., i].astype(np.int64) for i in range(3))
    mixed = (red * GRAY[0] + green * GRAY[1] + blue * GRAY[2] + 32768) >> 16
    made: Array = mixed.astype(np.uint8)[..., None]
    return made


def fit(image: Array, steps: ImageSteps) -> Array:
    """uint8 [height, width, channels] as the steps say: uint8 [steps.height, steps.width, channels], 0 where nothing is."""
    source, target = areas(image.shape[1], image.shape[0], steps)
    made = np.zeros((steps.height, steps.width, image.shape[2]), np.uint8)
    part = image[source.y : source.y + source.height, source.x : source.x + source.width]
    resized = part if part.shape[:2] == (target.height, target.width) else scaled(part, target.width, target.height)
    made[target.y : target.y + target.height, target.x : target.x + target.width] = resized
    return made


def areas(width: int, height: int, steps: ImageSteps) -> tuple[Area, Area]:
    """The part of an image that is used, and the part of the model's input that it fills."""
    whole, all_of_it = Area(0, 0, width, height), Area(0, 0, steps.width, steps.height)
    wide = width * steps.height > height * steps.width
    if steps.resize == "crop":
        w = max(1, height * steps.width // steps.height) if wide else width
        h = height if wide else max(1, width * steps.height // steps.width)
        return Area((width - w) // 2, (height - h) // 2, w, h), all_of_it
    if steps.resize == "pad":
        w = steps.width if wide else max(1, width * steps.height // height)
        h = max(1, height * steps.width // width) if wide else steps.height
        return whole, Area((steps.width - w) // 2, (steps.height - h) // 2, w, h)
    return whole, all_of_it


def scaled(image: Array, width: int, height: int) -> Array:
    """uint8 [h, w, channels] resized to uint8 [height, width, channels]."""
    columns, rows = axis(image.shape[1], width), axis(image.shape[0], height)
    total = rows.total * columns.total
    made = np.empty((height, width, image.shape[2]), np.uint8)
    for y in range(height):
        line = np.tensordot(rows.weights[y], image[rows.positions[y]].astype(np.int64), 1)
        sums = (line[columns.positions] * columns.weights[..., None]).sum(axis=1)
        made[y] = (sums + total // 2) // total
    return made


def axis(source: int, target: int) -> Axis:
    """How `target` pixels come from `source` ones along one axis."""
    divisor = math.gcd(source, target)
    s, t = source // divisor, target // divisor
    pixel = np.arange(target, dtype=np.int64)[:, None]
    if s > t:  # a new pixel covers s units of length, an old one t
        positions = pixel * s // t + np.arange((s - 1) // t + 2)
        weights = np.minimum((positions + 1) * t, (pixel + 1) * s) - np.maximum(positions * t, pixel * s)
        return Axis(np.minimum(positions, source - 1), np.maximum(weights, 0), s)
    if s < t:  # between the centres of two old pixels, in units of 1 / (2 * t)
        place = np.clip((2 * pixel + 1) * s - t, 0, (source - 1) * 2 * t)
        first = place // (2 * t)
        rest = place - first * 2 * t
        positions = np.concatenate([first, np.minimum(first + 1, source - 1)], axis=1)
        return Axis(positions, np.concatenate([2 * t - rest, rest], axis=1), 2 * t)
    return Axis(pixel, np.ones((target, 1), np.int64), 1)
