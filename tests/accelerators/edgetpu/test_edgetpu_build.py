# SPDX-License-Identifier: Apache-2.0
"""Models with an Edge TPU part through the whole compiler: verified, and as projects that build."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from edgetpu_driver import DRIVER, FIRMWARE, ROOT, WARNINGS
from edgetpu_files import FOLDER, caching, execution, file, options, package
from edgetpu_mixed import mixed, mixed_file
from tinyc.accelerators.edgetpu.program import package_of
from tinyc.emit import emit
from tinyc.emulators.edgetpu_device import Device, Peer
from tinyc.emulators.host import talk
from tinyc.errors import MismatchError, ModelError, UsageError
from tinyc.importers.tflite import from_bytes
from tinyc.lower import lower
from tinyc.memory import plan_memory
from tinyc.passes import run_passes
from tinyc.pipeline import Compilation, Options, compile_model
from tinyc.reference import outputs
from tinyc.targets.cpus import find_cpu
from tinyc.verification.vectors import make_inputs

HERE = Path(__file__).parent
BOARD = "coral-dev-micro"
LINUX = "linux-aarch64-edgetpu"

NEEDS_GCC = pytest.mark.skipif(shutil.which("gcc") is None, reason="sanitizers need gcc")
NEEDS_GPP = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.tflite"
    path.write_bytes(mixed_file())
    return path


def build(model: Path, **fields: object) -> Compilation:
    return compile_model(model, Options(**{"board": BOARD, "name": "mixed", "verify": "none", **fields}))


# ---- one plan, one verification


@pytest.mark.parametrize("engine", ["host", "unicorn", "qemu"])
def test_operators_around_the_tpu_are_byte_equal(engine: str, model: Path) -> None:
    if engine == "qemu" and shutil.which("qemu-system-arm") is None:
        pytest.skip("qemu-system-arm is not installed")
    if engine == "unicorn":
        pytest.importorskip("unicorn")
    built = build(model, verify=engine, layers=True)
    (found,) = built.report.verification
    assert (found.inputs, found.layers_compared, found.bytes_compared) == (4, 4, 4 * 19)
    assert "arithmetic is not emulated" in found.proves
    assert found.proves.startswith("For the operators on the processor:")
    assert any("not verified" in warning for warning in built.report.warnings)


def test_one_plan_holds_everything(model: Path) -> None:
    built = build(model)
    assert [step.accelerated for step in built.program.steps] == [False, True, False, False]
    step = built.program.steps[1]
    assert step.binding.scratch == 32, "the padded output on its way"
    assert 1 in built.memory.scratch
    assert set(range(6)) <= set(built.memory.tensors)
    text = built.library["mixed.c"].decode()
    assert "int mixed_run(mixed_context *ctx, tinyc_edgetpu *edgetpu)" in text
    assert "if (status != 0) {\n        return status;" in text


def test_made_up_outputs_depend_on_the_inputs() -> None:
    graph = mixed()
    one, two = (outputs(graph, row) for row in make_inputs(graph, 2, 1))
    assert not np.array_equal(one[1], two[1])
    assert np.array_equal(one[1], outputs(graph, make_inputs(graph, 1, 1)[0])[1])


def test_a_program_that_does_otherwise_fails_verification(model: Path) -> None:
    """The tables of another program than the model's: the simulated chip notices."""
    from tinyc.verification import verify

    built = build(model)
    library = dict(built.library)
    text = library["mixed.c"].decode()
    start = text.index("inference_code[")
    at = text.index(" 17, ", start)
    library["mixed.c"] = (text[:at] + " 99, " + text[at + 5 :]).encode()
    from tinyc.reference import run

    rows = make_inputs(built.graph, 1, 1)
    with pytest.raises(MismatchError, match=r"protocol: .*is 0x63, expected 0x11"):
        verify("mixed", built.program, library, rows, [run(built.graph, row) for row in rows], emulator="host")


def test_a_build_is_the_same_twice(model: Path) -> None:
    assert build(model).files == build(model).files


# ---- what is refused


def test_boards_without_the_chip_refuse(model: Path) -> None:
    with pytest.raises(ModelError) as error:
        build(model, board="mps2-an386")
    assert "coral-dev-micro" in error.value.expected and "linux-aarch64-edgetpu" in error.value.expected


def test_programs_that_cannot_be_run_are_refused_with_the_reason(tmp_path: Path) -> None:
    hints = {"hints": execution()["dma_hints"]["hints"], "fully_deterministic": False}
    path = tmp_path / "model.tflite"
    path.write_bytes(file(options(package([caching(), execution(dma_hints=hints)]))))
    with pytest.raises(ModelError, match="not deterministic"):
        build(path)


