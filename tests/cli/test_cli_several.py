# SPDX-License-Identifier: Apache-2.0
"""`tinyc build` and `verify` with several models in one firmware, side by side or in one memory."""

import json
import re
from pathlib import Path

import pytest
from command import EXAMPLES, KWS, SINE, contents, large_model, tinyc, wide_model
from tinyc.errors import DoesNotFitError
from tinyc.importers.tflite import load
from tinyc.pipeline import Options
from tinyc.share import compile_models
from tinyc.targets.cpus import find_cpu
from tinyc.toolchains import compile_objects

DIGITS = EXAMPLES["digits"]
FORMATS = [
    ("esp32", "platformio", "lib/sine/src/sine.c", "src/models.h"),
    ("esp32c3", "cmake", "lib/sine/sine.c", "models.h"),
    ("riscv32-virt", "cmake", "lib/kws/kws.c", "src/models.h"),
    ("pico", "c", "sine.c", "models.h"),
]


def report_of(folder: Path, name: str = "") -> dict[str, object]:
    return dict(json.loads((folder / (f"reports/{name}" if name else "") / "report.json").read_text()))


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize(("board", "kind", "file", "header"), FORMATS)
def test_every_format(board: str, kind: str, file: str, header: str, share: bool, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    options = ["--verify", "none", "--format", kind, *(["--share-arena"] if share else [])]
    shown = tinyc("build", KWS, SINE, "-b", board, "-o", folder, *options)
    assert shown.code == 0, shown.err
    report = json.loads((folder / "report.json").read_text())
    assert set(contents(folder)) == set(report["files"]) | {"report.json"}
    assert file in report["files"] and (header in report["files"]) == share
    assert report["models"] == {"kws": "reports/kws/report.json", "sine": "reports/sine/report.json"}
    arenas = [report_of(folder, name)["ram"]["arena"] for name in ("kws", "sine")]
    assert report["arena"] == (max(arenas) if share else sum(arenas))
    assert report["share_arena"] is share
    for name in ("kws", "sine"):
        assert tinyc("check-plan", folder / "reports" / name / "report.json").code == 0


def test_one_memory_is_verified_in_turn_and_again_from_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shown = tinyc("build", KWS, SINE, DIGITS, "-b", "riscv32-virt", "-o", folder, "--share-arena", "--count", "2")
    assert shown.code == 0, shown.err
    report = json.loads((folder / "report.json").read_text())
    engines = {engine["emulator"]: engine for engine in report["verification"]}
    assert set(engines) == {"host", "unicorn"}
    arenas = {name: report_of(folder, name)["ram"]["arena"] for name in ("kws", "sine", "digits")}
    assert report["arena"] == max(arenas.values())
    outputs = sum(load(model).output_tensors[0].bytes for model in (KWS, SINE, DIGITS))
    assert all(engine["inputs"] == 6 and engine["bytes_compared"] == 2 * outputs for engine in engines.values())
    assert f"6 inferences in turn, {2 * outputs} bytes equal" in shown.words
    assert f"one memory for all models in turn (kws {arenas['kws']:,}, sine {arenas['sine']:,}, digits " in shown.words
    again = tinyc("verify", folder, "--count", "2", "--json")
    assert again.code == 0, again.err
    results = json.loads(again.out)
    assert [result["proves"].split()[:2] for result in results] == [
        ["Model", "kws."],
        ["Model", "sine."],
        ["Model", "digits."],
        ["All", "models"],
    ]
    assert "in one shared memory" in results[-1]["proves"]


def test_flash_counts_every_kernel_once(tmp_path: Path) -> None:
    built = compile_models([KWS, DIGITS], [], Options("mps2-an385", verify="unicorn", count=1), share_arena=True)
    alone = sum(model.report.flash.total or 0 for model in built.models)
    first, second = (
        compile_objects(model.library, find_cpu("cortex-m3"), optimize="-O2").sections for model in built.models
    )
    twice = [first[name] for name in first if name in second]
    assert twice, "the two models have a kernel in common"
    assert built.report.flash.total == alone - sum(sizes.code + sizes.rodata + sizes.data for sizes in twice)
    assert built.report.stack.bound == max(model.report.stack.bound or 0 for model in built.models)
    used = built.report.fit
    assert (used.ram_used, used.flash_used) == (
        built.report.arena + (built.report.stack.bound or 0),
        built.report.flash.total,
    )


def test_rows_of_two_models_in_one_memory(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shown = tinyc(
        "build", KWS, DIGITS, "-b", "host", "-o", folder, "--share-arena", "--stream-input", "--count", "2", "--json"
    )
    assert shown.code == 0, shown.err
    assert json.loads(shown.out)["folder"] == str(folder)
    header = (folder / "src" / "models.h").read_text()
    for name in ("kws", "digits"):
        assert f"so call {name}_start\n * before the first row" in header
    assert tinyc("verify", folder, "--count", "1").code == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((KWS, KWS), "a second model is called 'kws'"),
        ((KWS, SINE, "--name", "one"), "given 1 times for 2 models"),
        ((KWS, SINE, "--name", "net", "--name", "NET"), "a second model is called 'NET'"),
        ((KWS, SINE, "--name", "kws", "--name", "models"), "'models' is the header of all models"),
        ((KWS, SINE, "--name", "kws", "--name", "int"), "'int' cannot be a C prefix"),
        ((KWS, "--share-arena"), "one model has its memory for itself"),
        ((KWS, "--name", "a", "--name", "b"), "given 2 times for one model"),
        ((KWS, SINE, "--dump", "plan"), "--dump: is for one model, not for 2"),
        ((KWS, SINE, "--input", "x.npy"), "--input: is for one model, not for 2"),
        ((KWS, SINE, "--verify", "renode"), "renode runs projects with one model"),
        ((KWS, SINE, "--format", "platformio"), "no board that PlatformIO knows"),
    ],
)
def test_what_cannot_be_asked_for(arguments: tuple[str | Path, ...], text: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    verify = () if "--verify" in arguments else ("--verify", "none")
    shown = tinyc("build", *arguments, "-b", "mps2-an386", "-o", folder, *verify)
    assert shown.code == 2
    assert text in shown.err
    assert not folder.exists()


def test_an_error_about_one_model_names_it(tmp_path: Path) -> None:
    shown = tinyc("build", KWS, SINE, "-b", "host", "-o", tmp_path / "out", "--stream-input", "--verify", "none")
    assert shown.code == 1
    assert "model 'sine', --stream-input: the inputs are" in shown.err
    assert not (tmp_path / "out").exists()


def test_names_for_each(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shown = tinyc(
        "build", KWS, KWS, "--name", "left", "--name", "right", "-b", "host", "-o", folder, "--format", "c",
        "--share-arena", "--count", "1",
    )  # fmt: skip
    assert shown.code == 0, shown.err
    assert {"left.c", "right.h", "left.tflite", "right.tflite", "models.h"} <= set(contents(folder))
    assert re.search(r"left_context left;.*\n.*right_context right;", (folder / "models.h").read_text())


def test_a_wrong_model_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert tinyc("build", KWS, SINE, "-b", "host", "-o", folder, "--share-arena", "--verify", "none").code == 0
    source = folder / "lib" / "sine" / "sine.c"
    wrong = "    *(uint8_t *)(uintptr_t)sine_output(ctx) ^= 1;\n}\n"
    source.write_text(source.read_text().rstrip().removesuffix("}") + wrong)
    shown = tinyc("verify", folder, "--count", "2")
    assert shown.code == 5
    assert "model 'sine', layer 2 FULLY_CONNECTED" in shown.err
    assert tinyc("build", KWS, SINE, "-b", "host", "-o", folder, "--share-arena", "--verify", "none").code == 2
    assert tinyc("build", KWS, SINE, "-b", "host", "-o", folder, "--verify", "none", "--force").code == 0
    assert not (folder / "src" / "models.h").exists(), "an earlier build's file goes"


def test_a_folder_of_several_models_is_checked_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert tinyc("build", KWS, SINE, "-b", "host", "-o", folder, "--share-arena", "--verify", "none").code == 0
    for arguments, text in (
        (("--input", tmp_path / "x.npy"), "has several models"),
        (("--emulator", "renode"), "renode runs projects with one model"),
        (("-b", "host"), "has its board already"),
    ):
        shown = tinyc("verify", folder, *arguments)
        assert (shown.code, text in shown.err) == (2, True), shown.err
    (folder / "src" / "models.h").unlink()
    shown = tinyc("verify", folder, "--count", "1")
    assert shown.code == 1 and "models.h is missing" in shown.err


def test_together_in_flash(tmp_path: Path) -> None:
    """Two models that fit alone and not together: the numbers of each, and nothing is written."""
    models = [large_model(tmp_path / "a.tflite"), large_model(tmp_path / "b.tflite")]
    folder = tmp_path / "out"
    shown = tinyc(
        "build", *models, "-b", "host", "-o", folder, "--flash-budget", "500000", "--verify", "none", "--share-arena"
    )
    assert shown.code == 3
    assert "2 models do not fit together" in shown.err
    assert re.search(
        r"flash: [\d,]+ B needed, 500,000 B available \[#+\|#+\]; alone: a [\d,]+ B, b [\d,]+ B", shown.err
    )
    assert not folder.exists()


def test_together_in_ram(tmp_path: Path) -> None:
    models = [wide_model(tmp_path / "a.tflite", 40), wide_model(tmp_path / "b.tflite", 40)]
    one = compile_models(models, [], Options("host", verify="none", optimize="ram"))
    arena = one.models[0].memory.size
    arguments = (
        "build",
        *models,
        "-b",
        "host",
        "--optimize",
        "ram",
        "--verify",
        "none",
        "--ram-budget",
        str(arena + 64),
    )
    shown = tinyc(*arguments, "-o", tmp_path / "apart")
    assert shown.code == 3
    assert f"RAM: {2 * arena:,} B needed" in shown.err
    assert f"--share-arena would fit: {arena:,} B" in shown.err
    shown = tinyc(*arguments, "-o", tmp_path / "shared", "--share-arena")
    assert shown.code == 0, shown.err
    assert report_of(tmp_path / "shared")["arena"] == arena


def test_a_fast_memory_that_has_room_for_one(tmp_path: Path) -> None:
    """The tightly coupled memory of 128 kB holds either arena, so one memory for both, but not two side by side."""
    models = [wide_model(tmp_path / "a.tflite", 72), wide_model(tmp_path / "b.tflite", 64)]

    def arenas(share: bool) -> list[str]:
        built = compile_models(models, [], Options("nucleo_h743zi", verify="none"), share)
        places = [place for model in built.models for place in model.report.memories if place.what == "arena"]
        return [place.memory for place in places]

    assert arenas(share=True) == ["dtcm", "dtcm"]
    assert arenas(share=False) == ["axi_sram", "axi_sram"]
    with pytest.raises(DoesNotFitError, match="the arena of all models do not fit in the memory"):
        compile_models(models, [], Options("nucleo_h743zi", verify="none", place={"arena": "dtcm"}))


def test_kernels_are_chosen_for_what_is_left(tmp_path: Path) -> None:
    """With less RAM than the fastest kernels of both want, each gets its part."""
    free = compile_models([KWS, DIGITS], [], Options("mps2-an386", verify="none", optimize="speed"))
    small = compile_models([KWS, DIGITS], [], Options("mps2-an386", verify="none", optimize="ram"))
    assert small.report.arena < free.report.arena
    budget = (small.report.arena + free.report.arena) // 2
    options = Options("mps2-an386", verify="none", optimize="speed", ram_budget=budget)
    assert compile_models([KWS, DIGITS], [], options).report.arena <= budget
