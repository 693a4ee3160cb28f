# SPDX-License-Identifier: Apache-2.0
"""The header's quantize and dequantize functions against numpy, over many values."""

from pathlib import Path

import numpy as np
import pytest
from emitted import library, missing, run, write
from tinyc.graph import Graph, Quantization, Tensor, single_node_graph

pytestmark = pytest.mark.skipif(bool(missing("gcc")), reason=missing("gcc"))

CASES = [
    ("int8", 0.1, -3),
    ("int8", 0.00390625, -128),
    ("int8", 1.0, 127),
    ("uint8", 0.0078125, 128),
    ("uint8", 3.7e10, 0),
    ("int8", 1e-30, 5),
]
MAIN = """
#include <stdio.h>
#include "net.h"
int main(void) {
    float real;
    while (fread(&real, sizeof real, 1, stdin) == 1) {
        const TYPE q = net_quantize_input(real);
        fwrite(&q, 1, 1, stdout);
    }
    for (int q = LOW; q <= HIGH; q++) {
        const float back = net_dequantize_output((TYPE)q);
        fwrite(&back, sizeof back, 1, stdout);
    }
    return 0;
}
"""


def identity(dtype: str, scale: float, zero_point: int) -> Graph:
    tensor = Tensor("x", (1, 4), dtype, Quantization((float(np.float32(scale)),), (zero_point,)))
    shape = Tensor("shape", (2,), "int32", None, np.array([4, 1], np.int32))
    return single_node_graph(
        "RESHAPE", (tensor, shape), (Tensor("y", (4, 1), dtype, tensor.quantization),), {"new_shape": (4, 1)}
    )


def reals(scale: np.float32) -> np.ndarray:
    """Every quotient's tie and its neighbours, both zeros, infinities, NaN, subnormals, the ends of float32, random ones."""
    ties = (np.arange(-600, 601) / 2).astype(np.float32) * scale
    around = [np.nextafter(ties, np.float32(end)) for end in (-np.inf, np.inf)]
    nearly_half = np.array([0.49999997, -0.49999997, 0.5, -0.5], np.float32) * scale
    special = np.array(
        [0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-45, -1e-45, 3.4e38, -3.4e38, 2**31, -(2**31)], np.float32
    )
    random = np.random.default_rng(1).normal(0, 100, 20000).astype(np.float32) * scale
    bits = np.random.default_rng(2).integers(0, 2**32, 20000, np.uint64).astype(np.uint32).view(np.float32)
    return np.concatenate([ties, *around, nearly_half, special, random, bits])


def quantized(real: np.ndarray, scale: np.float32, zero_point: int, low: int, high: int) -> np.ndarray:
    """clamp(round(real / scale) + zero_point), the quotient in float32, halves away from zero; NaN is the low end."""
    with np.errstate(all="ignore"):
        quotient = (real / scale).astype(np.float32).astype(np.float64)
    rounded = np.trunc(quotient + np.copysign(0.5, quotient))
    return np.where(np.isnan(quotient), low, np.clip(rounded + zero_point, low, high)).astype(np.int64)


@pytest.mark.parametrize(("dtype", "scale", "zero_point"), CASES)
def test_quantize_and_dequantize(dtype: str, scale: float, zero_point: int, tmp_path: Path) -> None:
    info = np.iinfo(dtype)
    folder = write(tmp_path / "net", library(identity(dtype, scale, zero_point), "net"))
    main = MAIN.replace("TYPE", f"{dtype}_t").replace("LOW", str(info.min)).replace("HIGH", str(info.max))
    (folder / "main.c").write_text(main)
    sanitize = ["-fsanitize=undefined,float-cast-overflow", "-fno-sanitize-recover=all"]
    run(
        [
            "gcc",
            "-std=c99",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Wconversion",
            "-Werror",
            *sanitize,
            folder / "main.c",
            "-o",
            folder / "main",
        ]
    )
    given, step = reals(np.float32(scale)), np.float32(scale)
    found = run([folder / "main"], stdin=given.tobytes())
    got = np.frombuffer(found[: len(given)], dtype).astype(np.int64)
    want = quantized(given, step, zero_point, info.min, info.max)
    wrong = np.flatnonzero(got != want)
    assert wrong.size == 0, [(float(given[i]), int(got[i]), int(want[i])) for i in wrong[:5]]
    numbers = np.arange(info.min, info.max + 1)
    real = (step * (numbers - zero_point).astype(np.float32)).astype(np.float32)
    assert found[len(given) :] == real.tobytes()
