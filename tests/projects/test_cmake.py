# SPDX-License-Identifier: Apache-2.0
"""CMake projects build with their one documented command, run, and tell right from wrong; and the console's protocol."""

from __future__ import annotations

import binascii
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_model import LABELLED, MODELS, SEVERAL, SINGLE, FakeModel, wrong
from project_support import Conversation, run, tool, write
from tinyc.boards import load_board
from tinyc.projects import wrap

COMPILERS = {"host": "cc", "riscv32-virt": "riscv64-unknown-elf-gcc"}
EMULATORS = {"host": "cc", "riscv32-virt": "qemu-system-riscv32"}
MACHINES = [
    "mps2-an385", "mps2-an385-m0plus", "mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547", "riscv32-virt", "host",
]  # fmt: skip


def build(model: FakeModel, board: str, folder: Path, *, broken: bool = False) -> Path:
    tool("cmake")
    tool(COMPILERS.get(board, "arm-none-eabi-gcc"))
    tool(EMULATORS.get(board, "qemu-system-arm"))
    found = load_board(board)
    info = model.info(found, found.frameworks[0])
    write(wrap("cmake", model.library(), wrong(info) if broken else info), folder)
    run(["cmake", "-B", "build"], cwd=folder)
    run(["cmake", "--build", "build"], cwd=folder)
    return folder


def start(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["cmake", "--build", "build", "--target", "run"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("board", MACHINES)
def test_machine(board: str, tmp_path: Path) -> None:
    model = SEVERAL if board == "mps2-an386" else LABELLED
    result = start(build(model, board, tmp_path))
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert f"tinyc {model.name} self-test: PASS\n" in said
    assert f"O {model.vector(0)[1].hex()} " in said, "the bytes, not the program's own verdict, are the proof"


@pytest.mark.parametrize("board", ["mps2-an386", "host"])
def test_a_wrong_byte_fails_the_run(board: str, tmp_path: Path) -> None:
    result = start(build(SEVERAL, board, tmp_path, broken=True))
    said = result.stdout + result.stderr
    assert result.returncode != 0
    found = SEVERAL.vector(1)[1][-1]
    assert f"self-test: FAIL vector 1 output byte 8 expected {(found + 1) % 256:02x} found {found:02x}\n" in said
    assert "PASS" not in said


def test_a_model_too_big_for_the_ram_does_not_link(tmp_path: Path) -> None:
    tool("arm-none-eabi-gcc")
    big = FakeModel(inputs=(4_000_000,), outputs=(200_000,))
    board = load_board("mps2-an386")
    write(wrap("cmake", big.library(), big.info(board, "baremetal", vectors=0)), tmp_path)
    run(["cmake", "-B", "build"], cwd=tmp_path)
    with pytest.raises(AssertionError, match="RAM"):
        run(["cmake", "--build", "build"], cwd=tmp_path)


@pytest.fixture(scope="module", params=MODELS)
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FakeModel, Conversation]]:
    model = MODELS[request.param]
    folder = build(model, "host", tmp_path_factory.mktemp("host"))
    with Conversation([folder / "build" / "firmware.elf"]) as talk:
        talk.wait_for("# ready")
        yield model, talk


def crc(data: bytes) -> str:
    return f"{binascii.crc_hqx(data, 0xFFFF):04x}"


def test_greeting(host: tuple[FakeModel, Conversation]) -> None:
    model, talk = host
    assert talk.heard[0] == f"# tinyc 0.1.0 model {model.name}"
    assert f"tinyc {model.name} self-test: PASS" in talk.heard
    if model.labels:
        scores = [byte - 256 if byte > 127 else byte for byte in model.vector(0)[1]]
        assert f"# best label: {model.labels[scores.index(max(scores))]}" in talk.heard


def test_inference(host: tuple[FakeModel, Conversation]) -> None:
    model, talk = host
    for seed in range(20, 40):
        given, wanted = model.vector(seed)
        kind, output, micros = talk.ask(f"I {given.hex()}").split(" ")
        assert (kind, bytes.fromhex(output)) == ("O", wanted)
        assert int(micros) >= 0
        upper = talk.ask(f"I{given.hex().upper()}").split(" ")
        assert upper[1] == output


def test_inference_with_checksum(host: tuple[FakeModel, Conversation]) -> None:
    model, talk = host
    given, wanted = model.vector(7)
    answer = talk.ask(f"I {given.hex()} *{crc(given)}").split(" ")
    assert answer[0] == "O"
    assert answer[1] == wanted.hex()
    assert answer[3] == f"*{crc(wanted)}"
    assert talk.ask(f"I {given.hex()} *{crc(given + b'x')}") == "E checksum"
    assert talk.ask(f"I {given.hex()} *{crc(given)}0") == "E checksum"
    assert talk.ask(f"I {given.hex()} *") == "E checksum"


