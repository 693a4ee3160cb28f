# SPDX-License-Identifier: Apache-2.0
"""The renode/ folder. Renode cannot be installed here, so the files are checked for what is known to work in it, and the
firmware that they boot runs on unicorn and QEMU with the same UARTs."""

from __future__ import annotations

import ctypes
import random
import re
from pathlib import Path

import pytest
from fake_model import LABELLED, MODELS, SEVERAL
from project_support import STRICT, Conversation, run, tool, write
from test_wrap import project
from tinyc.boards import all_boards, load_board
from tinyc.errors import UsageError
from tinyc.projects import wrap
from tinyc.resources import resource
from tinyc.targets.cpus import CPUS
from uart_models import Machine

WITH_RENODE = [board.name for board in all_boards().values() if board.emulator.renode]
ON_UNICORN = [name for name in WITH_RENODE if load_board(name).emulator.unicorn]
XTENSA = [name for name in WITH_RENODE if CPUS[load_board(name).cpu].family == "xtensa"]

# What was seen to work in Renode 1.16.1, and two of Renode's own keywords with their documented arguments.
KEYWORDS = {
    "Execute Command",
    "Create Log Tester",
    "Create Terminal Tester",
    "Register Failing Uart String",
    "Start Emulation",
    "Wait For Line On Uart",
    "Write Line To Uart",
    "Should Be Equal",
    "Should Not Be In Log",
}
COMMANDS = [
    r"emulation SetGlobalAdvanceImmediately true",
    r'mach create "[a-z0-9_-]+"',
    r"machine LoadPlatformDescription @\$\{REPL\}",
    r"sysbus LoadELF @\$\{ELF\}",
    r"cpu VectorTableOffset 0x[0-9A-F]{8}",
    r"logLevel 3 \$\{UART\}",
]
TYPES = {
    "Memory.MappedMemory", "UART.STM32_UART", "UART.STM32F7_USART", "UART.NRF52840_UART", "UART.CMSDK_APB_UART",
    "UART.ESP32_UART", "IRQControllers.NVIC", "IRQControllers.CoreLevelInterruptor", "CPU.CortexM", "CPU.RiscV32",
    "CPU.Xtensa", "Miscellaneous.DWT",
}  # fmt: skip


def renode_project(board: str, model: str = "labelled") -> dict[str, str]:
    files = project(board, load_board(board).frameworks[0], model)
    return {path: data.decode() for path, data in files.items()}


def robot_steps(text: str) -> list[list[str]]:
    """The steps of all keywords and test cases: cells of a line, without the assignment."""
    body = text.split("*** Keywords ***")[1]
    rows = [re.split(r" {2,}", line.strip()) for line in body.splitlines() if line.startswith("    ")]
    return [row[1:] if row[0].endswith("}=") else row for row in rows]


def regions(board: str) -> list[tuple[int, int]]:
    """The memories of the .repl: (origin, bytes)."""
    text = renode_project(board)[f"renode/{board}.repl"]
    found = re.findall(r"MappedMemory @ sysbus (0x[0-9A-F]+)\n    size: (0x[0-9A-F]+)\n", text)
    return [(int(origin, 16), int(size, 16)) for origin, size in found]


def test_the_boards_that_renode_runs() -> None:
    assert {
        "esp32",
        "esp32s3",
        "esp32c3",
        "nucleo_f446re",
        "nucleo_h743zi",
        "nano33ble",
        "bluepill",
        "mps3-an547",
    } <= set(WITH_RENODE)
    assert "pico" not in WITH_RENODE


@pytest.mark.parametrize("board", WITH_RENODE)
def test_robot(board: str) -> None:
    text = renode_project(board)[f"renode/{board}.robot"]
    assert text.startswith(
        "*** Settings ***\nSuite Setup     Setup\nSuite Teardown  Teardown\nTest Teardown   Test Teardown\n"
        "Resource        ${RENODEKEYWORDS}\n"
    )
    own = {"Boot The Firmware"}
    for step in robot_steps(text):
        assert step[0] in KEYWORDS | own, step
        if step[0] == "Execute Command":
            assert len(step) == 2
            assert any(re.fullmatch(pattern, step[1]) for pattern in COMMANDS), step
        if step[0] == "Create Terminal Tester":
            assert step[1:] == ["${UART}", "timeout=60", "defaultPauseEmulation=true"]
        if step[0] == "Write Line To Uart":
            assert step[2:] == ["waitForEcho=false"], "the console does not echo"
    assert "Create Log Tester        1\n    Create Terminal Tester" in text
    assert text.count("Should Not Be In Log     non existing peripheral    timeout=0") == 3
    assert "#" not in text, "a # would start a comment"
    assert "https://" not in text


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("board", WITH_RENODE)
def test_robot_has_the_golden_bytes(board: str, model: str) -> None:
    text, fake = renode_project(board, model)[f"renode/{board}.robot"], MODELS[model]
    assert f"Wait For Line On Uart    tinyc {fake.name} self-test: PASS" in text
    for seed in range(2):
        given, wanted = fake.vector(seed)
        case = re.search(rf"\n\nGolden Input {seed} Gives The Golden Output\n((?:    .*\n)+)", text)
        assert case is not None
        assert f"    Write Line To Uart       I {given.hex()}    waitForEcho=false\n" in case[1]
        assert f"    Should Be Equal          ${{answer.Groups[0]}}    {wanted.hex()}\n" in case[1]


