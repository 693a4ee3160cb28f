# SPDX-License-Identifier: Apache-2.0
"""Runs a project's robot test in Renode: the whole board, booted, fed over its UART."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from ..emulators.renode import INSTALL, run_robot, unavailable
from ..errors import MismatchError, ToolError, UsageError
from . import EngineResult

#: Seconds for building the firmware, and for the robot test.
BUILD_TIMEOUT, ROBOT_TIMEOUT = 600.0, 1800.0


def verify_in_renode(
    files: Mapping[str, bytes], board: str, expected: bytes, progress: Callable[[str], None] = lambda text: None
) -> EngineResult:
    """Builds the `renode/` firmware of a project (path → bytes) and runs its robot test.

    `expected` are the output bytes of the project's reference inference, which the board must print.

    Raises UsageError when the board is none that Renode can run, ToolError for missing tools, MismatchError otherwise.
    """
    robot = f"renode/{board}.robot"
    if robot not in files:
        raise UsageError("renode", f"board '{board}' is none that Renode can run", hint="`tinyc boards` says which can")
    if (reason := unavailable()) is not None:
        raise ToolError("renode", reason.removesuffix(f": {INSTALL}"), hint=INSTALL)
    with tempfile.TemporaryDirectory(prefix="tinyc-") as folder:
        work = Path(folder)
        for path, data in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_bytes(data)
        progress("building the Renode firmware")
        _cmake("-S", "renode", "-B", "renode/build", work=work)
        _cmake("--build", "renode/build", work=work)
        progress("running in renode")
        run = run_robot(work / robot, ROBOT_TIMEOUT)
    failed = [name for name, passed in run.tests.items() if not passed]
    if failed or not run.passed:
        last = "\n    ".join(run.log.strip().splitlines()[-12:])
        raise MismatchError(
            f"board '{board}' in Renode", f"{', '.join(failed) or 'the robot test'} failed:\n    {last}"
        )
    if run.output != expected * len(run.tests):
        raise MismatchError(
            f"board '{board}' in Renode", f"printed {run.output.hex() or 'no output bytes'}", expected=expected.hex()
        )
    return EngineResult(
        emulator="renode",
        toolchain="the project's CMake toolchain",
        proves=f"Proves that the firmware in renode/ boots on the modelled {board} and prints the right bytes; it does not "
        "prove the vendor's framework or any timing.",
        inputs=len(run.tests),
        bytes_compared=len(run.output),
        layers_compared=0,
        instructions=None,
        layers=None,
        functions={},
        stack=None,
    )


def _cmake(*arguments: str, work: Path) -> None:
    program = shutil.which("cmake")
    if program is None:
        raise ToolError("renode", "cmake is not on PATH", hint="apt-get install cmake, or pip install cmake")
    try:
        done = subprocess.run(
            [program, *arguments], cwd=work, capture_output=True, text=True, errors="replace", timeout=BUILD_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise ToolError("renode", f"cmake did not end within {BUILD_TIMEOUT:g} seconds") from None
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ToolError("renode firmware", "cmake failed:\n    " + "\n    ".join(lines[-12:]))