def test_sizes_and_self_test(host: tuple[FakeModel, Conversation]) -> None:
    model, talk = host
    inputs, outputs = (",".join(str(size) for size in sizes) for sizes in (model.inputs, model.outputs))
    assert talk.ask("?") == f"S {model.name} {inputs} {outputs}"
    talk.say(b"T\n")
    assert talk.wait_for("tinyc ") == f"tinyc {model.name} self-test: PASS"


@pytest.mark.parametrize(
    "noise",
    [
        b"\xff\xfe\x80garbage\n", b"I zz\n", b"I 0\n", b"I\n", b"I 00*00*00\n", b"? x\n", b"hello\n", b"TT\n", b"i 00\n",
        b"I " + b"00" * 100_000 + b"\n", b"I 00112\xf3\x28\n",
    ],
)  # fmt: skip
def test_noise_is_answered_and_survived(host: tuple[FakeModel, Conversation], noise: bytes) -> None:
    model, talk = host
    talk.say(noise)
    assert talk.wait_for("").startswith("E ")
    given, wanted = model.vector(3)
    assert talk.ask(f"I {given.hex()}").split(" ")[1] == wanted.hex()


def test_silence(host: tuple[FakeModel, Conversation]) -> None:
    """Empty lines, comments and NULs get no answer; CR, LF and both end a line."""
    model, talk = host
    given, wanted = model.vector(4)
    talk.say(b"\n\r\n  \n# a comment\n\0\0\n\0I " + given.hex().encode() + b"\r\n\n\r?\r")
    talk.say(b"\n")
    assert talk.wait_for("").split(" ")[:2] == ["O", wanted.hex()]
    assert talk.wait_for("").startswith("S ")


def test_counts_are_in_the_error(host: tuple[FakeModel, Conversation]) -> None:
    model, talk = host
    size = sum(model.inputs)
    assert talk.ask("I 0011") == f"E expected {size} input bytes, got 2"
    assert talk.ask("I 001") == f"E expected {size} input bytes, got 1 and a half"
    assert talk.ask("I " + "00" * (size + 1)) == f"E expected {size} input bytes, got {size + 1}"


def test_the_library_in_somebodys_project(tmp_path: Path) -> None:
    tool("cmake")
    write(wrap("cmake", SINGLE.library(), SINGLE.info(load_board("pico"), "arduino")), tmp_path / "kws")
    given, wanted = SINGLE.vector(5)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(app C)\nadd_subdirectory(kws)\n"
        "add_executable(app main.c)\ntarget_link_libraries(app PRIVATE kws)\n"
    )
    fill = "".join(f"  kws_input(&context)[{i}] = (int8_t){byte};\n" for i, byte in enumerate(given))
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "kws.h"\nstatic kws_context context;\nint main(void) {\n'
        + fill
        + "  kws_run(&context);\n"
        '  for (int i = 0; i < KWS_OUTPUT_SIZE; i++) printf("%02x", (unsigned char)kws_output(&context)[i]);\n  return 0;\n}\n'
    )
    run(["cmake", "-B", "build"], cwd=tmp_path)
    run(["cmake", "--build", "build"], cwd=tmp_path)
    assert run([tmp_path / "build" / "app"]) == wanted.hex()


def test_the_library_as_an_espidf_component(tmp_path: Path) -> None:
    """ESP-IDF defines idf_component_register before it reads a component's CMakeLists.txt."""
    tool("cmake")
    write(wrap("cmake", SINGLE.library(), SINGLE.info(load_board("esp32"), "espidf")), tmp_path / "kws")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(app C)\n"
        "function(idf_component_register)\n"
        '  cmake_parse_arguments(ARG "" "" "SRCS;INCLUDE_DIRS" ${ARGN})\n'
        "  add_library(__idf_kws STATIC ${ARG_SRCS})\n"
        "  target_include_directories(__idf_kws PUBLIC ${ARG_INCLUDE_DIRS})\n"
        "  set(COMPONENT_LIB __idf_kws PARENT_SCOPE)\nendfunction()\nadd_subdirectory(kws)\n"
    )
    run(["cmake", "-B", "build"], cwd=tmp_path)
    run(["cmake", "--build", "build"], cwd=tmp_path)
    assert list(tmp_path.glob("build/kws/lib__idf_kws.a"))