def test_processor_operators_that_are_not_supported_are_left_to_the_firmware() -> None:
    path = FOLDER / "testdata-deeplabv3_mnv2_dm05_pascal_quant_edgetpu.tflite"
    if not path.is_file():
        pytest.skip("the file is not there")
    built = build(path)
    assert built.graph.output_names == ("aspp0/Relu", "image_pooling/Relu")
    [left] = [line for line in built.report.warnings if "your firmware has to do" in line]
    assert all(name in left for name in ("'aspp0/Relu'", "RESIZE_BILINEAR", "CONV_2D", "and 3 more"))
    assert [node.op for node in built.graph.nodes] == ["CUSTOM:edgetpu-custom-op"]


def test_at_least_nine_tenths_of_the_shared_files_build() -> None:
    files = sorted(FOLDER.glob("*_edgetpu.tflite")) if FOLDER.is_dir() else []
    if not files:
        pytest.skip("the files are not there")
    refused = []
    for path in files:
        try:
            assert build(path).files
        except ModelError as error:
            refused.append(str(error))
    assert len(refused) <= 0.1 * len(files)
    assert all("not deterministic" in text for text in refused)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"verify": "renode"}, "renode"),
        ({"stream_input": True}, "stream-input"),
        ({"format": "platformio"}, "platformio"),
    ],
)
def test_options_that_make_no_sense(fields: dict[str, object], message: str, model: Path) -> None:
    with pytest.raises(UsageError, match=message):
        build(model, **fields)


def test_no_native_results(model: Path) -> None:
    with pytest.raises(UsageError, match="Edge TPU"):
        build(model).run(np.zeros((1, 5), np.int8))


# ---- projects


def write(built: Compilation, folder: Path) -> Path:
    built.write(folder)
    return folder


