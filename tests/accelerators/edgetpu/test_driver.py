# SPDX-License-Identifier: Apache-2.0
"""The driver against the simulated device: natively with sanitizers, and on an emulated Cortex-M7."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from edgetpu_driver import (
    CHIP,
    DFU,
    DRIVER,
    ERROR,
    EVENT,
    FIRMWARE,
    GONE,
    NOT_OPEN,
    NOT_READY,
    OK,
    ROOT,
    SHORT,
    STALL,
    TIMEOUT,
    VERIFY,
    WARNINGS,
    Model,
    Session,
    build,
    models_of,
    shared_models,
    tensors,
)
from edgetpu_files import HINTS, caching, dma, execution, instructions, interrupt, layer, model, options, package
from tinyc.accelerators.edgetpu.executable import Kind
from tinyc.emulators.edgetpu_device import DFU_ERROR, Device, Setup, made_up
from tinyc.errors import ModelError

SHARED = sorted(shared_models())
FAILS = {"stall": STALL, "timeout": TIMEOUT, "unplug": GONE, "error": ERROR, "overrun": ERROR, "nothing": SHORT}

NEEDS_GCC = pytest.mark.skipif(shutil.which("gcc") is None, reason="sanitizers need gcc")
NEEDS_ARM = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed")


def handmade(*executables: dict) -> Model:
    """A model around executables made by hand; else the ones of edgetpu_files."""
    return models_of(model(options(package(executables or [caching(), execution()]))))[0]


def other(token: int) -> Model:
    """Another program, with parameters of its own."""
    code, parameters = (bytes((i * factor + token) % 256 for i in range(size)) for factor, size in ((3, 64), (5, 128)))
    own = caching(parameters=parameters, parameter_caching_token=token)
    runs = execution(instruction_bitstreams=[{"bitstream": code}], parameter_caching_token=token)
    return handmade(own, runs)


def standalone() -> Model:
    """A program that brings its parameters."""
    hints = [instructions(), dma("parameters", 100, 28), *HINTS[1:]]
    return handmade(execution(type=0, parameters=bytes(128), dma_hints={"hints": hints, "fully_deterministic": True}))


MODELS = (handmade(), other(0xFEDC_BA98_7654_3210), other(77), standalone())


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A native program with the models of MODELS."""
    return build(MODELS, tmp_path_factory.mktemp("edgetpu"))


def session(**fields: object) -> Session:
    return Session(MODELS, Device([one.package for one in MODELS], **fields))


def check_run(talked: Session, number: int, run: int, seed: int, index: int) -> None:
    """Reply `index` is a run whose outputs are those of the device and whose inputs are as they were."""
    reply, one = talked.replies()[index], talked.models[number]
    assert (talked.peer.problem, reply.status) == ("", OK)
    assert list(reply.inputs) == tensors(one, seed), "inputs must not change"
    expected = [made_up(layer, run) for layer in one.package.inference.outputs[: one.outputs]]
    assert list(reply.outputs) == expected


@NEEDS_GCC
@pytest.mark.parametrize("name", SHARED)
def test_every_shared_model_runs_natively(name: str, tmp_path: Path) -> None:
    one = shared_models()[name]
    talked = Session([one], Device([one.package])).open().run(0, 1).run(0, 2)
    talked.on_host(build([one], tmp_path))
    check_run(talked, 0, 0, 1, 1)
    check_run(talked, 0, 1, 2, 2)
    assert talked.device.runs == [(0, Kind.PARAMETER_CACHING), (0, Kind.EXECUTION_ONLY), (0, Kind.EXECUTION_ONLY)]


@NEEDS_ARM
@pytest.mark.parametrize("name", SHARED)
def test_every_shared_model_runs_on_an_emulated_core(name: str, tmp_path: Path) -> None:
    pytest.importorskip("unicorn")
    one = shared_models()[name]
    talked = Session([one], Device([one.package])).open().run(0, 1).run(0, 2)
    talked.on_core(tmp_path, "unicorn")
    check_run(talked, 0, 0, 1, 1)
    check_run(talked, 0, 1, 2, 2)


@NEEDS_ARM
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed")
def test_qemu_talks_over_semihosting(tmp_path: Path) -> None:
    talked = session().open().run(0, 1).run(2, 2)
    talked.on_core(tmp_path, "qemu")
    check_run(talked, 0, 0, 1, 1)
    check_run(talked, 2, 1, 2, 2)


# ---- parameters


