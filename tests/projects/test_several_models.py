# SPDX-License-Identifier: Apache-2.0
"""Projects with several models, side by side or in one memory: they build, test themselves in turn and answer for each model."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from fake_model import LABELLED, SEVERAL, wrong
from project_support import STRICT, Conversation, run, tool, write
from test_platformio import Pio, machine, on_the_stand_in, pio
from test_wrap import EVERY
from tinyc.boards import load_board
from tinyc.projects import Firmware, Model, default_kind, wrap_firmware

__all__ = ["pio"]

MODELS = (LABELLED, SEVERAL)
STUBS = Path(__file__).resolve().parent / "stubs"


def project(
    board: str, framework: str, *, share: bool, kind: str | None = None, broken: bool = False
) -> Mapping[str, bytes]:
    facts = load_board(board)
    infos = [model.info(facts, framework) for model in MODELS]
    if broken:
        infos[1] = wrong(infos[1])
    models = tuple(Model(model.library(), info) for model, info in zip(MODELS, infos, strict=True))
    return wrap_firmware(kind or default_kind(facts), Firmware(models, share))


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("kind", ["platformio", "cmake", "c"])
@pytest.mark.parametrize(("board", "framework"), EVERY)
def test_files_are_clean(board: str, framework: str, kind: str, share: bool) -> None:
    if kind == "platformio" and load_board(board).platformio is None:
        kind = "cmake"
    files = project(board, framework, share=share, kind=kind)
    assert any(path.endswith("models.h") for path in files) == share
    assert not any(path.startswith("renode/") for path in files), "its robot test is for one model"
    for path, data in files.items():
        text = data.decode("utf-8")
        assert text.endswith("\n") and "{{" not in text and "%%" not in text, path
        assert not any(line != line.rstrip() for line in text.splitlines()), path
    if "README.md" in files:
        readme = files["README.md"].decode()
        assert "### kws\n\n| tensor |" in readme and "### two_by_three\n\n| tensor |" in readme
        assert ("kws_run(&memory.kws);" if share else "kws_run(&kws_memory);") in readme


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize(
    ("board", "framework"), [("esp32", "arduino"), ("esp32", "espidf"), ("host", "host"), ("mps2-an386", "baremetal")]
)
def test_sources_are_strict(board: str, framework: str, share: bool, tmp_path: Path) -> None:
    folder = write(project(board, framework, share=share), tmp_path)
    places = [folder / "src", folder / "startup", STUBS / framework]
    places += [path.parent for path in sorted(folder.glob("lib/**/*.h"))]
    include = [f"-I{place}" for place in dict.fromkeys(places)]
    compiler = ["arm-none-eabi-gcc", "-mthumb", "-mcpu=cortex-m4"] if framework == "baremetal" else ["gcc"]
    command = [tool(compiler[0]), *compiler[1:], "-std=c99", *STRICT, "-fsyntax-only", *include]
    run([*command, *([] if board == "host" else ["-Wmissing-prototypes"]), *sorted((folder / "src").glob("*.c"))])
    if framework == "arduino":
        run([tool("g++"), "-std=gnu++11", *STRICT, "-fsyntax-only", *include, folder / "src" / "main.cpp"])


def build(folder: Path, board: str, *, share: bool, broken: bool = False) -> Path:
    tool("cmake")
    tool("cc" if board == "host" else "arm-none-eabi-gcc")
    write(project(board, "host" if board == "host" else "baremetal", share=share, broken=broken), folder)
    run(["cmake", "-B", "build"], cwd=folder)
    said = run(["cmake", "--build", "build"], cwd=folder)
    assert "warning" not in said
    return folder


def start(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["cmake", "--build", "build", "--target", "run"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("share", [True, False])
def test_a_machine_tests_every_model_twice(share: bool, tmp_path: Path) -> None:
    tool("qemu-system-arm")
    result = start(build(tmp_path, "mps2-an386", share=share))
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    verdicts = [line for line in said.splitlines() if "self-test:" in line]
    assert verdicts == [f"tinyc {model.name} self-test: PASS" for model in (*MODELS, *MODELS)]
    assert said.count(f"O {SEVERAL.vector(0)[1].hex()} ") == 2


def test_the_memory_is_that_of_the_largest(tmp_path: Path) -> None:
    symbols = run(
        [tool("arm-none-eabi-nm"), "-S", build(tmp_path, "mps2-an386", share=True) / "build" / "firmware.elf"]
    )
    rows = {row[-1]: row for row in map(str.split, symbols.splitlines()) if len(row) == 4}
    arenas = [sum(model.inputs) + sum(model.outputs) for model in MODELS]
    assert int(rows["models_memory"][1], 16) == max(arenas) < sum(arenas)


def test_a_wrong_byte_of_the_second_model_fails(tmp_path: Path) -> None:
    result = start(build(tmp_path, "host", share=True, broken=True))
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert said.count("tinyc two_by_three self-test: FAIL vector 1") == 2
    assert said.count("tinyc kws self-test: PASS") == 2


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conversation]:
    folder = build(tmp_path_factory.mktemp("host"), "host", share=True)
    with Conversation([folder / "build" / "firmware.elf"]) as talk:
        assert talk.wait_for("# ready").endswith(", M <number> for another model")
        yield talk


def test_one_model_after_the_other(host: Conversation) -> None:
    for seed in range(20, 24):
        for number, model in enumerate(MODELS):
            sizes = ",".join(map(str, model.inputs)), ",".join(map(str, model.outputs))
            assert host.ask(f"M {number}") == f"S {model.name} {sizes[0]} {sizes[1]}"
            given, wanted = model.vector(seed)
            assert host.ask(f"I {given.hex()}").split(" ")[:2] == ["O", wanted.hex()]


def test_models_that_are_not_there(host: Conversation) -> None:
    assert host.ask("M 1").startswith("S two_by_three ")
    assert host.ask("M 2") == "E no such model"
    assert host.ask("M") == "E no such model"
    assert host.ask("M 99999999999999999999") == "E no such model"
    assert host.ask("M -1") == "E unknown command"
    assert host.ask("M 1a") == "E unknown command"
    assert host.ask("?").startswith("S two_by_three "), "the model stays"


def test_pio_run_with_one_memory(pio: Pio, tmp_path: Path) -> None:
    files = project("nucleo_f446re", "arduino", share=True)
    elf, said = on_the_stand_in(pio, "nucleo_f446re", files, tmp_path)
    assert [line for line in said.splitlines() if "warning:" in line and "/platform/" not in line] == []
    with machine(elf) as talk:
        talk.wait_for("# ready")
        assert sum(line.endswith("self-test: PASS") for line in talk.heard) == 4
        given, wanted = SEVERAL.vector(11)
        assert talk.ask("M 1").startswith("S two_by_three ")
        assert talk.ask(f"I {given.hex()}").split(" ")[:2] == ["O", wanted.hex()]
