# SPDX-License-Identifier: Apache-2.0
"""The same bytes from every core, compiler and emulator; the same exact counts from unicorn and QEMU."""

from pathlib import Path

import numpy as np
import pytest
from emulated_program import BARE_METAL, BUILDS, MARKS, STDIN, build, need_emulator, need_qemu
from tinyc.emulators import EMULATORS, choose_emulators, find_emulator, proves
from tinyc.errors import ToolError, UsageError
from tinyc.targets.cpus import CPUS


def expected() -> bytes:
    """What the program in program/ computes, by numpy and Python integers."""
    blocks = [mix_f(mix_a(mix_b(mix_a(STDIN[i : i + 64])))) for i in range(0, len(STDIN), 64)]
    return b"".join(bytes([(block[0] + 1 + i) & 255]) + block[1:] for i, block in enumerate(blocks))


def mix_a(data: bytes) -> bytes:
    high = [((x * 7919 + 1) * 1103515245 + (1 << 30)) >> 31 for x in data]
    return bytes((h ^ (data[(i * 7) % len(data)] << 1)) & 255 for i, h in enumerate(high))


def mix_b(data: bytes) -> bytes:
    state, out = 88172645463325252, []
    for x in data:
        state = (state * 6364136223846793005 + x) % (1 << 64)
        out.append((state >> 33) % 251)
    return bytes([out[0], *((out[i] - (state >> 3) // (i * 1000003)) & 255 for i in range(1, len(out)))])


def mix_f(data: bytes) -> bytes:
    total, out = np.float32(0), []
    for x in data:
        total = np.float32(np.float32(total * np.float32(0.5)) + np.float32(np.float32(x) / np.float32(3)))
        out.append(int(np.float32(total * np.float32(1.5))) & 255)
    return bytes(out)


@pytest.mark.parametrize(("cpu", "kind"), BUILDS)
def test_same_bytes_everywhere(cpu: str, kind: str, tmp_path: Path) -> None:
    image = build(CPUS[cpu], kind, tmp_path)
    emulators = choose_emulators(CPUS[cpu])
    if not emulators:
        need_qemu(CPUS[cpu])
    for emulator in emulators:
        run = emulator.run(image, STDIN, entry="work_run", marks=MARKS, timeout=60)
        assert run.output == expected(), emulator.name


@pytest.mark.parametrize(("cpu", "kind"), BARE_METAL)
def test_unicorn_and_qemu_count_the_same(cpu: str, kind: str, tmp_path: Path) -> None:
    core = CPUS[cpu]
    need_emulator("qemu", core)
    if cpu == "cortex-m55":
        assert "unicorn has no Arm Cortex-M55" in str(EMULATORS["unicorn"].unavailable(core))
        return
    need_emulator("unicorn", core)
    image = build(core, kind, tmp_path)
    runs = [
        EMULATORS[name].run(image, STDIN, entry="work_run", marks=MARKS, timeout=60) for name in ("unicorn", "qemu")
    ]
    ours, theirs = runs
    assert ours.instructions is not None
    assert (ours.instructions, ours.calls, ours.functions, ours.layers) == (
        theirs.instructions,
        theirs.calls,
        theirs.functions,
        theirs.layers,
    )
    assert ours.calls == 5
    assert ours.layers is not None
    assert len(ours.layers) == 4
    assert sum(ours.functions.values()) == ours.instructions
    assert not {"main", "tinyc_start", "tinyc_host_read"} & set(ours.functions)


#: A function of 2 + 2 * 100 + 1 instructions, and one whose loop goes back to its own first instruction (2 * 50 + 1).
COUNTED = {
    "cortex-m": """
        .syntax unified
        .thumb
        .section .text.spin, "ax", %progbits
        .globl spin
        .type spin, %function
        spin: movs r0, #100
        nop
        1: subs r0, #1
        bne 1b
        bx lr
        .size spin, . - spin
        .section .text.tight, "ax", %progbits
        .globl tight
        .type tight, %function
        tight: subs r0, #1
        bne tight
        bx lr
        .size tight, . - tight
    """,
    "riscv": """
        .section .text.spin, "ax", @progbits
        .globl spin
        .type spin, @function
        spin: li a0, 100
        nop
        1: addi a0, a0, -1
        bnez a0, 1b
        ret
        .size spin, . - spin
        .section .text.tight, "ax", @progbits
        .globl tight
        .type tight, @function
        tight:
        2: addi a0, a0, -1
        bnez a0, 2b
        ret
        .size tight, . - tight
    """,
    "xtensa": """
        .section .text.spin, "ax", @progbits
        .p2align 2
        .globl spin
        .type spin, @function
        spin: entry a1, 32
        movi a2, 100
        1: addi a2, a2, -1
        bnez a2, 1b
        retw
        .size spin, . - spin
        .section .text.tight, "ax", @progbits
        .p2align 2
        .globl tight
        .type tight, @function
        tight: entry a1, 32
        2: addi a2, a2, -1
        bnez a2, 2b
        retw
        .size tight, . - tight
    """,
}
COUNTED_MAIN = b"""
#include <stdint.h>
void spin(void);
void tight(uint32_t rounds);
__attribute__((noinline)) void entry(void);
void entry(void) { spin(); tight(50U); spin(); __asm__ volatile(""); }
int main(void) { entry(); entry(); return 0; }
"""


@pytest.mark.parametrize(
    ("cpu", "kind", "emulator"),
    [
        ("cortex-m0plus", "gcc", "unicorn"),
        ("cortex-m0plus", "gcc", "qemu"),
        ("cortex-m33", "zig", "unicorn"),
        ("cortex-m33", "zig", "qemu"),
        ("cortex-m55", "gcc", "qemu"),
        ("rv32imc", "gcc", "unicorn"),
        ("rv32imc", "zig", "qemu"),
        ("xtensa-lx6", "clang", "qemu"),
    ],
)
def test_counts_are_those_of_hand_counted_assembly(cpu: str, kind: str, emulator: str, tmp_path: Path) -> None:
    core = CPUS[cpu]
    need_emulator(emulator, core)
    sources = {"main.c": COUNTED_MAIN, "spin.S": COUNTED[core.family].encode()}
    image = build(core, kind, tmp_path, sources)
    run = EMULATORS[emulator].run(image, b"", entry="entry", marks=("spin", "tight"), timeout=60)
    tight = 2 * 50 + (2 if core.family == "xtensa" else 1)
    assert run.calls == 2
    assert run.functions["spin"] == 2 * 2 * 203
    assert run.functions["tight"] == 2 * tight
    assert run.instructions == run.functions["entry"] + run.functions["spin"] + run.functions["tight"]
    assert run.layers is not None
    assert len(run.layers) == 3
    assert sum(run.layers) * 2 == run.instructions
    assert [count - exact for count, exact in zip(run.layers, (203, tight, 203), strict=True)] == pytest.approx(
        [6, 3, 3], abs=6
    )


ROUNDING = b"""
void entry(volatile float *data);
__attribute__((noinline)) void entry(volatile float *data) {
  const float a = data[0];
  const float product = data[1];
  data[2] = (a * a) - product; /* 0, unless the multiplication is fused with the subtraction and not rounded */
}
__attribute__((noinline)) float square(volatile float *data);
float square(volatile float *data) { return data[0] * data[0]; }
int main(void) {
  static volatile float data[3] = {1.0000001f};
  data[1] = square(data);
  entry(data);
  return (data[2] == 0.0f) ? 0 : 1;
}
"""


@pytest.mark.parametrize(("cpu", "kind"), [build for build in BUILDS if "fpu" in CPUS[build[0]].features])
def test_no_fused_multiply_add(cpu: str, kind: str, tmp_path: Path) -> None:
    """a * b + c rounds twice, as in the reference, also on cores with a fused instruction."""
    image = build(CPUS[cpu], kind, tmp_path, {"main.c": ROUNDING})
    emulators = choose_emulators(CPUS[cpu])
    if not emulators:
        need_qemu(CPUS[cpu])
    for emulator in emulators:
        emulator.run(image, b"", entry="entry", timeout=60)


STACK = b"""
#include <stdint.h>
__attribute__((noinline)) void entry(uint32_t seed);
void entry(uint32_t seed) {
  volatile uint32_t array[250];
  for (uint32_t i = 0U; i < 250U; ++i) { array[i] = seed + i; }
}
int main(void) { entry(1U); entry(2U); return 0; }
"""


@pytest.mark.parametrize("cpu", ["cortex-m0plus", "cortex-m4", "rv32imc"])
def test_unicorn_measures_the_stack(cpu: str, tmp_path: Path) -> None:
    need_emulator("unicorn", CPUS[cpu])
    image = build(CPUS[cpu], "gcc", tmp_path, {"main.c": STACK})
    run = EMULATORS["unicorn"].run(image, b"", entry="entry", timeout=60)
    assert run.stack is not None
    assert 1000 <= run.stack <= 1040
    assert run.stack <= image.stack_usage["entry"]


BIG = b"""
#include "tinyc_host.h"
extern const uint8_t weights[700000];
uint8_t arena[400000];
__attribute__((noinline)) void entry(void);
void entry(void) {
  uint32_t sum = 0U;
  for (uint32_t i = 0U; i < sizeof arena; ++i) { arena[i] = (uint8_t)(weights[i] + weights[699999U - i]); }
  for (uint32_t i = 0U; i < sizeof arena; ++i) { sum += arena[i]; }
  tinyc_host_write(&sum, 4U);
}
int main(void) { entry(); return 0; }
"""
WEIGHTS = b"""
.section .rodata.weights, "a"
.globl weights
weights: .fill 700000, 1, 0x5a
"""


@pytest.mark.parametrize("cpu", [name for name in CPUS if name != "host"])
def test_room_for_a_real_model(cpu: str, tmp_path: Path) -> None:
    core = CPUS[cpu]
    kind = "clang" if core.family == "xtensa" else "gcc"
    emulators = choose_emulators(core)
    if not emulators:
        need_qemu(core)
    image = build(core, kind, tmp_path, {"main.c": BIG, "weights.S": WEIGHTS})
    for emulator in emulators:
        run = emulator.run(image, b"", entry="entry", timeout=60)
        assert int.from_bytes(run.output, "little") == 400000 * 0xB4


@pytest.mark.parametrize("name", ["unicorn", "qemu"])
def test_without_a_native_compiler_bytes_are_still_right(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = CPUS["cortex-m4"]
    need_emulator(name, core)
    image = build(core, "gcc", tmp_path)

    def missing(*_arguments: object) -> Path:
        raise ToolError("toolchain", "none")

    monkeypatch.setattr(f"tinyc.emulators.{name}.library", missing)
    run = EMULATORS[name].run(image, STDIN, entry="work_run", timeout=60)
    assert run.output == expected()
    assert run.instructions is None
    assert run.functions == {}


def test_unknown_entry_and_emulator_are_usage_errors(tmp_path: Path) -> None:
    core = CPUS["host"]
    with pytest.raises(UsageError, match="did you mean 'qemu'"):
        find_emulator("qemuu", core)
    need_emulator("unicorn", CPUS["cortex-m4"])
    image = build(CPUS["cortex-m4"], "gcc", tmp_path)
    with pytest.raises(UsageError, match="did you mean 'work_run'"):
        EMULATORS["unicorn"].run(image, STDIN, entry="work_rum", timeout=60)


def test_missing_emulators_name_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tinyc.emulators.unicorn._version", lambda: None)
    core = CPUS["cortex-m4"]
    for name, line in (("qemu", "apt-get install qemu-system-arm"), ("unicorn", r"pip install 'tinyc\[emulate\]'")):
        with pytest.raises(ToolError, match=line) as caught:
            find_emulator(name, core)
        assert caught.value.exit_code == 4
    with pytest.raises(ToolError, match="none is ready for Arm Cortex-M4"):
        find_emulator("auto", core)
    assert "apt-get install qemu-user" in str(EMULATORS["qemu"].unavailable(CPUS["xtensa-lx6"]))
    assert "apt-get install qemu-system-misc" in str(EMULATORS["qemu"].unavailable(CPUS["rv32imc"]))


def test_a_broken_qemu_is_not_taken_for_a_working_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "qemu-system-arm"
    program.write_text("#!/bin/sh\nexit 127\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "does not start" in str(EMULATORS["qemu"].unavailable(CPUS["cortex-m4"]))


def test_proves_says_what_is_open() -> None:
    assert "mulsh" in proves(CPUS["xtensa-lx6"], "qemu")
    assert "Cortex-M3" in proves(CPUS["cortex-m0plus"], "qemu")
    assert "does not prove the target's compiler" in proves(CPUS["cortex-m4"], "host")
    sentences = {proves(cpu, name) for cpu in CPUS.values() for name in (*EMULATORS, "renode")}
    assert all("does not prove" in sentence and "{" not in sentence for sentence in sentences)
