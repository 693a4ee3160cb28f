# SPDX-License-Identifier: Apache-2.0
"""Every generated C and C++ file compiles under strict warnings, against headers with the frameworks' signatures."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_model import MODELS
from project_support import STRICT, run, tool, write
from test_wrap import EVERY, REAL, project

STUBS = Path(__file__).resolve().parent / "stubs"


def includes(framework: str, folder: Path, library: Path) -> list[str]:
    places = (
        [folder / "src", library, STUBS / framework]
        if framework in ("arduino", "espidf")
        else [folder / "src", library]
    )
    return [f"-I{place}" for place in places]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("board", "framework"), REAL)
def test_platformio_sources(board: str, framework: str, model: str, tmp_path: Path) -> None:
    folder = write(project(board, framework, model), tmp_path)
    include = includes(framework, folder, folder / "lib" / MODELS[model].name / "src")
    c_sources = sorted((folder / "src").glob("*.c"))
    assert [path.name for path in c_sources][:2] == ["console.c", "main.c"] or framework == "arduino"
    run([tool("gcc"), "-std=c99", "-Wmissing-prototypes", *STRICT, "-fsyntax-only", *include, *c_sources])
    if framework == "arduino":
        run([tool("g++"), "-std=gnu++11", *STRICT, "-fsyntax-only", *include, folder / "src" / "main.cpp"])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("board", [board for board, framework in EVERY if framework in ("baremetal", "host")])
def test_cmake_sources(board: str, model: str, tmp_path: Path) -> None:
    framework = "host" if board == "host" else "baremetal"
    folder = write(project(board, framework, model), tmp_path)
    include = [*includes(framework, folder, folder / "lib" / MODELS[model].name), f"-I{folder / 'startup'}"]
    compiler = ["gcc"] if board == "host" else ["arm-none-eabi-gcc", "-mthumb", "-mcpu=cortex-m3"]
    if board == "riscv32-virt":
        compiler = ["riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "-misa-spec=2.2"]
    command = [tool(compiler[0]), *compiler[1:], "-std=c99", *STRICT, "-fsyntax-only", *include]
    prototypes = [] if board == "host" else ["-Wmissing-prototypes", "-ffreestanding"]
    run([*command, *prototypes, *sorted((folder / "src").glob("*.c"))])


def test_the_headers_are_good_cplusplus(tmp_path: Path) -> None:
    folder = write(project("pico", "arduino", "several"), tmp_path)
    source = tmp_path / "all.cpp"
    source.write_text(
        '#include "console.h"\n#include "model_io.h"\n#include "two_by_three.h"\nint main() { return 0; }\n'
    )
    include = includes("arduino", folder, folder / "lib" / "two_by_three" / "src")
    run([tool("g++"), "-std=c++11", "-pedantic", *STRICT, "-fsyntax-only", *include, source])


def test_a_wrong_size_is_a_compile_error(tmp_path: Path) -> None:
    folder = write(project("host", "host", "single"), tmp_path)
    header = folder / "lib" / "kws" / "kws.h"
    header.write_text(header.read_text().replace("KWS_INPUT_SIZE 10", "KWS_INPUT_SIZE 11"))
    include = includes("host", folder, folder / "lib" / "kws")
    with pytest.raises(AssertionError, match="model_io_check_kws_input_size"):
        run([tool("gcc"), "-std=c99", "-fsyntax-only", *include, folder / "src" / "model_io.c"])
