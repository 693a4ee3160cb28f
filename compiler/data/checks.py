# SPDX-License-Identifier: Apache-2.0
"""What is allowed and looks wrong: warnings about samples and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from ..graph import Array, Tensor
from .dataset import QUANTIZED, real_range
from .select import digest

#: Shares of samples above which they are worth a warning.
CONSTANT_SHARE: Final = 0.01
DUPLICATE_SHARE: Final = 0.05
#: The largest class over the smallest one.
IMBALANCE: Final = 10
#: Values that look like pixels, or otherwise far from what networks are trained on.
PIXEL: Final = 32
LARGE: Final = 100


def doubts(
    arrays: Sequence[Array], inputs: Sequence[Tensor], labels: Array | None, classes: Sequence[str], said: bool
) -> tuple[str, ...]:
    """Warnings, each one sentence with what to try. `said` is whether the user said how raw values become real ones."""
    found = list(_same(arrays))
    for array, tensor in zip(arrays, inputs, strict=True):
        found += _values(array, tensor, said)
    if labels is not None and labels.dtype == np.int64:
        found += _balance(labels, classes)
    return tuple(found)


def _same(arrays: Sequence[Array]) -> Iterator[str]:
    count = len(arrays[0])
    flat = [array.reshape(count, -1) for array in arrays]
    constant = sum(
        all(bool((values[i] == values[i, :1]).all()) and values.shape[1] > 1 for values in flat) for i in range(count)
    )
    if constant > CONSTANT_SHARE * count:
        yield f"{constant} of {count} samples have the same value everywhere: is the sensor's data in them?"
    unique = len({digest([array[i] for array in arrays]) for i in range(count)})
    if count - unique > DUPLICATE_SHARE * count:
        yield f"{count - unique} of {count} samples are equal to another one, and add nothing"


def _values(array: Array, tensor: Tensor, said: bool) -> Iterator[str]:
    if array.dtype != np.float32:
        return
    low, high = float(array.min()), float(array.max())
    where = f"input '{tensor.name}'"
    if tensor.dtype in QUANTIZED:
        yield from _against_range(array, tensor, where, low, high)
    elif not said:
        if low >= 0 and PIXEL < high <= 255 and bool((array == np.rint(array)).all()):
            yield (
                f"{where} has whole numbers from {low:g} to {high:g}, as raw pixels are: if the model was trained on 0 to 1, "
                "say --scale 1/255; if on -1 to 1, --scale 1/127.5 --mean 1"
            )
        elif max(-low, high) > LARGE:
            yield (
                f"{where} has values from {low:g} to {high:g}, which looks unnormalised: if the model was trained on "
                "normalised data, give --scale, or --mean and --std as in training"
            )


def _against_range(array: Array, tensor: Tensor, where: str, low: float, high: float) -> Iterator[str]:
    """A quantized input says itself which values it was made for."""
    first, last = real_range(tensor)
    outside = float(((array < first) | (array > last)).mean())
    span = last - first
    what = f"{where} has values from {low:g} to {high:g}, and the model's input reaches from {first:.4g} to {last:.4g}"
    if outside > 0.01:
        yield f"{what}: {outside:.0%} of the values are cut off; {_scaling(low, high, first, last)}"
    elif 0 < high - low < span / 16:
        yield f"{what}: the data use little of that; {_scaling(low, high, first, last)}"


def _scaling(low: float, high: float, first: float, last: float) -> str:
    pixels = low >= 0 and PIXEL < high <= 255
    if pixels and 0.9 < last - first < 1.1 and first > -0.1:
        return "try --scale 1/255"
    if pixels and 1.8 < last - first < 2.2 and first < -0.9:
        return "try --scale 1/127.5 --mean 1"
    return "give --scale, --mean and --std as in training"


def _balance(labels: Array, classes: Sequence[str]) -> Iterator[str]:
    counts = Counter(int(label) for label in labels)

    def name(label: int) -> str:
        return f"'{classes[label]}'" if label < len(classes) else f"class {label}"

    absent = [name(label) for label in range(len(classes)) if label not in counts]
    if absent:
        shown = ", ".join(absent[:8]) + (", ..." if len(absent) > 8 else "")
        yield f"no sample of {len(absent)} of {len(classes)} classes: {shown}"
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    if many > IMBALANCE * few:
        yield f"classes are unbalanced: {many} samples of {name(most)}, {few} of {name(least)}"
