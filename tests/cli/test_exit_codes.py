# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, with its exit code and its message: 1 model, 2 usage, 3 fit, 4 tools and disk, 5 mismatch; never a traceback."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import (
    KWS,
    PROCESS,
    SINE,
    contents,
    float_model,
    large_model,
    portable_kernels,
    save,
    tinyc,
    unsupported_model,
    wide_model,
)
from tinyc import emulators, pipeline
from tinyc.boards import all_boards
from tinyc.emulators import unicorn
from tinyc.graph import Graph, Tensor

# ---- 1: the model or the data ----------------------------------------------------------------------------------------


def test_all_unsupported_operators_at_once(tmp_path: Path) -> None:
    shown = tinyc("build", unsupported_model(tmp_path / "m.tflite"), "-b", "esp32", "-o", tmp_path / "out")
    assert shown.code == 1 and shown.out == ""
    assert shown.err.startswith("error: m.tflite: 3 of 4 operators cannot be compiled")
    for part in (
        "operator 0 ABS 'model/square': ABS is not supported",
        "operator 2 CUSTOM:Magic 'model/magic'",
        "operator 3 TANH 'model/tanh': The output must have scale 1/128 and zero point 0, in int16 1/32768 and 0. Found: scale 0.5",
        "what to do:",
        "tinyc inspect",
    ):
        assert part in shown.err
    assert not (tmp_path / "out").exists()


def test_a_float_model_is_told_how_to_be_quantized(tmp_path: Path) -> None:
    shown = tinyc("build", float_model(tmp_path / "m.tflite"), "-b", "esp32", "-o", tmp_path / "out")
    assert shown.code == 1
    assert shown.err.startswith("error: m.tflite: is a float network")
    assert "--calibrate DATA quantizes it; --allow-float compiles it in float32" in shown.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [("build", "-b", "host"), ("inspect",), ("verify",)])
