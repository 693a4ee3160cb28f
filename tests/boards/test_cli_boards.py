# SPDX-License-Identifier: Apache-2.0
"""`tinyc boards`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from tinyc.boards import all_boards, load_board
from tinyc.cli.boards import command, size_text
from tinyc.errors import UsageError


def run(*args: str) -> str:
    result = CliRunner().invoke(command, args, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_table_has_every_board_on_one_line() -> None:
    lines = run().splitlines()
    assert len(lines) == len(all_boards()) + 1
    for board, line in zip(all_boards().values(), lines[1:], strict=True):
        assert line.split()[:2] == [board.name, board.cpu]
    bluepill = next(line for line in lines if line.startswith("bluepill"))
    assert bluepill.split()[2:] == ["72", "MHz", "64", "KB", "20", "KB", "arduino", "unicorn,", "qemu,", "renode"]


@pytest.mark.parametrize("name", sorted(all_boards()))
def test_one_board_in_detail(name: str) -> None:
    board, words = load_board(name), " ".join(run(name).split())
    assert board.title in words
    assert board.cpu in words
    for source in board.sources:
        assert source in words
    assert " ".join(board.proves.split()) in words


def test_json() -> None:
    boards = json.loads(run("--json"))
    assert [board["name"] for board in boards] == list(all_boards())
    one = json.loads(run("rpipico", "--json"))
    assert one["name"] == "pico"
    assert (one["flash_bytes"], one["ram_bytes"], one["clock_hz"]) == (2097152, 270336, 133_000_000)
    assert one["platformio"] == {"platform": "raspberrypi", "board": "pico"}
    assert json.loads(run("host", "--json"))["platformio"] is None


def test_unknown_name() -> None:
    result = CliRunner().invoke(command, ["esp322"])
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code == 2
    assert "did you mean 'esp32'?" in str(result.exception)


@pytest.mark.parametrize(
    ("count", "text"),
    [(4194304, "4 MB"), (65536, "64 KB"), (124580, "121.7 KB"), (2621440, "2560 KB"), (100, "0.1 KB")],
)
def test_size_text(count: int, text: str) -> None:
    assert size_text(count) == text
