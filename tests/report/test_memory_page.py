# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/memory.md work, and its table of goals is that of the code."""

import json
import re
import shlex
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from plans import ROOT
from tinyc import check_plan
from tinyc.report.plan import Plan, PlanBuffer, PlanOverlap
from tinyc.select import GOALS

sys.path.insert(0, str(ROOT / "tests" / "cli"))
from command import tinyc

TEXT = (ROOT / "docs" / "memory.md").read_text()


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands = [
        shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for line in block.splitlines()
    ]
    assert len(commands) >= 4 and all(command[0] == "tinyc" for command in commands)
    for _, *arguments in commands:
        verify = ("--verify", "none") if arguments[0] == "build" else ()
        shown = tinyc(*arguments, *verify)
        assert shown.code == 0, shown.err
    arena = {
        path.name: json.loads((path / "report.json").read_text())["ram"]["arena"] for path in tmp_path.glob("kws-*")
    }
    assert arena["kws-small"] <= arena["kws-m4"] and arena["kws-budget"] <= 4000


def test_goals() -> None:
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\| (.*) \|$", TEXT, re.MULTILINE))
    for name, goal in GOALS.items():
        percent = f"at most {round(100 * (goal.slack - 1))} % above" in rows[name]
        assert percent or f"at most {goal.slack:g} times" in rows[name], name
    assert {goal.tables for goal in GOALS.values()} == {float("inf"), 3.0} and "at most three times the bytes" in TEXT


def test_keys_of_the_plan() -> None:
    """Every key of the plan is in the table, and what the check reads is what the report has."""
    table = TEXT[TEXT.index("## The certificate") :]
    for kind in (Plan, PlanBuffer, PlanOverlap):
        assert all(f"`{field.name}`" in table for field in fields(kind))
    names = {kind: {field.name for field in fields(kind)} for kind in (Plan, PlanBuffer, PlanOverlap)}
    assert set(check_plan.BUFFER) == names[PlanBuffer] and set(check_plan.OVERLAP) == names[PlanOverlap]
    assert set(check_plan.PLAN) == names[Plan] - {"method", "buffers", "overlaps"}
    assert all(f"`{kind}`" in table for kind in check_plan.KINDS)
