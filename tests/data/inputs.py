# SPDX-License-Identifier: Apache-2.0
"""Input tensors for the tests of data."""

from tinyc.graph import Quantization, Tensor


def real(*shape: int, name: str = "in") -> Tensor:
    return Tensor(name, shape, "float32")


def quantized(*shape: int, dtype: str = "int8", scale: float = 0.5, zero_point: int = 3) -> Tensor:
    return Tensor("in", shape, dtype, Quantization((scale,), (zero_point,)))
