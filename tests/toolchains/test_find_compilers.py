# SPDX-License-Identifier: Apache-2.0
"""Finding compilers: missing and broken ones are named with the line that installs them."""

from pathlib import Path

import pytest
from tinyc.errors import ToolError, UsageError
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Toolchain, find, install_line, kinds, try_kind
from tinyc.toolchains.flags import FLAGS

INSTALL = {
    "cortex-m4": r"apt-get install gcc-arm-none-eabi or pip install 'tinyc\[emulate\]'",
    "rv32imc": r"apt-get install gcc-riscv64-unknown-elf or pip install 'tinyc\[emulate\]'",
    "xtensa-lx6": "apt-get install clang-22 llvm-22 binutils-xtensa-lx106",
    "host": r"apt-get install gcc libc6-dev or pip install 'tinyc\[emulate\]'",
}


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No compiler anywhere: PATH is one empty folder, which is returned, and ziglang is not installed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    return folder


def script(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_every_core_has_flags_and_an_order() -> None:
    assert set(FLAGS) == set(CPUS)
    for cpu in CPUS.values():
        for kind in kinds(cpu):
            assert getattr(FLAGS[cpu.name], "llc" if kind == "clang" else kind) is not None
            assert install_line(kind, cpu)


@pytest.mark.parametrize("cpu", INSTALL)
@pytest.mark.usefixtures("empty_path")
def test_missing_compilers_name_the_install_line(cpu: str) -> None:
    with pytest.raises(ToolError, match=INSTALL[cpu]) as caught:
        find(CPUS[cpu])
    assert caught.value.exit_code == 4
    assert CPUS[cpu].title in caught.value.found


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("exit 1", "it does not start"),
        ("exec /nonexistent/program", "it does not start"),
        ('case "$1" in -dump*) echo 12.2.1;; *) echo "cannot execute cc1" >&2; exit 1;; esac', "cannot execute cc1"),
        ('case "$1" in -dump*) echo 12.2.1;; *) exit 0;; esac', "cannot compile"),
    ],
    ids=["fails", "lacks its program", "lacks its parts", "writes nothing"],
)
def test_a_broken_gcc_is_named_and_not_used(body: str, problem: str, empty_path: Path) -> None:
    program = script(empty_path, "arm-none-eabi-gcc", body)
    with pytest.raises(ToolError, match="gcc-arm-none-eabi") as caught:
        find(CPUS["cortex-m4"])
    assert str(program) in caught.value.found
    assert problem in caught.value.found


def test_a_folder_or_plain_file_of_that_name_is_not_a_compiler(empty_path: Path) -> None:
    (empty_path / "arm-none-eabi-gcc").mkdir()
    (empty_path / "riscv64-unknown-elf-gcc").write_text("not executable")
    assert "is not on PATH" in str(try_kind("gcc", CPUS["cortex-m4"]))
    assert "is not on PATH" in str(try_kind("gcc", CPUS["rv32imc"]))


def test_a_broken_gcc_falls_back_to_zig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not isinstance(try_kind("zig", CPUS["cortex-m4"]), Toolchain):
        pytest.skip("no zig: pip install 'tinyc[emulate]'")
    script(tmp_path, "arm-none-eabi-gcc", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find(CPUS["cortex-m4"]).kind == "zig"


def test_a_half_of_the_xtensa_tools_is_not_enough(empty_path: Path) -> None:
    script(empty_path, "clang-22", "echo 22.1.8")
    with pytest.raises(ToolError, match="llc-22, llvm-mc-22, xtensa-lx106-elf-ld not on PATH"):
        find(CPUS["xtensa-lx6"])


def test_wrong_choices_are_explained() -> None:
    with pytest.raises(UsageError, match="did you mean 'clang'"):
        find(CPUS["cortex-m4"], "clangg")
    with pytest.raises(ToolError, match="gcc cannot build for Xtensa") as caught:
        find(CPUS["xtensa-lx6"], "gcc")
    assert "clang" in caught.value.hint
