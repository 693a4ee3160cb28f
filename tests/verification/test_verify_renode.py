# SPDX-License-Identifier: Apache-2.0
"""`--verify renode` up to the door of Renode: the firmware is really built, a stand-in plays renode-test."""

import re
import shutil
from pathlib import Path

import pytest
import tinyc
from tinyc.errors import MismatchError, ToolError, UsageError

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "examples" / "sine" / "sine.tflite"
NEEDED = ("cmake", "make", "arm-none-eabi-gcc")

FAKE = """#!/bin/sh
test -s build/firmware.elf || { echo "no firmware"; exit 9; }
cat > "$2/robot_output.xml" <<'END'
<robot><suite><test name="a"><kw><msg>O OUTPUT 12</msg></kw></test></suite></robot>
END
echo "+++++ Finished test 'board.a' in 0.10 seconds with status STATUS"
exit EXIT
"""


@pytest.fixture
def renode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for program in NEEDED:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder / "renode-test"


def play(program: Path, output: str, status: str = "OK", code: int = 0) -> None:
    program.write_text(FAKE.replace("OUTPUT", output).replace("STATUS", status).replace("EXIT", str(code)))
    program.chmod(0o755)


def golden(folder: Path) -> str:
    """The output byte that the project's own robot test expects."""
    robot = next(folder.glob("renode/*.robot")).read_text()
    return re.findall(r"Should Be Equal +\$\{answer\.Groups\[0\]\} +([0-9a-f]+)", robot)[0]


def test_pass_wrong_output_and_failure(renode: Path, tmp_path: Path) -> None:
    tinyc.compile(MODEL, "nucleo_f446re", verify="none").write(tmp_path / "out")
    right = golden(tmp_path / "out")
    play(renode, right)
    (result,) = tinyc.verify(tmp_path / "out", emulator="renode")
    assert (result.emulator, result.bytes_compared) == ("renode", 1)
    report = tinyc.compile(MODEL, "nucleo_f446re", verify="renode").report
    assert report.verification[0].emulator == "renode"
    play(renode, f"{(int(right, 16) + 1) % 256:02x}")
    with pytest.raises(MismatchError, match="printed"):
        tinyc.verify(tmp_path / "out", emulator="renode")
    play(renode, right, "failed", 1)
    with pytest.raises(MismatchError, match="a failed"):
        tinyc.verify(tmp_path / "out", emulator="renode")


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="none that Renode can run"):
        tinyc.compile(MODEL, "pico", verify="renode")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="put renode-test on PATH"):
        tinyc.compile(MODEL, "nucleo_f446re", verify="renode")
