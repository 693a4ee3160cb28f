# SPDX-License-Identifier: Apache-2.0
"""Samples in memory, and how real values become numbers of a model's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import ModelError
from ..graph import DTYPES, Array, Tensor
from .preprocessing import Preprocessing

#: Input types that hold quantized real values.
QUANTIZED = ("int8", "uint8", "int16")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Calibration or evaluation data, ready for a model.

    Attributes:
        arrays: one array [n, *input.shape[1:]] per model input: float32 real values, or the input's own integers if the data
            were quantized already.
        names: n names, such as `cat/7.png`, `data.npy[3]` or `yes/a.wav@16000`.
        labels: int64 [n] class indices, float32 [n] or [n, k] regression targets, or None.
        classes: name of each class, if known; `labels` are indices into it.
        preprocessing: what was done to the raw data.
        warnings: what the user should look at.
        found: how many samples there were before `--samples` chose n of them.
    """

    arrays: tuple[Array, ...]
    names: tuple[str, ...]
    labels: Array | None = None
    classes: tuple[str, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    warnings: tuple[str, ...] = ()
    found: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def quantized(self, inputs: Sequence[Tensor]) -> tuple[Array, ...]:
        """The arrays in the types of these inputs, [n, *input.shape[1:]] each. Raises ModelError for types without a meaning."""
        return tuple(to_input(array, tensor) for array, tensor in zip(self.arrays, inputs, strict=True))


def to_input(values: Array, tensor: Tensor) -> Array:
    """Real float32 values as numbers of the model's input; integers of its own type are such numbers already.

    q = clamp(round(value / scale) + zero_point), float32, half away from zero: as QUANTIZE and the generated C.
    """
    if str(values.dtype) == tensor.dtype:
        return values
    if values.dtype != np.float32 or tensor.dtype not in QUANTIZED or tensor.quantization is None:
        raise ModelError(f"input '{tensor.name}'", f"{values.dtype} data", expected=f"{tensor.dtype}, as the input is")
    info = np.iinfo(np.dtype(DTYPES[tensor.dtype]))
    with np.errstate(all="ignore"):
        quotient = values / np.float32(tensor.scale)
    # 16-bit types span less than 131072, so this bound changes no result; it also sends NaN to the low end.
    limit = np.float32(131072)
    bounded = np.where(quotient > -limit, np.minimum(quotient, limit), -limit)
    whole = np.trunc(bounded)
    rest = bounded - whole
    rounded = whole.astype(np.int32) + (rest >= 0.5) - (rest <= -0.5) + tensor.zero_point
    numbers: Array = np.clip(rounded, info.min, info.max).astype(DTYPES[tensor.dtype])
    return numbers


def real_range(tensor: Tensor) -> tuple[float, float]:
    """The lowest and highest real value that a quantized input can hold."""
    info = np.iinfo(np.dtype(DTYPES[tensor.dtype]))
    return (info.min - tensor.zero_point) * tensor.scale, (info.max - tensor.zero_point) * tensor.scale
