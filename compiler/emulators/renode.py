# SPDX-License-Identifier: Apache-2.0
"""Runs a project's robot test in Renode with `renode-test`, when that is on PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ToolError

#: What to do to get Renode.
INSTALL = "install Renode 1.16 or later from its releases and put renode-test on PATH"

#: The console's answer to an input line: `O <hex bytes> <microseconds>`.
_OUTPUT = re.compile(r"\bO ([0-9a-f]+) [0-9]+")
_FINISHED = re.compile(r"Finished test '([^']+)' in [\d.]+ seconds with status (\w+)")


@dataclass(frozen=True)
class RobotRun:
    """A finished robot test. `tests`: name → passed. `output`: the bytes of each test's first output line, in order."""

    passed: bool
    tests: Mapping[str, bool]
    output: bytes
    log: str


def unavailable() -> str | None:
    """Why Renode cannot run here, with what to do about it; None when it can."""
    return None if shutil.which("renode-test") else f"renode-test is not on PATH: {INSTALL}"


def run_robot(robot: Path, timeout: float) -> RobotRun:
    """Runs `renode-test` on a .robot file. Raises ToolError when it is missing, hangs, or reports no test at all."""
    program = shutil.which("renode-test")
    if program is None:
        raise ToolError("renode", "renode-test is not on PATH", hint=INSTALL)
    with tempfile.TemporaryDirectory(prefix="tinyc-") as results:
        try:
            done = subprocess.run(
                [program, "-r", results, robot.name],
                cwd=robot.parent,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ToolError("renode", f"{robot.name} did not end within {timeout:g} seconds") from error
        except OSError as error:
            raise ToolError("renode", f"renode-test does not start: {error}", hint=INSTALL) from error
        output = b"".join(_outputs(path) for path in sorted(Path(results).rglob("robot_output*.xml")))
    tests = {name.split(".", 1)[-1]: status == "OK" for name, status in _FINISHED.findall(done.stdout)}
    if not tests:
        last = (done.stdout.strip().splitlines() or ["no message"])[-1]
        raise ToolError("renode", f"renode-test ran no test of {robot.name}: {last}")
    return RobotRun(done.returncode == 0 and all(tests.values()), tests, output, done.stdout)


def _outputs(report: Path) -> bytes:
    """The first output line of each test in Robot Framework's report."""
    try:
        tests = ElementTree.parse(report).iter("test")
        lines = [_OUTPUT.search("\n".join(message.text or "" for message in test.iter("msg"))) for test in tests]
    except (ElementTree.ParseError, OSError):
        return b""
    return b"".join(bytes.fromhex(line[1]) for line in lines if line is not None and len(line[1]) % 2 == 0)
