# SPDX-License-Identifier: Apache-2.0
"""The float32 exp, logistic and tanh of our own: how far off they are, and that C computes the same bits."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from oracle import C_FLAGS, check, compiled_outputs
from tinyc import reference
from tinyc.graph import Array
from tinyc.ops import mean
from tinyc.ops._broadcast import two_input_graph
from tinyc.ops._elementwise import one_input_graph
from tinyc.ops._float_exp import exp, logistic, tanh

RUNTIME = Path(__file__).resolve().parents[2] / "runtime_c"

#: Every 4093th float32: some of each exponent and sign, without not-a-numbers; and more where the functions bend.
_BITS = np.arange(0, 2**32, 4093, dtype=np.uint64).astype(np.uint32).view(np.float32)
VALUES = np.concatenate(
    [
        _BITS[~np.isnan(_BITS)],
        np.linspace(-104, 89, 400_001, dtype=np.float32),
        np.linspace(-1, 1, 200_001, dtype=np.float32),
        np.array([np.inf, -np.inf, 0.0, -0.0, 88.72283, 88.72284, -103.97208, -103.97209, 16.619047, -9.0], np.float32),
    ]
)


def units(got: Array, exact: Array) -> Array:
    """How many units in the last place of float32 `got` is from `exact` (float64)."""
    unit = 2.0 ** np.maximum(np.floor(np.log2(np.maximum(np.abs(exact), 2.0**-149))) - 23, -149)
    off: Array = np.abs(got - exact) / unit
    return off


def real_logistic(x: Array) -> Array:
    return np.where(x > np.float32(16.619047), 1.0, np.where(x < -9, np.exp(x), 1 / (1 + np.exp(-x))))


@pytest.mark.parametrize(
    ("function", "real", "most"), [(exp, np.exp, 1.0), (logistic, real_logistic, 2.0), (tanh, np.tanh, 2.0)]
)
def test_error(function: Callable[[Array], Array], real: Callable[[Array], Array], most: float) -> None:
    with np.errstate(all="ignore"):
        exact = real(VALUES.astype(np.float64))
    got = function(VALUES)
    infinite = np.isinf(exact.astype(np.float64)) | (exact >= 2.0**128)
    assert np.isinf(got[exact >= 2.0**128]).all()
    assert units(got[~infinite].astype(np.float64), exact[~infinite]).max() <= most


def test_what_is_not_a_number_stays() -> None:
    for function in (exp, logistic, tanh):
        assert np.isnan(function(np.array([np.nan], np.float32))).all()


@pytest.mark.parametrize("op", ["ADD", "MUL", "SUB", "RELU", "RELU6", "LOGISTIC", "TANH", "SOFTMAX", "MEAN"])
def test_what_is_not_a_number_stays_in_c(op: str) -> None:
    """Which of the many that it is may differ from core to core."""
    values = np.array([[1.0, np.nan, -2.0]], np.float32)
    if op in ("ADD", "MUL", "SUB"):
        graph = two_input_graph(op, ((1, 3), (1, 3)), (1, 1, 1), activation="RELU6", same=True, element="float32")
    elif op == "MEAN":
        graph = mean.case((1, 3), (0,), element="float32")
    else:
        attributes: dict[str, object] = {"beta": 1.0} if op == "SOFTMAX" else {}
        graph = one_input_graph(op, (1, 3), ("float32", 0, 0), ("float32", 0, 0), attributes)
    [[got]] = compiled_outputs(graph, [[values]])
    [want] = reference.outputs(graph, [values])
    assert np.isnan(want).reshape(-1).tolist() == [op == "SOFTMAX", True, op == "SOFTMAX"]
    assert np.isnan(got).tolist() == np.isnan(want).tolist()
    assert got[~np.isnan(got)].tobytes() == want[~np.isnan(want)].tobytes()


@pytest.mark.parametrize("op", ["ADD", "MUL", "RELU", "LOGISTIC", "TANH"])
@pytest.mark.parametrize("element", ["int16", "float32"])
def test_a_scalar(op: str, element: str) -> None:
    if op in ("ADD", "MUL"):
        graph = two_input_graph(op, ((), ()), (0.01, 0.02, 0.03), element=element)
    else:
        ends = (element, 0.0 if element == "float32" else 2.0**-15, 0)
        graph = one_input_graph(op, (), ends, ends)
    check(graph)


def test_the_sign_of_zero() -> None:
    assert np.signbit(tanh(np.array([-0.0, 0.0], np.float32))).tolist() == [True, False]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("flags", [C_FLAGS, ["-O3", "-std=gnu17", "-march=native"]], ids=["c99", "gnu17"])
def test_c_computes_the_same_bits(flags: list[str], compiler: str, tmp_path: Path) -> None:
    """With the second flags a compiler would fuse products and sums if it were not told otherwise."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    source = tmp_path / "all.c"
    source.write_text(
        '#include "tinyc_float.h"\n#include "tinyc_exp.h"\n#include "tinyc_kernels.h"\n'
        "void exps(const float *input, float *output, uint32_t size);\n"
        "void exps(const float *input, float *output, uint32_t size) "
        "{ for (uint32_t i = 0; i < size; i++) { output[i] = tinyc_exp(input[i]); } }\n"
    )
    kernels = [str(RUNTIME / "kernels" / "generic" / f"tinyc_{name}_f32.c") for name in ("logistic", "tanh")]
    folders = ["-I", str(RUNTIME), "-I", str(RUNTIME / "internal")]
    library = tmp_path / "all.so"
    subprocess.run(
        [compiler, *flags, "-shared", "-fPIC", *folders, str(source), *kernels, "-o", str(library)], check=True
    )
    loaded = ctypes.CDLL(str(library))
    for name, function in (("exps", exp), ("tinyc_logistic_f32", logistic), ("tinyc_tanh_f32", tanh)):
        got = np.empty_like(VALUES)
        getattr(loaded, name)(
            VALUES.ctypes.data_as(ctypes.c_void_p), got.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint32(VALUES.size)
        )
        want = function(VALUES)
        differs = np.flatnonzero(got.view(np.uint32) != want.view(np.uint32))
        assert differs.size == 0, f"{name}({VALUES[differs[0]]}): {got[differs[0]]}, expected {want[differs[0]]}"
