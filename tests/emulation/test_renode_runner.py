# SPDX-License-Identifier: Apache-2.0
"""The renode-test driver, against a program that behaves like it."""

from pathlib import Path

import pytest
from tinyc.emulators.renode import run_robot, unavailable
from tinyc.errors import ToolError

REPORT = """<?xml version="1.0"?>
<robot><suite><test name="Golden 0"><kw><msg level="INFO">${answer} = O 0aff 123 *beef</msg>
<msg level="INFO">O 0aff 123 *beef</msg></kw><status status="PASS"/></test>
<test name="Golden 1"><kw><msg level="INFO">O 0102 99</msg></kw><status status="PASS"/></test></suite></robot>
"""
FAKE = """#!/bin/sh
test "$1" = -r && test -f "$3" || exit 9
cat > "$2/robot_output.xml" <<'END'
{report}END
echo "+++++ Starting test 'board.Golden 0'"
echo "+++++ Finished test 'board.Golden 0' in 1.20 seconds with status OK"
echo "+++++ Finished test 'board.Golden 1' in 0.31 seconds with status {status}"
exit {exit}
"""


@pytest.fixture
def robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    path = tmp_path / "board.robot"
    path.write_text("*** Test Cases ***\n")
    return path


def install(folder: Path, text: str) -> None:
    program = folder / "renode-test"
    program.write_text(text)
    program.chmod(0o755)


def test_pass_and_output(robot: Path) -> None:
    install(robot.parent, FAKE.format(report=REPORT, status="OK", exit=0))
    run = run_robot(robot, 30)
    assert unavailable() is None
    assert run.passed
    assert run.tests == {"Golden 0": True, "Golden 1": True}
    assert run.output == bytes([0x0A, 0xFF, 1, 2])


def test_failure(robot: Path) -> None:
    install(robot.parent, FAKE.format(report=REPORT, status="failed", exit=1))
    run = run_robot(robot, 30)
    assert not run.passed
    assert run.tests == {"Golden 0": True, "Golden 1": False}


def test_hang_crash_and_absence(robot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(robot.parent, "#!/bin/sh\nexec sleep 30\n")
    with pytest.raises(ToolError, match=r"did not end within 0\.3 seconds"):
        run_robot(robot, 0.3)
    install(robot.parent, "#!/bin/sh\necho 'No usable .NET found'; exit 1\n")
    with pytest.raises(ToolError, match=r"ran no test of board\.robot: No usable"):
        run_robot(robot, 30)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "put renode-test on PATH" in str(unavailable())
    with pytest.raises(ToolError, match="put renode-test on PATH"):
        run_robot(robot, 30)