def test_files_that_are_no_model(command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = KWS.read_bytes()
    files = {
        "cut.tflite": whole[: len(whole) // 2],
        "lfs.tflite": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "array.tflite": b"const unsigned char model[] = {0x1c, 0x00};",
        "keras.tflite": b"\x89HDF\r\n\x1a\n" + bytes(100),
        "empty.tflite": b"",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        shown = tinyc(command[0], name, *command[1:])
        # What looks like a Keras file is converted by `build`, which needs TensorFlow.
        codes = (1, 4) if (name, command[0]) == ("keras.tflite", "build") else (1,)
        assert shown.code in codes and shown.out == "", name
        assert shown.err.startswith(f"error: {name}: ") and "what to do:" in shown.err, shown.err
    missing = tinyc(command[0], "cat.tflite", *command[1:])
    assert missing.code == 1 and "no such file" in missing.err and "cut.tflite" in missing.err
    assert sorted(contents(tmp_path)) == sorted(files)


def test_a_model_without_inputs_is_the_models_fault(tmp_path: Path) -> None:
    constant = Tensor("x", (1, 2), "int8", None, np.zeros((1, 2), np.int8))
    model = save(tmp_path / "m.tflite", Graph((constant,), (), (), (0,)))
    assert tinyc("build", model, "-b", "host", "--verify", "none", "-o", tmp_path / "out").code == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (np.zeros((1, 3), np.int8), "shape [1, 3]"),
        (np.zeros((1, 49, 10, 1), np.float32), "round(x / scale) + zero_point"),
        (np.zeros((0, 49, 10, 1), np.int8), "shape [0, 49, 10, 1]"),
    ],
)
def test_wrong_input_data(array: np.ndarray, part: str, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", array)
    shown = tinyc("build", KWS, "-b", "host", "-o", tmp_path / "out", "--input", tmp_path / "in.npy")
    assert shown.code == 1 and "in.npy" in shown.err and part in shown.err
    assert not (tmp_path / "out").exists()


def test_input_data_that_is_no_array(tmp_path: Path) -> None:
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("1, 2, 3")
    for name, part in (
        ("pickle.npy", "not a numpy file"),
        ("text.npy", "not a numpy file"),
        ("none.npy", "no such file"),
    ):
        shown = tinyc("verify", KWS, "--input", tmp_path / name)
        assert shown.code == 1 and name in shown.err and part in shown.err
    np.save(tmp_path / "a.npy", np.zeros((1, 49, 10, 1), np.int8))
    assert "2 files given" in tinyc("verify", KWS, "--input", tmp_path / "a.npy", "--input", tmp_path / "a.npy").err


@pytest.mark.parametrize(
    "report",
    [
        "",
        "[]",
        "{}",
        '{"name": 1}',
        '{"name":"kws","format":"c","optimize":"best","cpu":"host","layers":[],"tinyc":"0"}',
    ],
)
def test_verify_of_a_damaged_build(report: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(report)
    shown = tinyc("verify", tmp_path)
    assert shown.code == 1 and "report.json" in shown.err and "a folder that `tinyc build` wrote" in shown.err


def test_verify_of_an_incomplete_build(tmp_path: Path) -> None:
    assert tinyc("build", KWS, "-b", "host", "--format", "c", "--verify", "none", "-o", tmp_path / "out").code == 0
    (tmp_path / "out" / "tinyc_softmax_s8.c").unlink()
    shown = tinyc("verify", tmp_path / "out")
    assert shown.code == 1 and "tinyc_softmax_s8.c is missing" in shown.err and "build it again" in shown.err
    (tmp_path / "out" / "kws.c").unlink()
    assert "kws.c is not in it" in tinyc("verify", tmp_path / "out").err
    (tmp_path / "out" / "kws.tflite").unlink()
    shown = tinyc("verify", tmp_path / "out")
    assert shown.code == 1 and "kws.tflite" in shown.err


# ---- 2: usage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--board", "nucleo_f446"), "did you mean 'nucleo_f446re'?"),
        (("--board", "esp23"), "did you mean 'esp32'?"),
        (("--board", "nowhere/mine.toml"), "nowhere/mine.toml: cannot be read"),
        (("--board", "esp32", "--framework", "espdif"), "did you mean 'espidf'?"),
        (("--board", "host", "--format", "platformio"), "use --format cmake"),
        (("--board", "esp32", "--format", "zip"), "'zip' is not one of"),
        (("--board", "esp32", "--optimize", "fast"), "'fast' is not one of"),
        (("--board", "esp32", "--verify", "hots"), "'hots' is not one of"),
        (("--board", "esp32", "--name", "9 lives"), "cannot be a C prefix"),
        (("--board", "esp32", "--name", "class"), "--name model_class"),
        (("--board", "esp32", "--count", "0"), "at least 1"),
        (("--board", "esp32", "--count", "many"), "'many' is not a valid integer"),
        (("--board", "esp32", "--fast"), "No such option"),
        ((), "--board"),
    ],
)
def test_usage(arguments: tuple[str, ...], part: str, tmp_path: Path) -> None:
    shown = tinyc("build", KWS, "-o", tmp_path / "out", *arguments)
    assert shown.code == 2 and shown.out == "" and part in shown.err
    assert list(tmp_path.iterdir()) == []


def test_unknown_command() -> None:
    shown = tinyc("bulid", KWS)
    assert shown.code == 2 and "no command 'bulid': did you mean 'build'?" in shown.err


def test_verify_usage(tmp_path: Path) -> None:
    assert tinyc("build", KWS, "-b", "host", "--verify", "none", "-o", tmp_path / "out").code == 0
    shown = tinyc("verify", tmp_path / "out", "--board", "esp32")
    assert shown.code == 2 and "which has its board already" in shown.err
    assert tinyc("verify", KWS, "--board", "esp23").code == 2
    assert tinyc("verify", KWS, "--count", "0").code == 2


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    shown = tinyc("build", KWS, "-b", "host", "--verify", "none", "-o", tmp_path)
    assert shown.code == 2 and "not an earlier build of tinyc" in shown.err and "choose another folder" in shown.err
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}
    shown = tinyc("build", KWS, "-b", "host", "--verify", "none", "-o", tmp_path / "thesis.tex")
    assert shown.code == 2 and "is a file" in shown.err


# ---- 3: fit ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def portable() -> Iterator[None]:
    """So that numbers do not change with every faster kernel, and this computer can run what is built for a core."""
    with portable_kernels():
        yield


