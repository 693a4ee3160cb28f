# SPDX-License-Identifier: Apache-2.0
"""What a project consists of, for every board, framework and shape of model."""

from __future__ import annotations

import configparser
import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pytest
from conftest import ROOT
from fake_model import LABELLED, MODELS, SEVERAL, SINGLE
from tinyc.boards import all_boards, load_board
from tinyc.errors import UsageError
from tinyc.projects import KINDS, Vector, default_kind, next_step, wrap

REAL = [
    (board.name, framework) for board in all_boards().values() if board.platformio for framework in board.frameworks
]
EMULATED = [board.name for board in all_boards().values() if board.is_emulated]
#: Boards with an accelerator have projects of their own (tests/accelerators).
EVERY = [
    (board.name, framework)
    for board in all_boards().values()
    if not board.accelerator
    for framework in board.frameworks
]


def project(board: str, framework: str, model: str = "labelled", kind: str | None = None) -> Mapping[str, bytes]:
    fake = MODELS[model]
    found = load_board(board)
    return wrap(kind or default_kind(found), fake.library(), fake.info(found, framework))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("board", "framework"), EVERY)
def test_files_are_clean_and_the_same_twice(board: str, framework: str, model: str) -> None:
    files = project(board, framework, model)
    assert files == project(board, framework, model)
    assert list(files) == sorted(files)
    for path, data in files.items():
        text = data.decode("utf-8")
        assert "\r" not in text, path
        assert text.endswith("\n"), path
        assert "{{" not in text, path
        assert "%%" not in text, path
        assert not any(line != line.rstrip() for line in text.splitlines()), path
        assert str(ROOT) not in text, path
        assert not path.startswith("/"), path
        assert ".." not in path.split("/"), path


@pytest.mark.parametrize(("board", "framework"), REAL)
def test_platformio_ini(board: str, framework: str) -> None:
    files = project(board, framework)
    ini = configparser.ConfigParser()
    ini.read_string(files["platformio.ini"].decode())
    facts = load_board(board).platformio
    assert facts is not None
    section = ini[f"env:{board}"]
    assert (section["platform"], section["board"]) == (facts.platform, facts.board)
    assert (section["framework"], section["monitor_speed"]) == (framework, "115200")
    assert "-O2" in section["build_flags"].split()
    table = section.get("board_build.partitions")
    if framework == "espidf":
        assert table == "partitions.csv"
        assert table in files
    library = json.loads(files["lib/kws/library.json"])
    assert library["name"] == "kws"
    assert library["license"] == "Apache-2.0"


@pytest.mark.parametrize(("board", "framework"), REAL)
def test_platformio_layout(board: str, framework: str) -> None:
    files = project(board, framework)
    for path, data in LABELLED.library().items():
        assert files[f"lib/kws/src/{path}"] == data
    assert ("src/main.c" if framework == "espidf" else "src/main.cpp") in files
    assert {"README.md", ".gitignore", "src/console.c", "src/console.h", "src/model_io.c"} <= set(files)
    assert not any(path.startswith("test/") for path in files), "PlatformIO would fetch a test framework"
    for command in ("pio run", "pio run -t upload", "pio device monitor"):
        assert command in files["README.md"].decode()


@pytest.mark.parametrize("board", ["esp32", "esp32s3", "esp32c3"])
def test_espidf(board: str) -> None:
    files, facts = project(board, "espidf"), load_board(board)
    settings = dict(line.split("=", 1) for line in files["sdkconfig.defaults"].decode().splitlines() if line[0] != "#")
    assert int(settings["CONFIG_ESP_MAIN_TASK_STACK_SIZE"]) >= 8192
    assert settings["CONFIG_PARTITION_TABLE_CUSTOM_FILENAME"] == '"partitions.csv"'
    assert settings[f"CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ_{facts.clock_hz // 1_000_000}"] == "y"
    assert settings[f"CONFIG_ESPTOOLPY_FLASHSIZE_{facts.main_memory('flash').size >> 20}MB"] == "y"
    assert "void app_main(void)" in files["src/main.c"].decode()
    assert "idf_component_register(" in files["src/CMakeLists.txt"].decode()


