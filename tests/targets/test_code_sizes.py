# SPDX-License-Identifier: Apache-2.0
"""The table of code sizes names every kernel and is about right."""

import runpy
from pathlib import Path

import pytest
from tinyc.errors import ToolError
from tinyc.targets import code_sizes

MODULE = runpy.run_path(str(Path(__file__).resolve().parents[2] / "benchmarks" / "code_sizes.py"))
KERNELS = MODULE["kernels"]()


def test_every_kernel_is_in_the_table() -> None:
    assert set(code_sizes()) == set(KERNELS), "run benchmarks/code_sizes.py"


@pytest.mark.parametrize("function", sorted(KERNELS))
def test_size_is_about_right(function: str) -> None:
    try:
        measured = MODULE["measure"](KERNELS[function])
    except ToolError as error:
        pytest.skip(str(error))
    assert code_sizes()[function] == pytest.approx(measured, rel=0.5, abs=64), "run benchmarks/code_sizes.py"