@NEEDS_GCC
def test_parameters_are_loaded_when_the_token_differs(program: Path) -> None:
    """Models 0 and 1 have the same token; 2 has another, 3 none."""
    order = (0, 0, 1, 0, 1, 2, 0, 3, 0)
    talked = session().open()
    for number in order:
        talked.run(number, 1 + number)
    talked.on_host(program)
    for run, number in enumerate(order):
        check_run(talked, number, run, 1 + number, run + 1)
    loaded = [number for number, kind in talked.device.runs if kind is Kind.PARAMETER_CACHING]
    assert loaded == [0, 1, 2, 0, 0]


@NEEDS_GCC
def test_open_forgets_what_was_in_the_chip(program: Path) -> None:
    talked = session().open().run().open().run()
    talked.on_host(program)
    check_run(talked, 0, 1, 1, 3)


# ---- what goes over the wire


def shapes(one: Model, folder: Path, **fields: object) -> Session:
    talked = Session([one], Device([one.package], **fields)).open().run(0, 5).run(0, 6)
    talked.on_host(build([one], folder))
    check_run(talked, 0, 0, 5, 1)
    check_run(talked, 0, 1, 6, 2)
    return talked


@NEEDS_GCC
def test_signed_and_padded_inputs_of_several_kinds(tmp_path: Path) -> None:
    """int8, int16 and uint8, longer than the driver's memory, in parts, with padding at the end."""
    graph = model(options(package([execution()])))
    inputs = [layer("a", (1, 1, 3000), 3008, 8), layer("b", (1, 1, 700), 1408, 9), layer("c", (40, 30, 3), 3608)]
    hints = [
        instructions(),
        dma("input", 1408, name="b"),
        dma("input", 2048, name="a"),
        dma("input", 3608, name="c"),
        dma("input", 960, 2048, name="a"),
        dma("output", 8, name="flags"),
        dma("output", 16, name="out"),
        interrupt(),
    ]
    one = execution(type=0, input_layers=inputs, dma_hints={"hints": hints, "fully_deterministic": True})
    dtypes = {"a": ("int8", (1, 3000)), "b": ("int16", (1, 700)), "c": ("uint8", (1, 40, 30, 3))}
    shapes(models_of(with_inputs(graph, package([one]), dtypes))[0], tmp_path)


def with_inputs(graph, program: bytes, dtypes: dict):
    from dataclasses import replace

    from tinyc.graph import Tensor

    tensors_in = tuple(
        Tensor(name, shape, dtype, graph.tensors[0].quantization) for name, (dtype, shape) in dtypes.items()
    )
    count = len(tensors_in)
    node = replace(
        graph.nodes[0],
        inputs=tuple(range(count)),
        outputs=(count, count + 1),
        attributes={"custom_options": options(program)},
    )
    return replace(
        graph,
        tensors=(*tensors_in, *graph.tensors[1:]),
        nodes=(node,),
        inputs=tuple(range(count)),
        outputs=(count, count + 1),
        input_names=tuple(dtypes),
    )


@NEEDS_GCC
def test_outputs_in_parts_that_come_mixed(tmp_path: Path) -> None:
    hints = [
        instructions(),
        dma("input", 8, name="in"),
        dma("output", 8, name="out"),
        dma("output", 8, name="flags"),
        dma("output", 8, 8, name="out"),
        interrupt(),
    ]
    one = handmade(execution(type=0, dma_hints={"hints": hints, "fully_deterministic": True}))
    assert one.tables.scratch == 64, "both outputs are on their way at the same time"
    shapes(one, tmp_path)


@NEEDS_GCC
@pytest.mark.parametrize("limit", [256, 512])
def test_endpoints_of_any_packet_size(limit: int, tmp_path: Path) -> None:
    """Where the host's packets are as long as the chip's, a transfer brings several."""
    name = "testdata-posenet_mobilenet_v1_075_353_481_16_quant_decoder_edgetpu"
    if name not in shared_models():
        pytest.skip("the file is not there")
    talked = shapes(shared_models()[name], tmp_path, chunk_limit=limit)
    assert (talked.device.transfers < 200) == (limit == 256)


# ---- faults


@NEEDS_GCC
@pytest.mark.parametrize("fault", ["stall", "timeout", "unplug", "error", "overrun", "nothing", "short"])
def test_a_fault_at_every_transfer(fault: str, program: Path) -> None:
    """Each gives its code, nothing is sent afterwards, and a new start works. Short bulk transfers are continued."""
    clean = session().open().run().run()
    clean.on_host(program)
    assert [kind for kind, _ in clean.device.log].count("event in") == 3
    for number, (kind, _) in enumerate(clean.device.log):
        talked = session(faults={number: fault}).open().run().run()
        if fault == "unplug":
            talked.order("R")
        talked.open().run()
        found = [reply.status for reply in talked.on_host(program) if reply.status != NOT_OPEN]
        assert talked.peer.problem == "", (number, kind)
        if fault == "short" and kind.startswith("bulk"):
            assert set(found) == {OK}, (number, kind)
        else:
            failed = next(i for i, status in enumerate(found) if status != OK)
            assert found[failed] == FAILS.get(fault, SHORT), (number, kind)
            assert found[failed + 1 :] == [OK] * (3 if fault == "unplug" else 2), (number, kind)
        check_run(talked, 0, talked.device.inferences - 1, 1, -1)


