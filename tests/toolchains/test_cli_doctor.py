# SPDX-License-Identifier: Apache-2.0
"""`tinyc doctor` tells what works, and the install line of what does not; it never fails."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tinyc.cli.doctor import command
from tinyc.targets.cpus import CPUS


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_doctor_as_text_and_json() -> None:
    found = json.loads(run("--json"))
    assert [core["name"] for core in found["cores"]] == list(CPUS)
    assert {tool["name"] for tool in found["compilers"]} == {"zig", "gcc", "clang"}
    text = run()
    for tool in (*found["compilers"], *found["emulators"]):
        assert tool["name"] in text
        assert (tool["version"] or tool["install"]) in text


def test_doctor_with_nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("tinyc.emulators.unicorn._version", lambda: None)
    found = json.loads(run("--json"))
    assert all(tool["version"] is None for tool in (*found["compilers"], *found["emulators"]))
    assert all(core["compilers"] == core["emulators"] == [] for core in found["cores"])
    text = run()
    for line in ("pip install 'tinyc[emulate]'", "apt-get install gcc-arm-none-eabi", "apt-get install qemu-user"):
        assert line in text
