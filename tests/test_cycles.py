# SPDX-License-Identifier: Apache-2.0
"""The estimate of cycles: exact executions of every instruction, priced as the tables say. Expected numbers are added up by hand."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from tinyc import cycles
from tinyc.bench import bench
from tinyc.cli import main
from tinyc.cycle_tables import TABLES
from tinyc.cycles import decoder, estimate, executions
from tinyc.emulators import EMULATORS, Run
from tinyc.emulators.base import Edges, Profile
from tinyc.pipeline import Compilation, Options, compile_model
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Toolchain, build_image, try_kind
from tinyc.verification import harness
from tinyc.verification.vectors import make_inputs

ROOT = Path(__file__).resolve().parents[1]
SINE = ROOT / "examples" / "sine" / "sine.tflite"
KWS = ROOT / "examples" / "kws" / "kws.tflite"

THUMB = """
.syntax unified
.thumb
.section .text.entry, "ax", %progbits
.globl entry
.type entry, %function
{body}
.size entry, . - entry
"""
RISCV = """
.option norelax
.section .text.entry, "ax", @progbits
.globl entry
.type entry, @function
{body}
.size entry, . - entry
"""

#: Core, assembly, instructions, (least, expected, most) cycles. The comments are expected cycles.
SNIPPETS = {
    "m4-loads-branches-hazards": (
        "cortex-m4",
        """
        entry: push {r4, lr}    @ 1 + 2
        sub sp, #16             @ 1
        mov r1, sp              @ 1
        movs r0, #10            @ 1
        1: ldr r2, [r1]         @ 10 * 2
        ldr r3, [r1, #4]        @ 10 * 1, pipelined
        str r3, [r1, #8]        @ 10 * 1
        smlad r4, r2, r3, r4    @ 10 * 1
        subs r0, #1             @ 10 * 1
        bne 1b                  @ 10 * 1 + 9 * 2
        adds r1, #4             @ 1
        ldr r2, [r1]            @ 2 + 1, its address was just computed
        ldrd r2, r3, [sp]       @ 1 + 2
        sdiv r2, r2, r0         @ 7 of 2 to 12
        add sp, #16             @ 1
        pop {r4, pc}            @ 1 + 2 + 2, and 1 for sp
        """,
        70,
        (98, 115, 150),
    ),
    "m4-loads-that-do-not-pipeline": (
        "cortex-m4",
        """
        entry: mov r1, sp       @ 1
        str r1, [sp, #-8]!      @ 1
        nop                     @ 1
        ldr r2, [sp]            @ 2, the address of
        ldr r3, [r2, #-8]       @ 2
        str r3, [r1, #-4]       @ 1
        ldr r0, [sp]            @ 2, after a store
        add sp, #8              @ 1
        bx lr                   @ 1 + 2
        """,
        9,
        (13, 14, 17),
    ),
    "m4-instruction-over-the-edge-of-a-page": (  # QEMU reports a wrong length of the one before
        "cortex-m4",
        """
        .balign 1024
        entry: .rept 511
        nop                     @ 511 * 1
        .endr
        movw r0, #1             @ 1
        bx lr                   @ 1 + 2
        """,
        513,
        (514, 515, 516),
    ),
    "m3-multiplications": (
        "cortex-m3",
        """
        entry: movs r0, #5      @ 1
        1: mla r2, r0, r0, r2   @ 5 * 2
        smull r2, r3, r0, r0    @ 5 * 4 of 3 to 5
        subs r0, #1             @ 5 * 1
        bne 1b                  @ 5 * 1 + 4 * 2
        bx lr                   @ 1 + 2
        """,
        22,
        (42, 52, 62),
    ),
    "m0plus-calls": (
        "cortex-m0plus",
        """
        entry: push {r3, r4, lr} @ 1 + 3
        movs r0, #3             @ 1
        bl helper               @ 3
        pop {r3, r4, pc}        @ 3 + 3
        helper: ldr r1, [sp]    @ 3 * 2
        muls r1, r0             @ 3 * 1
        str r1, [sp]            @ 3 * 2
        subs r0, #1             @ 3 * 1
        bne helper              @ 3 * 1 + 2 * 1
        bx lr                   @ 2
        """,
        20,
        (39, 39, 39),
    ),
    "rv32-load-use-and-jumps": (
        "rv32imc",
        """
        entry: addi sp, sp, -16 # 1
        sw ra, 12(sp)           # 1
        li a0, 4                # 1
        jal ra, helper          # 2
        lw ra, 12(sp)           # 1
        addi sp, sp, 16         # 1
        ret                     # 2
        helper: lw a1, 0(sp)    # 4 * 1
        add a2, a1, a1          # 4 * 1 + 4 waiting for a1
        mulh a3, a2, a1         # 4 * 5
        addi a0, a0, -1         # 4 * 1
        bnez a0, helper         # 4 * 1 + 3 * 2
        ret                     # 2
        """,
        28,
        (57, 57, 63),
    ),
}
MAIN = b"void entry(void); int main(void) { entry(); entry(); return 0; }\n"


def need(cpu: str, emulator: str) -> None:
    """Skips the test, saying what is missing."""
    if not isinstance(try_kind("gcc", CPUS[cpu]), Toolchain):
        pytest.skip(f"no gcc for {cpu}")
    reason = EMULATORS[emulator].unavailable(CPUS[cpu])
    if reason is not None:
        pytest.skip(reason)


@pytest.mark.parametrize("emulator", ["unicorn", "qemu"])
@pytest.mark.parametrize("name", SNIPPETS)
def test_hand_counted_assembly(name: str, emulator: str, tmp_path: Path) -> None:
    cpu, body, instructions, expected = SNIPPETS[name]
    need(cpu, emulator)
    source = (RISCV if cpu == "rv32imc" else THUMB).format(body=body)
    image = build_image({"main.c": MAIN, "entry.S": source.encode()}, CPUS[cpu], tmp_path, toolchain="gcc")
    run = EMULATORS[emulator].run(image, b"", entry="entry", timeout=60, profile=True)
    assert run.instructions == 2 * instructions
    assert run.profile is not None
    assert counts(run, cpu) == [instructions], "the profile is of the first call"
    found = estimate(CPUS[cpu], run.profile)
    assert found is not None
    assert (found.least, found.expected, found.most) == expected
    assert found.layers == (found.expected,)


def counts(run: Run, cpu: str) -> list[int]:
    """Instructions per layer, added up from the executions of every address."""
    assert run.profile is not None
    decode = decoder(CPUS[cpu], run.profile)
    assert decode is not None
    return [sum(count for _, count, _ in executions(edges, decode)) for edges in run.profile.layers]


@pytest.fixture(scope="module")
def kws() -> Compilation:
    return compile_model(KWS, Options("mps2-an386", optimize="speed", verify="none"))


def run_kws(built: Compilation, cpu: str, emulator: str, work: Path, profile: bool = True) -> Run:
    need(cpu, emulator)
    sources = {**built.library, "tinyc_verify_main.c": harness("kws", built.graph)}
    stdin = b"".join(array.tobytes() for row in make_inputs(built.graph, 2, 1) for array in row)
    marks = [step.kernel.function for step in built.program.steps]
    image = build_image(sources, CPUS[cpu], work, toolchain="gcc")
    return EMULATORS[emulator].run(image, stdin, entry="kws_run", marks=marks, timeout=120, profile=profile)


def test_a_model_is_counted_instruction_by_instruction_and_alike_in_both_emulators(
    kws: Compilation, tmp_path: Path
) -> None:
    runs = [run_kws(kws, "cortex-m4", emulator, tmp_path) for emulator in ("unicorn", "qemu")]
    for run in runs:
        assert run.layers is not None
        assert counts(run, "cortex-m4") == list(run.layers)
    ours, theirs = (estimate(CPUS["cortex-m4"], run.profile) for run in runs if run.profile is not None)
    assert ours is not None
    assert ours == theirs
    assert len(ours.layers) == len(kws.program.steps)
    assert sum(ours.layers) == ours.expected
    assert sum(counts(runs[0], "cortex-m4")) < ours.least <= ours.expected <= ours.most


def test_without_being_asked_for_there_is_no_profile(kws: Compilation, tmp_path: Path) -> None:
    plain = run_kws(kws, "cortex-m4", "unicorn", tmp_path, profile=False)
    profiled = run_kws(kws, "cortex-m4", "unicorn", tmp_path)
    assert plain.profile is None
    assert (plain.instructions, plain.layers, plain.functions, plain.stack) == (
        profiled.instructions,
        profiled.layers,
        profiled.functions,
        profiled.stack,
    )


@pytest.mark.parametrize("emulator", ["unicorn", "qemu"])
def test_a_profile_that_did_not_fit_is_none_and_the_counts_stay(
    emulator: str, kws: Compilation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("cortex-m4", emulator)
    if emulator == "unicorn":
        monkeypatch.setattr("tinyc.emulators.unicorn._ROW_CAPACITY", 100)
    else:
        from tinyc.emulators import qemu
        from tinyc.toolchains.elf import read_section

        # Code outside of the section that the plugin was told of.
        monkeypatch.setattr(qemu, "read_section", lambda elf, name: (read_section(elf, name)[0], b"\0" * 16))
    run = run_kws(kws, "cortex-m4", emulator, tmp_path)
    assert run.profile is None
    assert run.instructions is not None
    assert run.layers is not None


@pytest.mark.parametrize("cpu", sorted(set(CPUS) - set(TABLES)))
def test_no_estimate_without_a_table(cpu: str) -> None:
    bx_lr = Profile(0, bytes.fromhex("7047"), ({0: Edges(1, 0, 0, 1), 2: Edges(0, 1, 1, 0)},))
    assert estimate(CPUS["cortex-m4"], bx_lr) is not None
    assert estimate(CPUS[cpu], bx_lr) is None


def test_tables_are_of_known_cores_and_their_ranges_are_in_order() -> None:
    assert set(TABLES) <= set(CPUS)
    for table in TABLES.values():
        ranges = [table.refill, *(hazard.cycles for hazard in table.hazards)]
        for cost in table.costs.values():
            assert cost.source
            ranges += [cost.base, table.refill if cost.refill is None else cost.refill]
        assert all(0 <= least <= expected <= most for least, expected, most in ranges)
        for hazard in table.hazards:
            assert hazard.source
            assert hazard.after <= set(table.costs) | {"float_move", "float_move_pair"} | set(
                cycles._ARM_KINDS.values()
            )


def test_an_instruction_in_no_class_has_no_price() -> None:
    smull_on_m0plus = Profile(0, bytes.fromhex("80fb0123"), ({0: Edges(1, 0, 0, 1), 4: Edges(0, 1, 0, 0)},))
    assert estimate(CPUS["cortex-m4"], smull_on_m0plus) is not None
    assert estimate(CPUS["cortex-m0plus"], smull_on_m0plus) is None
    undefined = Profile(0, bytes.fromhex("00de"), ({0: Edges(1, 0, 0, 1), 2: Edges(0, 1, 0, 0)},))
    assert estimate(CPUS["cortex-m4"], undefined) is None


def test_no_estimate_without_capstone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "capstone", None)
    assert decoder(CPUS["cortex-m4"], Profile(0, b"", ())) is None
    assert estimate(CPUS["cortex-m4"], Profile(0, b"", ({},))) is None


#: Encodings from GNU as.
CLASSES = {
    "cortex-m4": {
        "0868": "load",  # ldr r0, [r1]
        "51f8040b": "load",  # ldr r0, [r1], #4
        "41f8040b": "store",  # str r0, [r1], #4
        "41f82200": "store_register",  # str.w r0, [r1, r2, lsl #2]
        "d2e90001": "load_multiple 2",  # ldrd r0, r1, [r2]
        "c2e90001": "store_multiple 2",  # strd r0, r1, [r2]
        "0ec8": "load_multiple 3",  # ldm r0!, {r1, r2, r3}
        "20e90e00": "store_multiple 3",  # stmdb r0!, {r1, r2, r3}
        "10b5": "store_multiple 2",  # push {r4, lr}
        "10bd": "load_multiple 2",  # pop {r4, pc}
        "21fb0200": "multiply_accumulate",  # smlad r0, r1, r2, r0
        "51fb12f0": "multiply",  # smmulr r0, r1, r2
        "c2fb0301": "long_multiply_accumulate",  # smlal r0, r1, r2, r3
        "91fbf2f0": "divide",  # sdiv r0, r1, r2
        "dfe7": "jump",  # b
        "ded0": "branch",  # beq
        "00b1": "branch",  # cbz
        "fff7ddff": "call",  # bl
        "8047": "call_register",  # blx r0
        "7047": "jump",  # bx lr
        "dfe800f0": "table_branch",  # tbb [pc, r0]
        "08bf": "if_then",  # it eq
        "90ed000a": "float_load",  # vldr s0, [r0]
        "90ed000b": "float_load_double",  # vldr d0, [r0]
        "b0ec040a": "float_load_multiple 4",  # vldmia r0!, {s0, s1, s2, s3}
        "2ded048b": "float_store_multiple 4",  # vpush {d8, d9}
        "10ee100a": "float_move",  # vmov r0, s0
        "51ec100a": "float_move_pair",  # vmov r0, r1, s0, s1
        "20ee810a": "float",  # vmul.f32 s0, s1, s2
        "a0ee810a": "float_multiply_accumulate",  # vfma.f32 s0, s1, s2
        "80ee810a": "float_divide",  # vdiv.f32 s0, s1, s2
    },
    "rv32imc": {
        "8841": "load",  # c.lw a0, 0(a1)
        "03851500": "load",  # lb a0, 1(a1)
        "88c1": "store",  # c.sw a0, 0(a1)
        "75d5": "branch",  # c.beqz
        "e343b5fe": "branch",  # blt
        "f9bf": "jump",  # c.j
        "8280": "jump",  # ret
        "e7800000": "call",  # jalr ra
        "3305b502": "multiply",  # mul
        "3315b502": "long_multiply",  # mulh
        "3375b502": "divide",  # remu
        "2e95": "alu",  # c.add
        "73000000": "unknown",  # ecall
    },
}


@pytest.mark.parametrize("cpu", CLASSES)
def test_classes(cpu: str) -> None:
    pytest.importorskip("capstone", reason="pip install 'tinyc[emulate]'")
    for code, kind in CLASSES[cpu].items():
        decode = decoder(CPUS[cpu], Profile(0x1000, bytes.fromhex(code), ()))
        assert decode is not None
        found = decode(0x1000)
        assert found is not None, code
        assert found.size == len(code) // 2
        assert f"{found.kind} {found.registers or ''}".strip() == kind, code


def test_bench_reports_the_estimate_per_inference_and_per_layer() -> None:
    need("cortex-m4", "unicorn")
    estimated, dual_issue = bench([SINE], ["mps2-an386", "mps2-an500"])
    assert estimated.instructions is not None
    assert estimated.cycles_estimate is not None
    assert estimated.cycles_range is not None
    assert estimated.cycles_range[0] <= estimated.cycles_estimate <= estimated.cycles_range[1]
    assert estimated.cycles_estimate > estimated.instructions
    assert estimated.cycles_per_mac == estimated.cycles_estimate / estimated.macs
    assert sum(layer.cycles_estimate or 0 for layer in estimated.layers) == estimated.cycles_estimate
    assert dual_issue.instructions is not None
    assert (dual_issue.cycles_estimate, dual_issue.cycles_range, dual_issue.cycles_per_mac) == (None, None, None)
    assert [layer.cycles_estimate for layer in dual_issue.layers] == [None] * len(dual_issue.layers)


def test_cli_labels_the_estimate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    need("cortex-m4", "unicorn")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["tinyc", "bench", str(SINE), "--layers"])
    main()
    printed = capsys.readouterr().out
    assert printed.count("cycles (est.)  per MAC") == 2
    assert "an estimate, not measured on silicon" in " ".join(printed.split())
    monkeypatch.setattr(sys, "argv", ["tinyc", "bench", str(SINE), "--json"])
    main()
    (row,) = json.loads(capsys.readouterr().out)
    assert row["cycles_per_mac"] == row["cycles_estimate"] / row["macs"]
    assert sum(layer["cycles_estimate"] for layer in row["layers"]) == row["cycles_estimate"]


def test_the_page_has_every_number() -> None:
    page = (ROOT / "docs" / "cycles.md").read_text(encoding="utf-8")
    for cpu, table in TABLES.items():
        assert table.manual in page, cpu
        for kind, cost in table.costs.items():
            span = "–".join(f"{end:g}" for end in sorted({cost.base[0], cost.base[2]}))
            number = f"{cost.base[1]:g}" if cost.base[0] == cost.base[2] else f"{cost.base[1]:g} ({span})"
            assert f"| {kind} | {number}{' + n' if cost.per_register else ''} | {cost.source} |" in page, (cpu, kind)


def test_no_emulator_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no native compiler: cc")
    built = compile_model(SINE, Options("mps2-an386", verify="host", profile=True))
    assert [engine.cycles_estimate for engine in built.report.verification] == [None]