@pytest.mark.parametrize("board", ["esp32", "esp32s3", "esp32c3"])
def test_the_partition_table_fits_the_flash(board: str) -> None:
    rows = [line for line in project(board, "espidf")["partitions.csv"].decode().splitlines() if line[0] != "#"]
    parts = [[cell.strip() for cell in row] for row in csv.reader(rows)]
    spans = [(int(part[3], 16), int(part[4], 16)) for part in parts]
    for (start, size), (following, _) in pairwise(spans):
        assert start + size <= following
    app, flash = parts[-1], load_board(board).main_memory("flash")
    assert app[1:3] == ["app", "factory"]
    assert int(app[3], 16) % 0x10000 == 0, "an app starts on a 64 KB boundary"
    assert int(app[4], 16) == flash.usable_by_app
    assert sum(spans[-1]) <= flash.size


@pytest.mark.parametrize("board", EMULATED)
def test_an_emulator_machine_is_no_platformio_board(board: str) -> None:
    with pytest.raises(UsageError, match="no board that PlatformIO knows") as error:
        project(board, load_board(board).frameworks[0], kind="platformio")
    assert "--format cmake" in error.value.hint
    assert error.value.exit_code == 2
    assert default_kind(load_board(board)) == "cmake"


@pytest.mark.parametrize(("board", "framework"), EVERY)
def test_kind_c_is_the_library_and_nothing_else(board: str, framework: str) -> None:
    files = project(board, framework, kind="c")
    assert files == LABELLED.library()


@pytest.mark.parametrize(("board", "framework"), REAL)
def test_cmake_for_a_real_board_is_a_library(board: str, framework: str) -> None:
    files = project(board, framework, kind="cmake")
    text = files["CMakeLists.txt"].decode()
    assert "add_library(kws STATIC" in text
    assert "idf_component_register(" in text
    assert not any(b"main(" in data for path, data in files.items() if path.endswith(".c") and "/" not in path)


@pytest.mark.parametrize("model", MODELS)
def test_every_accessor_is_in_the_readme(model: str) -> None:
    fake = MODELS[model]
    readme = project("pico", "arduino", model)["README.md"].decode()
    for direction, sizes in (("input", fake.inputs), ("output", fake.outputs)):
        for index in range(len(sizes)):
            assert f"`{fake.name}_{direction}{fake.suffix(sizes, index)}()`" in readme
    assert "\n\n| tensor |" in readme
    assert "|\n\nIt needs" in readme, "a table ends with an empty line"


def test_hostile_names_stay_in_their_comment() -> None:
    board = load_board("pico")
    info = replace(SINGLE.info(board, "arduino"), model_file="a */ int x; /*\n#error\\", labels=("p", "q\nr"))
    for path, data in wrap("platformio", SINGLE.library(), info).items():
        text = data.decode()
        assert "a */ int" not in text, path
        assert "\n#error" not in text, path


def test_wrong_info_is_refused() -> None:
    board = load_board("pico")
    with pytest.raises(UsageError, match="no framework 'espidf'") as error:
        SINGLE.info(board, "espidf")
    assert "arduino" in error.value.hint
    good = SINGLE.info(board, "arduino")
    with pytest.raises(UsageError, match="no C prefix"):
        replace(good, name="9lives")
    with pytest.raises(UsageError, match="reference vector 0"):
        replace(good, vectors=(Vector(b"12", b"1234"),))
    with pytest.raises(UsageError, match="no input or no output"):
        replace(good, inputs=(), vectors=())
    with pytest.raises(UsageError, match="unknown kind of project 'platformi'") as error:
        wrap("platformi", {}, good)
    assert "'platformio'" in error.value.hint


def test_next_step() -> None:
    assert set(KINDS) == {"platformio", "cmake", "c"}
    for kind in KINDS:
        assert "out" in next_step(kind, "out")
    assert next_step("platformio", "my out").startswith("cd 'my out' && pio run")


def test_no_vectors_is_said() -> None:
    board = load_board("host")
    files = wrap("cmake", SEVERAL.library(), SEVERAL.info(board, "host", vectors=0))
    assert "model.vector_count = 0;" in files["src/model_io.c"].decode()
