# SPDX-License-Identifier: Apache-2.0
"""The board files: every one is complete and consistent, and a wrong one is refused with file and key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from tinyc.boards import all_boards, load_board, parse_board
from tinyc.errors import UsageError
from tinyc.resources import resource
from tinyc.targets.cpus import CPUS

BOARDS = sorted(all_boards())

ISSUE_BOARDS = {
    "esp32", "esp32s3", "esp32c3", "nucleo_f446re", "nucleo_h743zi", "nano33ble", "pico", "bluepill", "mps2-an385",
    "mps2-an385-m0plus", "mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547", "riscv32-virt", "host",
}  # fmt: skip

GOOD = """\
name = "mine"
title = "My board"
cpu = "cortex-m4"
clock_hz = 48_000_000
frameworks = ["arduino"]
sources = ["https://example.org/datasheet"]
[[memory]]
name = "flash"
kind = "flash"
origin = 0
size = 65536
usable_by_app = 49152
[[memory]]
name = "sram"
kind = "ram"
origin = 0x20000000
size = 16384
[platformio]
platform = "ststm32"
board = "mine_board"
[console]
uart = "USART1"
baud = 9600
"""


def test_the_boards_of_the_issue_are_there() -> None:
    assert set(BOARDS) >= ISSUE_BOARDS


@pytest.mark.parametrize("name", BOARDS)
def test_board(name: str) -> None:
    board = load_board(name)
    assert board.name == name
    assert (resource("boards") / f"{name}.toml").is_file(), "the file is called like the board"
    assert board.cpu in CPUS
    assert board.flash_bytes > 0
    assert board.ram_bytes > 0
    assert all(source.startswith("https://") for source in board.sources)
    assert board.is_emulated == (board.frameworks in (("baremetal",), ("host",)) and name != "coral-dev-micro")
    assert board.clock_hz > 0 or board.is_emulated
    if board.platformio:
        assert board.console.baud > 0
        assert f"/{board.platformio.platform}/{board.platformio.board}.html" in board.sources[0]
    if not board.emulator.unicorn and not board.is_emulated:
        assert board.proves, "a chip without its emulator says what is proved instead"
    if board.emulator.unicorn:
        assert board.emulator.unicorn == board.cpu


@pytest.mark.parametrize(
    ("name", "flash", "ram", "clock"),
    [
        ("bluepill", 65536, 20480, 72),
        ("nucleo_f446re", 524288, 131072, 180),
        ("nucleo_h743zi", 2097152, 524288, 400),
        ("nano33ble", 983040, 262144, 64),
        ("pico", 2097152, 270336, 133),
        ("esp32", 0x300000, 0x2C200 - 0xDB5C, 240),
    ],
)
def test_what_an_app_can_use(name: str, flash: int, ram: int, clock: int) -> None:
    board = load_board(name)
    assert (board.flash_bytes, board.ram_bytes, board.clock_hz) == (flash, ram, clock * 1_000_000)


def test_no_two_boards_share_a_name() -> None:
    spellings = [
        spelling.lower().replace("_", "-")
        for board in all_boards().values()
        for spelling in (board.name, *board.aliases)
    ]
    assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("nucleo-f446re", "nucleo_f446re"),
        ("NUCLEO_F446RE", "nucleo_f446re"),
        ("esp32dev", "esp32"),
        ("rpipico", "pico"),
        ("mps2_an386", "mps2-an386"),
        ("native", "host"),
    ],
)
def test_other_names(asked: str, found: str) -> None:
    assert load_board(asked).name == found


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("esp23", "'esp32'"), ("nucleo_f446", "'nucleo_f446re'"), ("bluepil", "'bluepill'"), ("zzzzzz", "known names: ")],
)
def test_unknown_names_get_a_suggestion(asked: str, hint: str) -> None:
    with pytest.raises(UsageError, match="unknown board") as error:
        load_board(asked)
    assert hint in error.value.hint
    assert error.value.exit_code == 2


def test_a_path_to_an_own_board(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    board = load_board(str(path))
    assert (board.name, board.flash_bytes, board.ram_bytes) == ("mine", 49152, 16384)
    assert board.main_memory("flash").name == "flash"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml: cannot be read: No such file"):
        load_board(str(tmp_path / "nowhere.toml"))


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_board(str(path))


@pytest.mark.parametrize(
    ("old", "new", "where", "found"),
    [
        ('title = "My board"', "", "title", "missing"),
        ('title = "My board"', 'title = ""', "title", "empty"),
        ('cpu = "cortex-m4"', 'cpu = "cortex-m44"', "cpu", "cortex-m44"),
        ("clock_hz = 48_000_000", 'clock_hz = "fast"', "clock_hz", "'fast'"),
        ("clock_hz = 48_000_000", "clock_hz = true", "clock_hz", "True"),
        ("clock_hz = 48_000_000", "clock_hz = -1", "clock_hz", "-1"),
        ("clock_hz", "clock_hzz = 1\nclock_hz", "clock_hzz", "not a known key"),
        ('name = "mine"', 'name = "My Board"', "name", "My Board"),
        ('["arduino"]', '["arduin"]', "frameworks", "arduin"),
        ('["arduino"]', "[]", "frameworks", "''"),
        ('["arduino"]', "[1]", "frameworks", "[1]"),
        ('["https://example.org/datasheet"]', "[]", "sources", "empty"),
        ('kind = "flash"', 'kind = "flsh"', "memory[0].kind", "flsh"),
        ("size = 65536", "size = 0", "memory[0].size", "0"),
        ("usable_by_app = 49152", "usable_by_app = 99999999", "memory[0].usable_by_app", "99999999"),
        ('kind = "ram"', 'kind = "flash"', "memory", "no usable ram"),
        ("origin = 0x20000000", "origin = 0x8000", "memory", "overlap"),
        ('board = "mine_board"', "", "platformio.board", "missing"),
        ('uart = "USART1"', "", "console.uart", "missing"),
        ("[console]", "[konsole]", "console", "missing"),
        ('title = "My board"', 'title = "My', "", "not valid TOML"),
        ("[console]", "[emulator.renode]\ncore = 1\n[console]", "emulator.renode.core", "1"),
    ],
)
def test_a_wrong_board_names_the_file_and_the_key(old: str, new: str, where: str, found: str) -> None:
    assert GOOD.count(old) >= 1
    with pytest.raises(UsageError) as error:
        parse_board(GOOD.replace(old, new, 1), "mine.toml")
    assert error.value.where.startswith("mine.toml")
    assert where in error.value.where
    assert found in error.value.found


def test_the_example_itself_is_right() -> None:
    assert parse_board(GOOD, "mine.toml").name == "mine"


def test_data_only() -> None:
    """A board file holds facts: no absolute paths, no control characters, and it parses on its own."""
    for path in resource("boards").glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# SPDX-License-Identifier: Apache-2.0\n"), path
        assert not re.search(r"[\t\r]", text), path
        tomllib.loads(text)
