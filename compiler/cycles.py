# SPDX-License-Identifier: Apache-2.0
"""An estimate of cycles: exact counts of every instruction from emulation, priced with a table of the core (cycle_tables.py).

It is an estimate: no silicon was measured, and memory without wait states is assumed. See docs/cycles.md.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .cycle_tables import NOTHING, TABLES, Cycles, Table
from .emulators.base import Edges, Profile
from .targets.cpus import Cpu


@dataclass(frozen=True)
class Estimate:
    """Cycles of the first inference.

    Attributes:
        expected: the estimate. `least`, `most`: with every range of the table at its lower and at its upper end.
        layers: `expected` per layer, as in Run.layers; their sum is `expected`.
    """

    least: float
    expected: float
    most: float
    layers: tuple[float, ...]


@dataclass(frozen=True)
class Instruction:
    """What the tables ask about one instruction.

    Attributes:
        kind: a class of cycle_tables.py. `registers`: 32-bit registers loaded or stored by one for many.
        results: registers that it computes or loads. `operands`: all that it reads; `address`: those that make its address.
    """

    size: int
    kind: str
    registers: int
    results: frozenset[int]
    operands: frozenset[int]
    address: frozenset[int]


def estimate(cpu: Cpu, profile: Profile) -> Estimate | None:
    """Cycles of a profiled run; None without a table for `cpu` or capstone, or when an instruction is in no class of the table."""
    table, decode = TABLES.get(cpu.name), decoder(cpu, profile)
    if table is None or decode is None:
        return None
    layers = [_layer(edges, decode, table) for edges in profile.layers]
    priced = [layer for layer in layers if layer is not None]
    if len(priced) != len(layers):
        return None
    least, expected, most = _add(priced)
    return Estimate(least, expected, most, tuple(layer[1] for layer in priced))


def executions(
    edges: Mapping[int, Edges], decode: Callable[[int], Instruction | None]
) -> Iterator[tuple[int, int, Instruction | None]]:
    """(address, executions, instruction) of every instruction of a layer, by address; the last is None if it is not one we know."""
    active = 0
    places = sorted(edges)
    for place, after in zip(places, [*places[1:], 0], strict=True):
        active += edges[place].started - edges[place].ended
        address = place
        while active and address < after:
            instruction = decode(address)
            yield address, active, instruction
            if instruction is None:
                return
            address += instruction.size


def _layer(edges: Mapping[int, Edges], decode: Callable[[int], Instruction | None], table: Table) -> Cycles | None:
    parts: list[Cycles] = []
    nothing = Edges(0, 0, 0, 0)
    previous, previous_end = None, -1
    for address, count, instruction in executions(edges, decode):
        if instruction is None or instruction.kind not in table.costs:
            return None
        end = address + instruction.size
        cost = table.costs[instruction.kind]
        reached = count - edges.get(address, nothing).entered
        left = edges.get(end, nothing).left
        parts.append(_times(count, _shift(cost.base, cost.per_register * instruction.registers)))
        parts.append(_times(left, table.refill if cost.refill is None else cost.refill))
        if previous is not None and previous_end == address and reached:
            parts.append(_times(reached, _interplay(previous, instruction, table)))
        previous, previous_end = instruction, end
    return _add(parts)


def _interplay(first: Instruction, second: Instruction, table: Table) -> Cycles:
    """Cycles that the second takes more, or less, because it comes right after the first."""
    pipelined = {"load": "load_pipelined", "store_register": "store_pipelined"}.get(second.kind, "")
    if first.kind == "load" and pipelined in table.costs and not first.results & second.address:
        usual, faster = table.costs[second.kind].base, table.costs[pipelined].base
        return faster[0] - usual[0], faster[1] - usual[1], faster[2] - usual[2]
    return _add(
        hazard.cycles
        for hazard in table.hazards
        if first.kind in hazard.after
        and (hazard.before is None or second.kind in hazard.before)
        and first.results & (second.address if hazard.address_only else second.operands)
    )


def _times(count: int, cycles: Cycles) -> Cycles:
    return count * cycles[0], count * cycles[1], count * cycles[2]


def _shift(cycles: Cycles, more: int) -> Cycles:
    return cycles[0] + more, cycles[1] + more, cycles[2] + more


def _add(parts: Iterable[Cycles]) -> Cycles:
    least, expected, most = NOTHING
    for part in parts:
        least, expected, most = least + part[0], expected + part[1], most + part[2]
    return least, expected, most


def decoder(cpu: Cpu, profile: Profile) -> Callable[[int], Instruction | None] | None:
    """Instruction at an address of the profiled code, None where there is none; no decoder without capstone."""
    try:
        capstone: Any = importlib.import_module("capstone")
    except ImportError:
        return None
    if cpu.family == "cortex-m":
        engine = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
        describe = _arm
    elif cpu.family == "riscv":
        engine = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC)
        describe = _riscv
    else:
        return None
    engine.detail = True
    known: dict[int, Instruction | None] = {}

    def decode(address: int) -> Instruction | None:
        if address not in known:
            offset = address - profile.start
            found = next(engine.disasm(profile.code[offset : offset + 4], address, 1), None)
            known[address] = None if found is None else describe(found)
        return known[address]

    return decode


#: Operand types of capstone, the same for every architecture.
_REGISTER, _MEMORY = 1, 3

_ARM_KINDS: Mapping[str, str] = {
    name: kind
    for kind, names in {
        "load": "ldr ldrb ldrh ldrsb ldrsh ldrt ldrbt ldrht ldrsbt ldrsht ldrex ldrexb ldrexh",
        "load_multiple": "ldrd ldm ldmdb pop",
        "store": "str strb strh strt strbt strht strex strexb strexh",
        "store_multiple": "strd stm stmdb push",
        "branch": "cbz cbnz",
        "jump": "bx",
        "call": "bl",
        "call_register": "blx",
        "table_branch": "tbb tbh",
        "if_then": "it",
        "system": "mrs msr cps",
        "barrier": "dmb dsb isb",
        "unknown": "svc bkpt udf hlt wfi wfe trap",
        "divide": "sdiv udiv",
        "multiply": """mul smulbb smulbt smultb smultt smulwb smulwt smuad smuadx smusd smusdx smmul smmulr""",
        "multiply_accumulate": """mla mls smlabb smlabt smlatb smlatt smlawb smlawt smlad smladx smlsd smlsdx
            smmla smmlar smmls smmlsr""",
        "long_multiply": "smull umull",
        "long_multiply_accumulate": """smlal umlal umaal smlalbb smlalbt smlaltb smlaltt smlald smlaldx
            smlsld smlsldx""",
        "float_multiply_accumulate": "vmla vmls vnmla vnmls vfma vfms vfnma vfnms",
        "float_divide": "vdiv vsqrt",
        "float_load": "vldr",
        "float_store": "vstr",
        "float_load_multiple": "vldmia vldmdb vpop",
        "float_store_multiple": "vstmia vstmdb vpush",
    }.items()
    for name in names.split()
}


def _arm(found: Any) -> Instruction:
    name = found.insn_name()
    operands = found.operands
    registers = [operand.reg for operand in operands if operand.type == _REGISTER]
    names = [found.reg_name(register) for register in registers]
    read, written = (frozenset(part) for part in found.regs_access())
    address = frozenset(
        part
        for operand in operands
        if operand.type == _MEMORY
        for part in (operand.mem.base, operand.mem.index)
        if part
    )
    many, kind = 0, _arm_kind(name, found, names)
    if kind in ("load_multiple", "store_multiple", "float_load_multiple", "float_store_multiple"):
        many, address = _arm_many(
            name, registers, names, address, importlib.import_module("capstone.arm_const").ARM_REG_SP
        )
    is_load = kind in ("load", "float_load", "float_load_double")
    results = frozenset(registers[:1]) if is_load else written  # not the base that it also advances
    return Instruction(found.size, kind, many, results, read, address)


def _arm_many(
    name: str, registers: list[int], names: list[str], address: frozenset[int], stack: int
) -> tuple[int, frozenset[int]]:
    """32-bit registers that an instruction for many moves, and the one that holds the address; ldrd and strd have it already."""
    if name in ("push", "pop", "vpush", "vpop"):
        address = frozenset({stack})
    elif not address:
        address, names = frozenset(registers[:1]), names[1:]
    return sum(2 if register.startswith("d") else 1 for register in names), address


def _arm_kind(name: str, found: Any, names: list[str]) -> str:
    if name == "b":
        always = importlib.import_module("capstone.arm_const").ARM_CC_AL
        return "jump" if found.cc == always else "branch"
    kind = _ARM_KINDS.get(name)
    if kind in ("float_load", "float_store") and names[0].startswith("d"):
        return f"{kind}_double"
    if kind == "store" and any(operand.type == _MEMORY and operand.mem.index for operand in found.operands):
        return "store_register"
    if name == "vmov":
        core = sum(not re.fullmatch(r"[sdq]\d+", register) for register in names)
        return ("float", "float_move", "float_move_pair")[core]
    return kind or ("float" if name.startswith("v") else "alu")


_RISCV_KINDS: Mapping[str, str] = {
    name: kind
    for kind, names in {
        "load": "lw lh lhu lb lbu lwsp",
        "store": "sw sh sb swsp",
        "branch": "beq bne blt bge bltu bgeu beqz bnez",
        "jump": "j jr ret",
        "call": "jal jalr",
        "multiply": "mul",
        "long_multiply": "mulh mulhu mulhsu",
        "divide": "div divu rem remu",
        "unknown": "ecall ebreak mret wfi unimp fence.i",
    }.items()
    for name in names.split()
}


def _riscv(found: Any) -> Instruction:
    """capstone gives no registers read and written for RISC-V: they follow from the order of the operands."""
    compressed = found.mnemonic.startswith("c.")
    name = found.mnemonic.removeprefix("c.")
    fallback = "system" if name.startswith("csr") else "unknown" if "." in name else "alu"
    kind = _RISCV_KINDS.get(name, fallback)
    registers = [operand.reg for operand in found.operands if operand.type == _REGISTER]
    bases = {operand.mem.base for operand in found.operands if operand.type == _MEMORY}
    has_result = bool(registers) and kind not in ("store", "branch", "jump", "call")
    in_place = compressed and kind == "alu" and name not in ("mv", "li", "lui")
    operands = registers[1:] if has_result and not in_place else registers
    return Instruction(
        found.size,
        kind,
        0,
        frozenset(registers[:1] if has_result else ()),
        frozenset((*operands, *bases)),
        frozenset(bases),
    )