@NEEDS_ARM
def test_faults_on_an_emulated_core(tmp_path: Path) -> None:
    """The same on a Cortex-M7, at every fifth transfer."""
    pytest.importorskip("unicorn")
    image = session().image(tmp_path)
    clean = session().open().run().run()
    clean.on_image(image, "unicorn")
    for number, (kind, _) in list(enumerate(clean.device.log))[::5]:
        for fault in ("stall", "timeout", "nothing", "short"):
            talked = session(faults={number: fault}).open().run().run().open().run()
            found = [reply.status for reply in talked.on_image(image, "unicorn") if reply.status != NOT_OPEN]
            fails = not (fault == "short" and kind.startswith("bulk"))
            assert (FAILS.get(fault, SHORT) in found) == fails, (number, kind, fault)
            check_run(talked, 0, talked.device.inferences - 1, 1, -1)


@NEEDS_GCC
@pytest.mark.parametrize("event", [0, 1])
def test_a_wrong_event(event: int, program: Path) -> None:
    """After loading parameters, and after a run."""
    clean = session().open().run()
    clean.on_host(program)
    at = [i for i, (kind, _) in enumerate(clean.device.log) if kind == "event in"][event]
    talked = session(faults={at: "event"}).open().run().run().open().run()
    found = [reply.status for reply in talked.on_host(program)]
    assert (talked.peer.problem, found) == ("", [OK, EVENT, NOT_OPEN, OK, OK])


@NEEDS_GCC
def test_not_an_edge_tpu(program: Path) -> None:
    talked = session(chip=0x123).open().run()
    assert [reply.status for reply in talked.on_host(program)] == [CHIP, NOT_OPEN]
    talked = session(faults={0: "corrupt"}).open().open()
    assert [reply.status for reply in talked.on_host(program)] == [CHIP, OK], "a wrong id, then the right one"


@NEEDS_GCC
def test_a_register_that_does_not_keep_its_value(program: Path) -> None:
    forgetful = session()
    forgetful.device._write = lambda setup, data: True  # type: ignore[method-assign]
    assert [reply.status for reply in forgetful.open().on_host(program)] == [CHIP]


@NEEDS_GCC
def test_a_chip_that_never_wakes(program: Path) -> None:
    talked = session(stuck=True).open()
    assert [reply.status for reply in talked.on_host(program)] == [NOT_READY]
    assert talked.peer.waited == 20_000, "the time limit of the test program is 20 ms, looked at every millisecond"


@NEEDS_GCC
def test_run_before_open(program: Path) -> None:
    talked = session().run()
    assert [reply.status for reply in talked.on_host(program)] == [NOT_OPEN]
    assert talked.device.transfers == 0


# ---- firmware

FILE = bytes(i * 7 % 251 for i in range(FIRMWARE))


def update(size: int = FIRMWARE, **fields: object) -> Session:
    talked = session(firmware=FILE[:size], **fields)
    # The program reads as much as there is, so the firmware comes last.
    return talked.order("d", 0, [FILE[:size].ljust(FIRMWARE, b"\0")] if size == FIRMWARE else [FILE[:size]])


@NEEDS_GCC
def test_firmware_then_a_run(program: Path) -> None:
    talked = update().order("R").open().run()
    talked.on_host(program)
    assert not talked.device.dfu
    check_run(talked, 0, 0, 1, 3)


@NEEDS_GCC
@pytest.mark.parametrize("fault", ["stall", "timeout", "unplug", "error", "overrun", "nothing", "short"])
def test_a_fault_at_every_transfer_of_an_update(fault: str, program: Path) -> None:
    clean = update()
    clean.on_host(program)
    for number, (_, size) in enumerate(clean.device.log):
        if size == 0 and fault in ("nothing", "short"):
            continue  # nothing is all that was asked for
        talked = update(faults={number: fault})
        if fault == "unplug":
            talked.order("R")
        talked.order("d", 0, [FILE])
        found = [reply.status for reply in talked.on_host(program)]
        assert (found[0], found[-1], talked.peer.problem) == (FAILS.get(fault, SHORT), OK, ""), number