@pytest.mark.parametrize("board", WITH_RENODE)
def test_the_console_prints_what_the_robot_waits_for(board: str) -> None:
    files = renode_project(board)
    pattern = re.search(r"Wait For Line On Uart    (\^O .*?)    treatAsRegex", files[f"renode/{board}.robot"])
    assert pattern is not None
    match = re.search(pattern[1], "O 00ff12 345")
    assert match is not None
    assert match[1] == "00ff12"
    assert '"# ready: ' in files["src/console.c"]


@pytest.mark.parametrize("board", WITH_RENODE)
def test_repl(board: str) -> None:
    text, facts = renode_project(board)[f"renode/{board}.repl"], load_board(board)
    renode = facts.emulator.renode
    assert renode is not None
    assert set(re.findall(r"^\w+: ([A-Za-z0-9.]+[A-Za-z0-9_]*) @ sysbus", text, re.MULTILINE)) <= TYPES
    for line in text.splitlines():
        assert re.fullmatch(
            r"//.*|\w+: [\w.]+ @ sysbus (0x[0-9A-F]{8}|<0x[0-9A-F]{8}, \+0x[0-9A-F]+>)|\w+: [\w.]+ @ sysbus|    \S.*",
            line,
        ), line
    assert f'    cpuType: "{renode.core}"\n' in text
    spans = regions(board)
    for region in facts.memory:
        assert (region.origin, region.size) in spans, "the chip's own size"
    for origin, size in spans:
        assert origin % 0x1000 == size % 0x1000 == 0, "Renode maps whole pages"
        assert not origin <= renode.uart_address < origin + size
    assert "ApplySVD" not in text


@pytest.mark.parametrize("board", WITH_RENODE)
def test_every_file_that_is_named_exists(board: str) -> None:
    files = renode_project(board)
    resc, cmake = files[f"renode/{board}.resc"], files["renode/CMakeLists.txt"]
    assert re.findall(r"LoadPlatformDescription @(\S+)", resc) == [f"{board}.repl"]
    assert f"${{REPL}}         ${{CURDIR}}/{board}.repl\n" in files[f"renode/{board}.robot"]
    assert "${ELF}          ${CURDIR}/build/firmware.elf\n" in files[f"renode/{board}.robot"]
    sources = re.search(r"add_executable\(firmware\n(.*?)\n\)", cmake, re.DOTALL)
    assert sources is not None
    for name in sources[1].split():
        if name != "${model_sources}":
            path = (Path("renode") / name).as_posix()
            assert re.sub(r"renode/\.\./", "", path) in files, name
    for name in re.findall(r"\$\{CMAKE_CURRENT_SOURCE_DIR\}/([\w.]+)[)\s]", cmake):
        assert f"renode/{name}" in files
    for path, text in files.items():
        if path.startswith("renode/") and path.endswith((".c", ".S")):
            for header in re.findall(r'#include "(.*)"', text):
                assert f"renode/{header}" in files or f"src/{header}" in files, (path, header)


@pytest.mark.parametrize("board", ["pico", "riscv32-virt", "host"])
def test_no_renode_without_a_platform(board: str) -> None:
    assert not any(path.startswith("renode/") for path in renode_project(board))


def test_an_unknown_uart_is_refused(tmp_path: Path) -> None:
    text = (resource("boards") / "bluepill.toml").read_text().replace("UART.STM32_UART", "UART.Unheard")
    (tmp_path / "mine.toml").write_text(text)
    board = load_board(str(tmp_path / "mine.toml"))
    with pytest.raises(UsageError, match=r"is 'UART\.Unheard'") as error:
        wrap("platformio", LABELLED.library(), LABELLED.info(board, "arduino"))
    assert "UART.STM32_UART" in error.value.expected


@pytest.mark.parametrize("driver", sorted(path.name for path in (resource("templates") / "renode").glob("uart_*.c")))
def test_drivers_compile_strictly(driver: str, tmp_path: Path) -> None:
    folder = resource("templates") / "renode"
    command = [tool("arm-none-eabi-gcc"), "-mthumb", "-mcpu=cortex-m4", "-std=c99", "-Wmissing-prototypes", *STRICT]
    run([*command, "-DUART_BASE=0x40000000u", f"-I{folder}", "-fsyntax-only", folder / driver])


