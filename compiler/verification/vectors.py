# SPDX-License-Identifier: Apache-2.0
"""Input vectors for verification: seeded random ones, extremes, and the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import ModelError
from ..graph import DTYPES, Array, Graph, Tensor


def lcg_bytes(seed: int, count: int) -> Array:
    """`count` bytes of the linear congruential generator x = x*1664525 + 1013904223 mod 2**32, byte = x >> 24, as uint8."""
    # x_n = a^n * seed + c * (a^(n-1) + ... + 1): both sequences by doubling, so that numpy does the work.
    multiplier, increment = np.ones(1, np.uint32), np.zeros(1, np.uint32)
    step_a, step_c = np.uint32(1664525), np.uint32(1013904223)
    with np.errstate(over="ignore"):
        while len(multiplier) < count + 1:
            multiplier = np.concatenate([multiplier, multiplier * step_a])
            increment = np.concatenate([increment, increment * step_a + step_c])
            step_a, step_c = step_a * step_a, step_a * step_c + step_c
        states = multiplier * np.uint32(seed & 0xFFFFFFFF) + increment
    return (states[1 : count + 1] >> np.uint32(24)).astype(np.uint8)


def random_inputs(graph: Graph, seed: int) -> list[Array]:
    """One array per graph input, filled from the generator in C order, all inputs in turn.

    Integers take the bytes as they are; a float32 takes one byte as an int8, divided by 32: -4 to 3.96875.
    """
    sizes = [_random_bytes(tensor) for tensor in graph.input_tensors]
    stream = lcg_bytes(seed, sum(sizes))
    arrays: list[Array] = []
    position = 0
    for tensor, size in zip(graph.input_tensors, sizes, strict=True):
        chunk = stream[position : position + size]
        position += size
        if tensor.dtype == "float32":
            arrays.append((chunk.view(np.int8).astype(np.float32) / 32).reshape(tensor.shape))
        elif tensor.dtype == "bool":
            arrays.append((chunk & 1).astype(np.bool_).reshape(tensor.shape))
        else:
            arrays.append(np.frombuffer(chunk.tobytes(), DTYPES[tensor.dtype]).reshape(tensor.shape))
    return arrays


def _random_bytes(tensor: Tensor) -> int:
    return tensor.elements if tensor.dtype == "float32" else tensor.bytes


def extreme_inputs(graph: Graph) -> list[list[Array]]:
    """All inputs at their lowest value, then all at their highest: saturation on purpose."""

    def filled(tensor: Tensor, high: bool) -> Array:
        if tensor.dtype == "float32":
            return np.full(tensor.shape, 1e6 if high else -1e6, np.float32)
        if tensor.dtype == "bool":
            return np.full(tensor.shape, high, np.bool_)
        info = np.iinfo(np.dtype(DTYPES[tensor.dtype]))
        return np.full(tensor.shape, info.max if high else info.min, DTYPES[tensor.dtype])

    return [[filled(tensor, high) for tensor in graph.input_tensors] for high in (False, True)]


def make_inputs(graph: Graph, count: int, seed: int) -> list[list[Array]]:
    """`count` input sets: random ones from `seed` on, and the two extremes as the last two when there is room for them."""
    extremes = extreme_inputs(graph) if count >= 4 else []
    return [random_inputs(graph, seed + i) for i in range(count - len(extremes))] + extremes


def load_inputs(graph: Graph, paths: Sequence[Path]) -> list[list[Array]]:
    """Input sets from .npy or .npz files: one file with the model's only input, or one file per input in order.

    A file may hold one sample (the input's shape, with or without the batch dimension) or many along a new first axis.
    """
    if not paths:
        return []
    if len(paths) != len(graph.inputs):
        raise ModelError(
            "--input",
            f"{len(paths)} files given",
            expected=f"{len(graph.inputs)}, one per input: {', '.join(graph.input_names)}",
        )
    columns = [_samples(path, tensor) for path, tensor in zip(paths, graph.input_tensors, strict=True)]
    counts = {len(column) for column in columns}
    if len(counts) != 1:
        raise ModelError(
            "--input", f"the files hold {sorted(counts)} samples", expected="the same number in every file"
        )
    return [list(row) for row in zip(*columns, strict=True)]


def _samples(path: Path, tensor: Tensor) -> list[Array]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ModelError(str(path), "no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(
            str(path), f"not a numpy file: {error}", expected="a .npy array of the model's input"
        ) from None
    if not isinstance(loaded, np.ndarray):
        names = list(loaded.files)
        if len(names) != 1:
            raise ModelError(str(path), f"holds {len(names)} arrays: {', '.join(names[:8])}", expected="one array")
        loaded = loaded[names[0]]
    array = np.asarray(loaded)
    if array.dtype != DTYPES[tensor.dtype]:
        hint = "quantize the data first: q = round(x / scale) + zero_point" if array.dtype.kind == "f" else ""
        raise ModelError(
            str(path), f"{array.dtype} data", expected=f"{tensor.dtype}, as input '{tensor.name}' is", hint=hint
        )
    if array.size == 0 or array.size % tensor.elements:
        raise ModelError(
            str(path),
            f"shape {list(array.shape)}",
            expected=f"{list(tensor.shape)}, or several of them along a first axis",
        )
    return list(np.ascontiguousarray(array).reshape(-1, *tensor.shape))