@NEEDS_GCC
def test_firmware_that_reads_back_differently(program: Path) -> None:
    clean = update()
    clean.on_host(program)
    reads = [i for i, (kind, size) in enumerate(clean.device.log) if kind == "control in" and size != 6]
    assert len(reads) == 3
    for number in reads:
        talked = update(faults={number: "corrupt"})
        assert [reply.status for reply in talked.on_host(program)] == [VERIFY]
        assert not talked.device.detached


@NEEDS_GCC
def test_a_chip_that_refuses_firmware(program: Path) -> None:
    def refuse(setup: Setup, data: bytes) -> bool:
        talked.device.dfu_state = DFU_ERROR
        return True

    talked = update()
    talked.device._dfu_out = refuse  # type: ignore[method-assign]
    assert [reply.status for reply in talked.on_host(program)] == [DFU]


@NEEDS_GCC
@pytest.mark.parametrize("state", [5, 9, 10])
def test_an_update_that_was_left_half_done(state: int, program: Path) -> None:
    talked = update()
    talked.device.dfu_state = state
    assert [reply.status for reply in talked.on_host(program)] == [OK]
    assert talked.device.detached


# ---- mutations: what the device must notice


@NEEDS_GCC
@pytest.mark.parametrize(
    ("table", "word"),
    [
        ("inference_code", "17"),
        ("caching_code", "3"),
        ("caching_parameters", "101"),
        ("inference_steps", "16"),
    ],
)
def test_a_changed_number_in_the_tables_is_noticed(table: str, word: str, tmp_path: Path) -> None:
    one = handmade()
    files = build_with(one, tmp_path, table, word)
    talked = Session([one], Device([one.package])).open().run()
    replies = talked.on_host(files)
    assert talked.peer.problem
    assert replies[1].status == GONE


def build_with(one: Model, folder: Path, table: str, word: str) -> Path:
    """A program with one number of a table changed: the first that is `word`, made one more."""
    from edgetpu_driver import sources

    text = sources([one])["main.c"].decode()
    start = text.index(f"m0_{table}[")
    at = re.compile(rf"\b{word}\b").search(text, text.index("{", start))
    assert at is not None
    old = text[start : at.end()]
    return build([one], folder, (old.encode(), (old[: -len(word)] + str(int(word) + 1)).encode()))


@NEEDS_GCC
def test_a_changed_layout_is_noticed(tmp_path: Path) -> None:
    one = handmade()
    program = build_with(one, tmp_path, "runs", "8")
    talked = Session([one], Device([one.package])).open().run()
    reply = talked.on_host(program)[1]
    assert reply.status == OK
    assert reply.outputs[0] != made_up(one.package.inference.outputs[0], 0)


# ---- size and shape of the driver


@NEEDS_ARM
def test_the_driver_is_small_and_has_no_writable_statics(tmp_path: Path) -> None:
    text = 0
    for source in DRIVER:
        made = tmp_path / f"{source.stem}.o"
        flags = [*WARNINGS, "-mcpu=cortex-m7", "-mthumb", "-Os", "-ffreestanding"]
        subprocess.run(["arm-none-eabi-gcc", *flags, "-c", str(source), "-o", str(made)], check=True)
        size = subprocess.run(["arm-none-eabi-size", str(made)], check=True, capture_output=True, text=True).stdout
        numbers = [int(word) for word in size.splitlines()[1].split()[:3]]
        assert numbers[1:] == [0, 0], f"{source.name}: data and bss"
        text += numbers[0]
        names = subprocess.run(["arm-none-eabi-nm", str(made)], check=True, capture_output=True, text=True).stdout
        assert not re.search(r" [dDbBC] ", names), names
        assert set(re.findall(r" U (\w+)", names)) <= {"memset", "memcpy"}, names
    assert text <= 4096


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_driver_has_no_warnings(compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    for source in [*DRIVER, ROOT / "emulation" / "tinyc_edgetpu_stream.c"]:
        folders = [f"-I{ROOT / name}" for name in ("edgetpu", "startup")]
        subprocess.run(
            [compiler, *WARNINGS, "-O2", *folders, "-c", str(source), "-o", str(tmp_path / "x.o")], check=True
        )


def test_headers_are_cpp_safe(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    (tmp_path / "x.cc").write_text(
        '#include "tinyc_edgetpu.h"\nint main() { tinyc_edgetpu t{}; return (int)t.open; }\n'
    )
    command = [
        "g++",
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{ROOT / 'edgetpu'}",
        "-fsyntax-only",
        str(tmp_path / "x.cc"),
    ]
    subprocess.run(command, check=True)


# ---- tables


def test_a_program_without_an_end_is_refused() -> None:
    hints = {"hints": list(HINTS[:-1]), "fully_deterministic": True}
    with pytest.raises(ModelError, match="interrupt"):
        handmade(caching(), execution(dma_hints=hints))
