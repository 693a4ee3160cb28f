# SPDX-License-Identifier: Apache-2.0
"""What every source of data is, and what the options mean for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ..errors import UsageError
from ..graph import Tensor
from .options import DataOptions, option
from .preprocessing import Preprocessing
from .select import Sample

#: Options that any source takes.
COMMON: Final = frozenset({"samples", "labels", "scale", "mean", "std"})


@dataclass(frozen=True, eq=False)
class Source:
    """An open source: its samples, what is done to them, and remarks that come up while they are read."""

    where: str
    samples: Iterator[Sample]
    preprocessing: Preprocessing
    remarks: list[str] = field(default_factory=list)


def reject_options(options: DataOptions, what: str, allowed: frozenset[str] | set[str]) -> None:
    for name in sorted(options.given - allowed):
        raise UsageError(option(name), f"means nothing for {what}", hint="leave it out, or give other data")


def value_preprocessing(
    inputs: Sequence[Tensor], options: DataOptions, allowed: Sequence[int] | None = None
) -> Preprocessing:
    """--scale, --mean and --std as a record; `allowed` says how many means there may be: by default one, one per channel
    (last axis), or one per element.

    Raises UsageError when the number of values suits no input.
    """
    count = max(len(options.mean), len(options.std), 1)
    for tensor in inputs:
        shape = tensor.shape[1:]
        suitable = allowed if allowed is not None else (1, *shape[-1:], math.prod(shape))
        if count not in suitable:
            name = "mean" if len(options.mean) == count else "std"
            counts = " or ".join(str(n) for n in sorted(set(suitable)))
            expected = f"{counts}, for input '{tensor.name}' of shape {list(tensor.shape)}"
            raise UsageError(option(name), f"{count} values", expected=expected)
    mean = options.mean or (0.0,)
    std = options.std or (1.0,)
    return Preprocessing(
        _float32(options.scale if options.scale is not None else 1.0),
        tuple(_float32(value) for value in mean * (count if len(mean) == 1 else 1)),
        tuple(_float32(value) for value in std * (count if len(std) == 1 else 1)),
    )


def _float32(value: float) -> float:
    """The number that the arithmetic uses, kept without loss."""
    return float(np.float32(value))