@pytest.mark.usefixtures("portable")
def test_too_much_flash(tmp_path: Path) -> None:
    model = large_model(tmp_path / "large.tflite")
    for verify in ("none", "auto"):
        shown = tinyc("build", model, "-b", "bluepill", "-o", tmp_path / "out", "--verify", verify)
        assert shown.code == 3 and shown.out == ""
        assert "board bluepill: the model does not fit" in shown.err and "65,536 B available" in shown.err
        # 256*512 + 512*300 + 300*256 + 256*8 weights, and 5 bytes of multiplier and shift for each of the 4 layers
        assert "flash: 363,540 B needed" in shown.err
        largest = shown.err[shown.err.index("largest:") :]
        places = [largest.index(text) for text in ("'dense2' 153,605 B", "'dense1' 131,077 B", "'dense3' 76,805 B")]
        assert places == sorted(places) and "dense4" not in largest
        assert "no --optimize makes it fit" in shown.err and "tinyc boards" in shown.err and "RAM:" not in shown.err
    assert not (tmp_path / "out").exists()
    assert tinyc("build", model, "-b", "esp32", "-o", tmp_path / "out", "--verify", "none").code == 0


@pytest.mark.usefixtures("portable")
def test_too_much_ram(tmp_path: Path) -> None:
    shown = tinyc("build", wide_model(tmp_path / "wide.tflite"), "-b", "bluepill", "-o", tmp_path / "out")
    assert shown.code == 3
    assert "RAM: 76,032 B needed (76,032 B arena), 20,480 B available" in shown.err
    assert "(73728 B)" in shown.err
    assert "no plan for these kernels is smaller" in shown.err and "flash:" not in shown.err
    # 148,240 B are too many for every goal; of the boards with room, those with the least RAM are named
    assert "no --optimize makes it fit" in shown.err
    boards = [board for board in all_boards().values() if board.ram_bytes >= 148_240 and not board.is_emulated]
    smallest = sorted(boards, key=lambda board: (board.ram_bytes, board.flash_bytes, board.name))[:3]
    assert [f"{board.name} (" in shown.err for board in boards] == [board in smallest for board in boards]


@pytest.mark.usefixtures("portable")
def test_code_and_stack_count_too(tmp_path: Path) -> None:
    """A board with room for the weights but not for the code, and one with room for the arena but not for the stack."""
    template = (Path(__file__).parent.parent.parent / "boards" / "bluepill.toml").read_text()
    assert tinyc("build", SINE, "-b", "bluepill", "-o", tmp_path / "out").code == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    flash, ram = report["flash"]["total"], report["ram"]["arena"] + report["stack"]["bound"]
    for size, taken, part in ((65536, flash, "flash"), (20480, ram, "RAM")):
        for less, code in ((0, 0), (1, 3)):
            board = tmp_path / f"{part}{less}.toml"
            board.write_text(template.replace(f"size = {size}", f"size = {taken - less}"))
            shown = tinyc("build", SINE, "-b", board, "-o", tmp_path / f"{part}{less}")
            assert shown.code == code, shown.err
            assert code == 0 or f"{part}: {taken:,} B needed" in shown.err


# ---- 4: tools and disk -----------------------------------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer with nothing on PATH and without ziglang and unicorn."""
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(sys.modules["tinyc.toolchains.find"], "_zig_program", lambda: None)
    monkeypatch.setattr(unicorn, "_version", lambda: None)


@pytest.mark.usefixtures("bare")
def test_without_any_tool_the_build_is_done_and_says_so(tmp_path: Path) -> None:
    shown = tinyc("build", KWS, "-b", "nucleo_f446re", "-o", tmp_path / "out")
    assert shown.code == 0 and shown.err == ""
    line = next(line for line in shown.out.splitlines() if line.startswith("not verified"))
    assert "pip install 'tinyc[emulate]'" in line
    assert "code not measured" in shown.words and "tinyc doctor" in shown.words
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["verification"] == [] and "pip install 'tinyc[emulate]'" in report["not_verified"]
    assert report["flash"]["code"] is None and report["flash"]["constants"] > 5000
    assert (tmp_path / "out" / "platformio.ini").is_file()


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("board", "engine", "parts"),
    [
        (
            "nucleo_f446re",
            "unicorn",
            ["no working compiler", "apt-get install gcc-arm-none-eabi or pip install 'tinyc[emulate]'"],
        ),
        ("nucleo_f446re", "host", ["no working compiler", "pip install 'tinyc[emulate]'"]),
        ("esp32", "qemu", ["no working compiler", "apt-get install clang-22 llvm-22 binutils-xtensa-lx106"]),
        (
            "esp32c3",
            "qemu",
            ["no working compiler", "apt-get install gcc-riscv64-unknown-elf or pip install 'tinyc[emulate]'"],
        ),
    ],
)
def test_a_missing_tool_names_the_line_that_installs_it(
    board: str, engine: str, parts: list[str], tmp_path: Path
) -> None:
    shown = tinyc("build", KWS, "-b", board, "-o", tmp_path / "out", "--verify", engine)
    assert shown.code == 4 and all(part in shown.err for part in parts), shown.err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("bare")
