# SPDX-License-Identifier: Apache-2.0
"""`pio run` on generated projects, offline, and the firmware that comes out of it in QEMU.

PlatformIO finds a private core folder, so nobody's ~/.platformio is touched; SCons is the one from PyPI; the platform is
a stand-in (pio_platform/), because the real ones can only be downloaded. Only the line `platform =` is exchanged.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fake_model import MODELS, wrong
from project_support import Conversation, run, tool, write
from tinyc.boards import all_boards, load_board
from tinyc.placement import Place, Placement
from tinyc.projects import wrap
from tinyc.projects._link import link_script
from tinyc.resources import resource

HERE = Path(__file__).resolve().parent

PROJECTS = [
    ("nucleo_f446re", "arduino", "labelled"),
    ("pico", "arduino", "several"),
    ("esp32", "arduino", "single"),
    ("esp32", "espidf", "several"),
    ("esp32c3", "espidf", "labelled"),
]


@dataclass(frozen=True)
class Pio:
    """A private PlatformIO: where the stand-in platform is and the environment to run it in."""

    platform: Path
    environment: Mapping[str, str]

    def __call__(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        return run([sys.executable, "-m", "platformio", *arguments], cwd=cwd, env=self.environment)


def make_platform(folder: Path) -> Path:
    """The stand-in with every real board, under its PlatformIO name."""
    shutil.copytree(HERE / "pio_platform", folder)
    shutil.copytree(HERE / "stubs", folder / "stubs")
    shutil.copytree(resource("runtime_c") / "startup", folder / "startup")
    (folder / "link.ld").write_bytes(link_script(load_board("mps2-an386")))
    for board in all_boards().values():
        if board.platformio:
            facts = {
                "name": board.title,
                "vendor": "test",
                "url": "https://example.org",
                "frameworks": list(board.frameworks),
                "build": {"mcu": "an386", "f_cpu": "25000000L"},
                "upload": {"maximum_size": 4194304, "maximum_ram_size": 4194304},
            }
            path = folder / "boards" / f"{board.platformio.board}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(facts))
    return folder


def make_scons(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(HERE / "scons_shim.py", folder / "scons.py")
    facts = {"name": "tool-scons", "version": "4.41101.0", "description": "SCons of this Python", "system": "*"}
    (folder / "package.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="module")
def pio(tmp_path_factory: pytest.TempPathFactory) -> Pio:
    for module in ("platformio", "SCons"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (pip install tinyc[dev])")
    tool("arm-none-eabi-g++")
    home = tmp_path_factory.mktemp("pio")
    core = home / "core"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PLATFORMIO_", "PYTHONPATH"))}
    environment |= {
        "PLATFORMIO_CORE_DIR": str(core),
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL": "9999",
        "PLATFORMIO_NO_ANSI": "true",
        "HOME": str(home),
    }
    private = Pio(make_platform(home / "platform"), environment)
    private("pkg", "install", "-g", "-t", f"file://{make_scons(home / 'tool-scons')}")
    # PlatformIO looks for the package of this owner
    marker = core / "packages" / "tool-scons" / ".piopm"
    facts = json.loads(marker.read_text())
    facts["spec"]["owner"] = "platformio"
    marker.write_text(json.dumps(facts))
    return private


def build(pio: Pio, board: str, framework: str, model: str, folder: Path, *, broken: bool = False) -> tuple[Path, str]:
    """The ELF file, and what `pio run -v` said."""
    fake, facts = MODELS[model], load_board(board)
    info = fake.info(facts, framework)
    return on_the_stand_in(pio, board, wrap("platformio", fake.library(), wrong(info) if broken else info), folder)


def on_the_stand_in(pio: Pio, board: str, files: Mapping[str, bytes], folder: Path) -> tuple[Path, str]:
    """The ELF file of a project, built on the stand-in platform, and what `pio run -v` said."""
    write(files, folder)
    ini = folder / "platformio.ini"
    text, count = re.subn(
        r"^platform = .*$", f"platform = symlink://{pio.platform}", ini.read_text(), flags=re.MULTILINE
    )
    assert count == 1
    ini.write_text(text)
    said = pio("run", "-v", cwd=folder)
    assert "SUCCESS" in said
    return folder / ".pio" / "build" / board / "firmware.elf", said


def machine(elf: Path) -> Conversation:
    command = [tool("qemu-system-arm"), "-M", "mps2-an386", "-display", "none", "-monitor", "none", "-serial", "stdio"]
    return Conversation([*command, "-kernel", elf])


@pytest.mark.parametrize(("board", "framework", "model"), PROJECTS)
def test_pio_run_makes_firmware_that_is_right(pio: Pio, board: str, framework: str, model: str, tmp_path: Path) -> None:
    elf, said = build(pio, board, framework, model, tmp_path)
    fake = MODELS[model]
    assert [line for line in said.splitlines() if "warning:" in line and "/platform/" not in line] == []
    with machine(elf) as talk:
        talk.wait_for("# ready")
        assert f"tinyc {fake.name} self-test: PASS" in talk.heard
        assert any(line.startswith(f"O {fake.vector(0)[1].hex()} ") for line in talk.heard)
        for seed in (11, 12):
            given, wanted = fake.vector(seed)
            assert talk.ask(f"I {given.hex()}").split(" ")[:2] == ["O", wanted.hex()]
        assert talk.ask("?").startswith(f"S {fake.name} ")


def test_the_flags_of_the_project_arrive(pio: Pio, tmp_path: Path) -> None:
    _, said = build(pio, "nucleo_f446re", "arduino", "single", tmp_path)
    kernel = next(line for line in said.splitlines() if "tinyc_mix.c" in line and " -c " in line).split()
    assert "-O2" in kernel
    assert "-Os" not in kernel
    assert "-ffp-contract=off" in kernel
    assert "-Ilib/kws/src" in kernel


def test_a_wrong_byte_fails_the_self_test(pio: Pio, tmp_path: Path) -> None:
    elf, _ = build(pio, "nano33ble", "arduino", "single", tmp_path, broken=True)
    wanted = MODELS["single"].vector(1)[1][-1]
    with machine(elf) as talk:
        talk.wait_for("# ready")
        expected = f"vector 1 output byte 3 expected {(wanted + 1) % 256:02x} found {wanted:02x}"
        assert f"tinyc kws self-test: FAIL {expected}" in talk.heard


@pytest.mark.parametrize("board", [board.name for board in all_boards().values() if board.platformio])
def test_pio_reads_every_project(pio: Pio, board: str, tmp_path: Path) -> None:
    """`pio project config` accepts the file as it is, with the real platform's name."""
    facts = load_board(board)
    assert facts.platformio is not None
    for framework in facts.frameworks:
        folder = write(
            wrap("platformio", MODELS["single"].library(), MODELS["single"].info(facts, framework)),
            tmp_path / framework,
        )
        sections = dict(json.loads(pio("project", "config", "--json-output", "-d", folder)))
        options = dict(sections[f"env:{board}"])
        assert options["platform"] == facts.platformio.platform
        assert options["board"] == facts.platformio.board
        assert options["framework"] == [framework]
        assert options["build_flags"] == ["-O2", "-Wall"]