def linux_program(folder: Path) -> Path:
    """The Linux project with a libusb in which the simulated chip is."""
    sources = [
        *sorted((folder / "src").glob("*.c")),
        *sorted((folder / "lib" / "mixed").glob("*.c")),
        HERE / "fake_libusb" / "libusb.c",
        ROOT / "emulation" / "tinyc_edgetpu_stream.c",
        ROOT / "startup" / "startup_host.c",
    ]
    includes = [
        HERE / "fake_libusb", folder / "lib" / "mixed", folder / "src", ROOT / "emulation", ROOT / "startup"
    ]  # fmt: skip
    flags = [*WARNINGS, "-O1", "-g", "-ffp-contract=off", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = ["gcc", *flags, *(f"-I{path}" for path in includes), *map(str, sources), "-o", str(folder / "program")]
    subprocess.run(command, check=True, timeout=120)
    return folder / "program"


@NEEDS_GCC
@pytest.mark.parametrize("updated", [False, True])
def test_the_linux_program_talks_to_a_chip(updated: bool, model: Path, tmp_path: Path) -> None:
    """Also one that has no firmware yet. The output file is what the reference says with the chip's outputs."""
    built = build(model, board=LINUX)
    program = linux_program(write(built, tmp_path / "project"))
    row = make_inputs(built.graph, 1, 7)[0]
    expected = _values(built, row)
    node = built.graph.nodes[1]
    firmware = bytes(i % 253 for i in range(FIRMWARE))
    device = Device(
        [package_of(node)],
        inputs=[{"in": expected[node.inputs[0]].tobytes()}],
        outputs=lambda layer, run: expected[node.outputs[["out", "flags"].index(layer.name)]].tobytes(),
        firmware=None if updated else firmware,
    )
    (tmp_path / "in.bin").write_bytes(row[0].tobytes())
    (tmp_path / "apex.bin").write_bytes(firmware)
    peer = Peer(device)
    names = [str(tmp_path / name) for name in ("apex.bin", "in.bin", "out.bin")]
    status, _ = talk([str(program), "-f", *names], b"", peer, 60)
    assert (status, peer.problem) == (0, "")
    assert (tmp_path / "out.bin").read_bytes() == b"".join(array.tobytes() for array in outputs(built.graph, row))
    assert device.inferences == 1


def _values(built: Compilation, row: list) -> list:
    from tinyc.reference import run

    return run(built.graph, row)


@NEEDS_GCC
@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"firmware": b"x" * 300}, 9, "no firmware"),
        ({"faults": {0: "unplug"}}, 3, "no chip"),
        ({"chip": 1}, 7, "not an Edge TPU"),
    ],
)
def test_the_linux_program_says_what_failed(
    fields: dict, code: int, message: str, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    built = build(model, board=LINUX)
    program = linux_program(write(built, tmp_path / "project"))
    (tmp_path / "in.bin").write_bytes(bytes(5))
    device = Device([package_of(built.graph.nodes[1])], **fields)
    status, _ = talk([str(program), str(tmp_path / "in.bin"), str(tmp_path / "out.bin")], b"", Peer(device), 60)
    assert status == code
    assert message in capfd.readouterr().err
    assert not (tmp_path / "out.bin").exists()


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
@NEEDS_GCC
def test_the_linux_project_builds_with_cmake(model: Path, tmp_path: Path) -> None:
    """With a pkg-config that knows the fake libusb."""
    folder = write(build(model, board=LINUX), tmp_path / "project")
    fake = tmp_path / "fake"
    fake.mkdir()
    sources = [
        HERE / "fake_libusb" / "libusb.c",
        ROOT / "emulation" / "tinyc_edgetpu_stream.c",
        ROOT / "startup" / "startup_host.c",
    ]
    flags = [f"-I{ROOT / name}" for name in ("edgetpu", "emulation", "startup")]
    for source in sources:
        subprocess.run(["gcc", *flags, "-c", str(source), "-o", str(fake / f"{source.stem}.o")], check=True)
    subprocess.run(["ar", "rcs", str(fake / "libusb-1.0.a"), *map(str, sorted(fake.glob("*.o")))], check=True)
    (fake / "libusb-1.0.pc").write_text(
        f"Name: libusb-1.0\nDescription: fake\nVersion: 1.0\nLibs: -L{fake} -lusb-1.0\nCflags: -I{HERE / 'fake_libusb'}\n"
    )
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is not installed")
    import os

    where = {**os.environ, "PKG_CONFIG_PATH": str(fake)}
    for command in (["cmake", "-B", "build"], ["cmake", "--build", "build"]):
        done = subprocess.run(command, cwd=folder, env=where, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "build" / "mixed").is_file()


@NEEDS_GPP
def test_the_coralmicro_files_fit_its_interfaces(model: Path, tmp_path: Path) -> None:
    folder = write(build(model, format="cmake"), tmp_path / "project")
    flags = ["-std=gnu++17", "-fno-exceptions", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    for name in ("main.cc", "tinyc_edgetpu_coralmicro.cc"):
        subprocess.run(
            ["g++", *flags, f"-I{HERE / 'fake_coralmicro'}", f"-I{folder}", str(folder / name)], check=True, timeout=60
        )
    text = (folder / "CMakeLists.txt").read_text()
    assert all(f"    {path.name}\n" in text for path in DRIVER)
    assert 'MIXED_TABLE_SECTION=__attribute__((section(\\".core1_code.tinyc\\")))' in text


@pytest.mark.parametrize("board", [BOARD, LINUX])
@pytest.mark.parametrize("kind", ["c", "cmake"])
def test_projects_say_what_was_verified(board: str, kind: str, model: Path) -> None:
    files = build(model, board=board, format=kind).files
    glue = "tinyc_edgetpu_libusb.c" if board == LINUX else "tinyc_edgetpu_coralmicro.cc"
    assert any(path.endswith(glue) for path in files)
    if kind == "cmake":
        assert b"arithmetic is not emulated" in files["README.md"]


def test_the_tables_bring_the_files_parameters(model: Path) -> None:
    """Of a shared file, all of its code and parameters are in flash."""
    path = FOLDER / "libredgetpu-bright_64x64_edgetpu.tflite"
    if not path.is_file():
        pytest.skip("the file is not there")
    built = build(path)
    program = package_of(built.graph.nodes[0])
    whole = sum(len(e.parameters) + e.instruction_bytes for e in program.executables)
    assert built.report.layers[0].constants >= whole


def test_damaged_files_give_clean_errors() -> None:
    """Up to the C text. What survives is a program that differs in numbers only."""
    rng, data = np.random.default_rng(6), mixed_file()
    built = 0
    for _ in range(300):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 5)):
            damaged[at] = rng.integers(0, 256)
        try:
            graph = run_passes(from_bytes(bytes(damaged), "model.tflite"))
            program = lower(graph, find_cpu("cortex-m7"))
            assert emit(program, plan_memory(program), "mixed")
            built += 1
        except ModelError:
            continue
    assert 0 < built < 300