def test_verify_without_any_tool(tmp_path: Path) -> None:
    for arguments in ((), ("--emulator", "host"), ("--emulator", "unicorn", "--board", "bluepill")):
        shown = tinyc("verify", KWS, *arguments)
        assert shown.code == 4 and "pip install 'tinyc[emulate]'" in shown.err, shown.err


@pytest.mark.usefixtures("bare")
def test_doctor_without_any_tool() -> None:
    shown = tinyc("doctor", "--json")
    found = json.loads(shown.out)
    assert shown.code == 0
    assert all(tool["version"] is None and tool["install"] for tool in (*found["compilers"], *found["emulators"]))


def test_an_emulator_without_the_core(tmp_path: Path) -> None:
    shown = tinyc("build", KWS, "-b", "esp32", "--verify", "unicorn", "-o", tmp_path / "out")
    assert shown.code == 4 and "unicorn has no Xtensa" in shown.err and "qemu" in shown.err
    assert not (tmp_path / "out").exists()


def test_a_build_for_another_core_where_only_this_computer_can_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources with kernels of one instruction set cannot be checked natively; the message says why."""
    assert (
        tinyc(
            "build", KWS, "-b", "nucleo_f446re", "-o", tmp_path / "out", "--verify", "none", "--optimize", "speed"
        ).code
        == 0
    )
    for engine in emulators.EMULATORS.values():
        if engine.name != "host":
            monkeypatch.setattr(type(engine), "unavailable", lambda self, cpu: "taken away: for a test")
    shown = tinyc("verify", tmp_path / "out")
    assert shown.code == 4 and "run on Arm Cortex-M4 with FPU only" in shown.err


def limited() -> None:
    """In the child: no file over 8 kB, as on a disk that is full."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_leaves_nothing(existing: bool, tmp_path: Path) -> None:
    folder = tmp_path / "sub" / "out"
    if existing:
        assert tinyc("build", SINE, "-b", "host", "--verify", "none", "-o", folder).code == 0
    before = contents(tmp_path)
    command = [*PROCESS, "build", str(KWS), "-b", "host", "--verify", "none", "-o", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited, check=False)
    assert done.returncode == 4 and "File too large" in done.stderr and "nothing was written" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert contents(tmp_path) == before
    assert existing or list(tmp_path.iterdir()) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts an empty file system of a given size, where this computer lets us."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def make(size: str) -> Path:
        nonlocal mounted
        mount = shutil.which("mount")
        if mount is None or os.geteuid() != 0:
            pytest.skip("only root may mount a small file system")
        command = [mount, "-t", "tmpfs", "-o", f"size={size}", "none", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting is not allowed here")
        mounted = True
        return folder

    try:
        yield make
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("inside", ["", "sub/out"])
def test_a_disk_that_fills_up(disk: Callable[[str], Path], inside: str) -> None:
    """Also when the output folder is the mounted volume itself, as in a container."""
    small = disk("64k")
    shown = tinyc("build", KWS, "-b", "nucleo_f446re", "--verify", "none", "-o", small / inside)
    assert shown.code == 4 and "No space left on device" in shown.err and "nothing was written" in shown.err
    assert list(small.iterdir()) == []


def test_a_mounted_volume_as_the_output_folder(disk: Callable[[str], Path]) -> None:
    volume = disk("4m")
    shown = tinyc("build", SINE, "-b", "host", "--format", "c", "--verify", "none", "-o", volume)
    assert shown.code == 0, shown.err
    assert {"sine.c", "report.json"} <= set(contents(volume)) and not list(volume.glob(".*"))


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file" / "out", Path("/proc/tinyc/out"), tmp_path / ("x" * 300)):
        shown = tinyc("build", SINE, "-b", "host", "--verify", "none", "-o", place)
        assert shown.code == 4 and shown.err.startswith("error: ") and shown.err.count("\n") <= 3, place
    assert contents(tmp_path) == {"file": b"x"}


def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    def refuse(*_arguments: object, **_options: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    shown = tinyc("build", SINE, "-b", "host", "--verify", "none", "-o", tmp_path / "a" / "out")
    assert shown.code == 4 and "Permission denied" in shown.err and list(tmp_path.iterdir()) == []


def test_a_broken_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that is there but fails is reported with its own words."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cc", "gcc", "clang"):
        (tools / name).write_text(
            "#!/bin/sh\ncase $1 in -dump*) echo 12.2.0;; *) echo 'license expired' >&2; exit 3;; esac\n"
        )
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/bin{os.pathsep}/usr/bin")
    shown = tinyc("build", SINE, "-b", "host", "--verify", "host", "--toolchain", "gcc", "-o", tmp_path / "out")
    assert shown.code == 4 and "license expired" in shown.err


# ---- 5: mismatch -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("portable")
@pytest.mark.parametrize("options", [(), ("--layers",), ("--json",)])
def test_an_edited_kernel_is_a_mismatch(options: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert tinyc("build", KWS, "-b", "bluepill", "-o", folder, "--verify", "none").code == 0
    kernel = folder / "lib" / "kws" / "src" / "tinyc_depthwise_conv_2d_s8.c"
    before = kernel.read_text()
    kernel.write_text(
        before.replace("*output++ = (int8_t)tinyc_clamp(", "*output++ = (int8_t)(1 ^ tinyc_clamp(").replace(
            "activation_max);", "activation_max));"
        )
    )
    assert kernel.read_text() != before
    shown = tinyc("verify", folder, *options)
    assert shown.code == 5 and shown.out == ""
    where = r"error: layer 1 DEPTHWISE_CONV_2D '[^']+' \(tinyc_depthwise_conv_2d_s8\): "
    assert re.match(where + r"element \[0,0,0,0\] is -?\d+, expected -?\d+; \d+ of 3000 ", shown.err), shown.err
    kernel.write_text(before)
    assert tinyc("verify", folder, *options).code == 0


def test_a_build_that_does_not_verify_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a kernel of the runtime were broken: the build itself stops, and names the place."""
    emit = pipeline.emit

    def broken(*arguments: Any) -> dict[str, bytes]:
        files = dict(emit(*arguments))
        files["tinyc_softmax_s8.c"] = files["tinyc_softmax_s8.c"].replace(b") - 128)", b") - 127)")
        return files

    monkeypatch.setattr(pipeline, "emit", broken)
    shown = tinyc("build", KWS, "-b", "host", "-o", tmp_path / "out")
    assert shown.code == 5 and shown.out == "" and "SOFTMAX" in shown.err
    assert list(tmp_path.iterdir()) == []


# ---- everywhere ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("inspect", str(KWS)), 0),
        (("inspect", "nothing.tflite"), 1),
        (("build", str(KWS), "-b", "esp23"), 2),
        (("build", "LARGE", "-b", "bluepill"), 3),
        (("build", str(SINE), "-b", "host", "--verify", "none", "-o", "/proc/tinyc/out"), 4),
    ],
)
def test_the_process_ends_with_the_code(arguments: tuple[str, ...], code: int, tmp_path: Path) -> None:
    large = large_model(tmp_path / "large.tflite")
    command = [*PROCESS, *(str(large) if part == "LARGE" else part for part in arguments)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code and "Traceback" not in done.stderr
    assert bool(done.stderr) == bool(code)


def test_the_script_is_installed() -> None:
    script = Path(sys.executable).parent / "tinyc"
    if not script.exists():
        pytest.skip("tinyc is not installed as a script beside this Python")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("tinyc, version ")


def test_output_that_cannot_show_a_character(tmp_path: Path) -> None:
    command = [*PROCESS, "build", str(KWS), "-b", "host", "--verify", "none", "-o", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0 and b"1?25?5?24" in done.stdout and done.stderr == b""


def test_output_that_is_closed_or_full() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROCESS, "inspect", str(KWS)], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 4 and "No space left on device" in done.stderr and "Traceback" not in done.stderr