def test_a_script_of_our_own_reaches_the_linker(pio: Pio, tmp_path: Path) -> None:
    """PlatformIO fills in the project's folder and keeps the framework's own script; tests/placement checks the addresses."""
    fake, facts = MODELS["single"], load_board("nucleo_h743zi")
    arena = Place("arena", "dtcm", "ram", 131072, 14, 0, '__attribute__((section(".bss.tinyc_dtcm")))')
    placement = Placement(arena, Place("tables", "flash", "flash", 2097152, 0, 0))
    library = fake.library()
    library["kws.h"] += (
        b"#define KWS_CONTEXT_SECTION\n"  # nothing is put there: the stand-in's RAM has the same addresses
    )
    write(wrap("platformio", library, replace(fake.info(facts, "arduino"), placement=placement)), tmp_path)
    ini = tmp_path / "platformio.ini"
    ini.write_text(re.sub(r"^platform = .*$", f"platform = symlink://{pio.platform}", ini.read_text(), flags=re.M))
    said = pio("run", "-v", cwd=tmp_path)
    link = next(line for line in said.splitlines() if "firmware.elf" in line and "--script" in line)
    assert f"--script,{tmp_path}/memories.ld" in link
    assert f"-T {pio.platform}/link.ld" in link
    assert "memories.c" in said
    with machine(tmp_path / ".pio" / "build" / "nucleo_h743zi" / "firmware.elf") as talk:
        talk.wait_for("# ready")
        assert any(line.startswith(f"O {fake.vector(0)[1].hex()} ") for line in talk.heard)