def build(board: str, folder: Path, model: str) -> Path:
    """The firmware, as renode/README.md says."""
    tool("cmake")
    family = CPUS[load_board(board).cpu].family
    compilers = {"riscv": "riscv64-unknown-elf-gcc", "xtensa": "xtensa-lx106-elf-gcc"}
    tool(compilers.get(family, "arm-none-eabi-gcc"))
    write({path: text.encode() for path, text in renode_project(board, model).items()}, folder)
    run(["cmake", "-S", "renode", "-B", "renode/build"], cwd=folder)
    run(["cmake", "--build", "renode/build"], cwd=folder)
    return folder / "renode" / "build" / "firmware.elf"


@pytest.mark.parametrize("board", ON_UNICORN)
def test_the_firmware_in_the_memories_of_the_repl(board: str, tmp_path: Path) -> None:
    """What the robot test does, on unicorn: an access outside of the memories and the UART stops it with an error."""
    pytest.importorskip("unicorn", reason="unicorn is not installed (pip install tinyc[emulate])")
    model = SEVERAL if board == "nano33ble" else LABELLED
    machine = Machine(
        load_board(board), build(board, tmp_path, "several" if model is SEVERAL else "labelled"), regions(board)
    )
    said = machine.run_until(b"# ready")
    assert f"tinyc {model.name} self-test: PASS\n".encode() in said
    assert f"O {model.vector(0)[1].hex()} ".encode() in said
    for seed in (0, 1, 9):
        given, wanted = model.vector(seed)
        machine.type(f"I {given.hex()}\r".encode())
        assert machine.run_until(b"O ").startswith(f"O {wanted.hex()} ".encode())
    machine.type(b"?\r")
    assert machine.run_until(b"S ").startswith(f"S {model.name} ".encode())


@pytest.mark.parametrize(("board", "machine"), [("mps3-an547", "mps3-an547"), ("nucleo_f446re", "netduinoplus2")])
def test_the_firmware_on_qemu(board: str, machine: str, tmp_path: Path) -> None:
    """The M55, which unicorn lacks; and an STM32F405, whose USART is QEMU's own model."""
    qemu = tool("qemu-system-arm")
    elf = build(board, tmp_path, "labelled")
    # netduinoplus2: USART2 is the second serial port
    serial = ["-serial", "stdio"] if board == machine else ["-serial", "null", "-serial", "stdio"]
    command = [qemu, "-M", machine, "-display", "none", "-monitor", "none", *serial, "-kernel", elf]
    with Conversation(command) as talk:
        talk.wait_for("# ready")
        assert "tinyc kws self-test: PASS" in talk.heard
        given, wanted = LABELLED.vector(9)
        assert talk.ask(f"I {given.hex()}").split(" ")[:2] == ["O", wanted.hex()]


@pytest.mark.parametrize("board", XTENSA)
def test_the_xtensa_firmware_links(board: str, tmp_path: Path) -> None:
    elf = build(board, tmp_path, "labelled")
    facts = load_board(board)
    assert facts.emulator.renode is not None
    header = run([tool("xtensa-lx106-elf-readelf"), "-h", "-l", "-S", elf])
    entry = re.search(r"Entry point address:\s+(0x[0-9a-f]+)", header)
    assert entry is not None
    loads = [(int(a, 16), int(b, 16)) for a, b in re.findall(r"LOAD\s+\S+ (0x\S+) \S+ \S+ (0x\S+)", header)]
    inside = regions(board)
    for origin, size in [*loads, (int(entry[1], 16), 4)]:
        assert any(start <= origin and origin + size <= start + length for start, length in inside), hex(origin)
    undefined = run([tool("xtensa-lx106-elf-nm"), "-u", elf])
    assert undefined == ""


def test_xtensa_arithmetic(tmp_path: Path) -> None:
    """The library functions that the lx106 compiler finds in the chip's ROM, against Python, under another name."""
    names = ["udivsi3", "umodsi3", "divsi3", "modsi3", "udivdi3", "umoddi3", "divdi3", "moddi3", "muldi3"]
    source = resource("templates") / "renode" / "arithmetic_xtensa.c"
    renames = [f"-D__{name}=test_{name}" for name in names]
    library = tmp_path / "arithmetic.so"
    run([tool("gcc"), "-std=c99", "-O2", "-shared", "-fPIC", *STRICT, *renames, source, "-o", library])
    functions = ctypes.CDLL(str(library))
    numbers = random.Random(1)
    for name in names:
        bits, signed = 64 if name.endswith("di3") else 32, not name.startswith(("u", "mul"))
        kind = getattr(ctypes, f"c_{'' if signed else 'u'}int{bits}")
        function = getattr(functions, f"test_{name}")
        function.argtypes, function.restype = [kind, kind], kind
        for _ in range(2000):
            a, b = (kind(numbers.getrandbits(numbers.choice((8, bits // 2, bits)))).value for _ in range(2))
            assert function(a, b or 1) == kind(_reference(name, a, b or 1)).value, (name, a, b)


def _reference(name: str, a: int, b: int) -> int:
    """C's arithmetic: division truncates."""
    if name == "muldi3":
        return a * b
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient if "div" in name else a - quotient * b
