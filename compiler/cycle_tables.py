# SPDX-License-Identifier: Apache-2.0
"""What an instruction costs in cycles, per core: data, with the place in the manual for every number. docs/cycles.md explains them.

All tables are for memory without wait states. A core without a published table has none here: Cortex-M33 (Arm publishes no
cycle counts), Cortex-M7 (two instructions per cycle, no table published), Cortex-M55 (overlapping vector beats) and Xtensa.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: Cycles: (least, expected, most). Where a manual gives a range and no rule, the expected number is its middle.
Cycles = tuple[float, float, float]

NOTHING: Final[Cycles] = (0, 0, 0)


def exactly(cycles: float) -> Cycles:
    """A number that the manual gives without a range."""
    return cycles, cycles, cycles


@dataclass(frozen=True)
class Cost:
    """Cycles of one class of instructions.

    Attributes:
        base: of each execution. `per_register`: for each 32-bit register that it loads or stores, besides.
        source: where the manual says so.
        refill: added when control leaves through it (a taken branch, a load of pc); None: the table's.
    """

    base: Cycles
    source: str
    per_register: int = 0
    refill: Cycles | None = None


@dataclass(frozen=True)
class Hazard:
    """Cycles lost when an instruction needs what the one right before it produced.

    Attributes:
        after: classes of the producer. `before`: classes of the one that waits; None: any.
        address_only: it only waits for registers that make its address.
    """

    cycles: Cycles
    after: frozenset[str]
    source: str
    before: frozenset[str] | None = None
    address_only: bool = False


@dataclass(frozen=True)
class Table:
    """One core.

    Attributes:
        manual: what `source` in the entries refers to.
        refill: of the pipeline, see Cost.refill.
        costs: by class; an instruction of a class that is not here cannot be priced. `load_pipelined` and `store_pipelined`
            stand for a load and a store with register offset right after a load that does not make their address.
    """

    manual: str
    refill: Cycles
    costs: Mapping[str, Cost]
    hazards: tuple[Hazard, ...] = ()


_DATA: Final = frozenset(
    "alu multiply multiply_accumulate long_multiply long_multiply_accumulate divide float_move float_move_pair".split()
)
_MEMORY: Final = frozenset(
    """
    load store store_register load_multiple store_multiple table_branch
    float_load float_load_double float_store float_store_double float_load_multiple float_store_multiple
    """.split()
)
_FLOAT: Final = frozenset({"float", "float_multiply_accumulate", "float_divide"})

#: Table 3-1 of both manuals where they agree, and section 3.3.2, "Load/store timings", which is the same in both.
_ARMV7M: Final[Mapping[str, Cost]] = {
    "alu": Cost(exactly(1), "Table 3-1: Move ... Reverse; To PC 1 + P"),
    "multiply": Cost(exactly(1), "Table 3-1: MUL; Table 3-2: SMULxy, SMUAD, SMMUL"),
    "divide": Cost((2, 7, 12), "Table 3-1: SDIV, UDIV 2 to 12, by operands"),
    "load": Cost(exactly(2), "Table 3-1: LDR 2; to PC 2 + P"),
    "load_pipelined": Cost(
        (1, 1, 2), "3.3.2: one cycle less after an LDR; note b: 32-bit opcodes on odd halfwords may not"
    ),
    "load_multiple": Cost(exactly(1), "Table 3-1: LDM, POP, LDRD 1 + N; with PC 1 + N + P", per_register=1),
    "store": Cost((1, 1, 2), "3.3.2: STR with immediate offset is always one cycle; Table 3-1: 2"),
    "store_register": Cost(exactly(2), "Table 3-1: STR 2"),
    "store_pipelined": Cost((1, 1, 2), "3.3.2: LDR R0,[R1,R2]; STR R1,[R3,R2] is three cycles"),
    "store_multiple": Cost(exactly(1), "Table 3-1: STM, PUSH, STRD 1 + N", per_register=1),
    "branch": Cost(exactly(1), "Table 3-1: B<cc>, CBZ 1 or 1 + P"),
    "jump": Cost(exactly(1), "Table 3-1: B, BX 1 + P"),
    "call": Cost(exactly(1), "Table 3-1: BL 1 + P"),
    "call_register": Cost(exactly(1), "Table 3-1: BLX 1 + P"),
    "table_branch": Cost((2, 3, 3), "Table 3-1: TBB 2 + P; 3.3.2: at least six cycles"),
    "if_then": Cost((0, 1, 1), "Table 3-1: IT 1; may be folded onto the instruction before, 0"),
    "system": Cost((1, 1, 2), "Table 3-1: MRS, MSR, CPS 1 or 2"),
    "barrier": Cost((1, 1, 4), "Table 3-1: DMB, DSB, ISB 1 + B"),
}

#: P "ranges from 1 to 3 depending on the alignment and width of the target instruction" and on early speculation.
_ARMV7M_REFILL: Final[Cycles] = (1, 2, 3)

_ADDRESS: Final = Hazard(
    (0, 1, 1),
    after=_DATA,
    before=_MEMORY,
    address_only=True,
    source="3.3.2: an address that depends on the data processing operation before stalls for one cycle",
)

_FPU: Final[Mapping[str, Cost]] = {
    "float": Cost(exactly(1), "Table 7-1: VADD, VMUL, VCMP, VCVT, VABS, VNEG, VMOV, VMRS"),
    "float_multiply_accumulate": Cost(exactly(3), "Table 7-1: VMLA, VFMA"),
    "float_divide": Cost((1, 14, 14), "Table 7-1: VDIV, VSQRT 14; 1 if no float instruction follows"),
    "float_load": Cost((1, 2, 2), "Table 7-1: VLDR.32 2; no word on pipelining"),
    "float_load_double": Cost(exactly(3), "Table 7-1: VLDR.64"),
    "float_load_multiple": Cost(exactly(1), "Table 7-1: VLDM, VPOP 1 + N words", per_register=1),
    "float_store": Cost((1, 2, 2), "Table 7-1: VSTR.32 2; no word on pipelining"),
    "float_store_double": Cost(exactly(3), "Table 7-1: VSTR.64"),
    "float_store_multiple": Cost(exactly(1), "Table 7-1: VSTM, VPUSH 1 + N words", per_register=1),
    "float_move": Cost((1, 2, 2), "Table 7-1: VMOV of one float from or to a core register 2; of half a double 1"),
    "float_move_pair": Cost(exactly(2), "Table 7-1: VMOV of two floats from or to two core registers"),
}

_M4: Final = Table(
    manual="Arm Cortex-M4 Processor Technical Reference Manual r0p1, ARM DDI 0439D",
    refill=_ARMV7M_REFILL,
    costs={
        **_ARMV7M,
        **_FPU,
        "multiply_accumulate": Cost(exactly(1), "Table 3-1: MLA, MLS; Table 3-2: SMLAxy, SMLAD, SMMLA"),
        "long_multiply": Cost(exactly(1), "Table 3-1: SMULL, UMULL"),
        "long_multiply_accumulate": Cost(exactly(1), "Table 3-1: SMLAL, UMLAL; Table 3-2: SMLALD, SMLALxy, UMAAL"),
    },
    hazards=(
        _ADDRESS,
        Hazard(
            exactly(1), after=_FLOAT, source="7.2.3: one cycle longer if the result is consumed by the next instruction"
        ),
    ),
)

_M3: Final = Table(
    manual="Arm Cortex-M3 Processor Technical Reference Manual r2p1, Arm 100165_0201_02",
    refill=_ARMV7M_REFILL,
    costs={
        **_ARMV7M,
        "multiply_accumulate": Cost(exactly(2), "Table 3-1: MLA, MLS"),
        "long_multiply": Cost((3, 4, 5), "Table 3-1: SMULL, UMULL 3 to 5, early termination by operand size"),
        "long_multiply_accumulate": Cost(
            (4, 5.5, 7), "Table 3-1: SMLAL, UMLAL 4 to 7, early termination by operand size"
        ),
    },
    hazards=(_ADDRESS,),
)

_M0PLUS: Final = Table(
    manual="Arm Cortex-M0+ Technical Reference Manual r0p1, ARM DDI 0484C",
    refill=exactly(1),
    costs={
        "alu": Cost(exactly(1), "Table 3-1: Move ... Reverse; to PC 2"),
        "multiply": Cost(exactly(1), "Table 3-1: MULS 1 or 32, as the chip was built; here the fast multiplier"),
        "load": Cost(exactly(2), "Table 3-1: LDR 2 (1 from a single-cycle I/O port)"),
        "load_multiple": Cost(
            exactly(1), "Table 3-1: LDM, POP 1 + N; POP with PC 3 + N", per_register=1, refill=exactly(2)
        ),
        "store": Cost(exactly(2), "Table 3-1: STR 2"),
        "store_register": Cost(exactly(2), "Table 3-1: STR 2"),
        "store_multiple": Cost(exactly(1), "Table 3-1: STM, PUSH 1 + N", per_register=1),
        "branch": Cost(exactly(1), "Table 3-1: B<cc> 1 or 2"),
        "jump": Cost(exactly(1), "Table 3-1: B, BX 2"),
        "call": Cost(exactly(2), "Table 3-1: BL 3"),
        "call_register": Cost(exactly(1), "Table 3-1: BLX 2"),
        "system": Cost(exactly(3), "Table 3-1: MRS, MSR"),
        "barrier": Cost(exactly(3), "Table 3-1: DMB, DSB, ISB"),
    },
)

_JUMP: Final[Cycles] = (1, 1, 2)

_RV32: Final = Table(
    manual="OpenHW CV32E40P User Manual, Pipeline Details",
    refill=_JUMP,
    costs={
        "alu": Cost(exactly(1), "Cycle counts: integer computational"),
        "multiply": Cost(exactly(1), "Cycle counts: mul"),
        "long_multiply": Cost(exactly(5), "Cycle counts: mulh, mulhsu, mulhu"),
        "divide": Cost((3, 19, 35), "Cycle counts: division, remainder 3 to 35, by the divisor's leading zeros"),
        "load": Cost(exactly(1), "Cycle counts: load/store 1 (aligned; 2 across a word)"),
        "store": Cost(exactly(1), "Cycle counts: load/store 1 (aligned; 2 across a word)"),
        "branch": Cost(
            exactly(1), "Cycle counts: not taken 1, taken 3; 4 to a 32-bit instruction off a word", refill=(2, 2, 3)
        ),
        "jump": Cost(exactly(1), "Cycle counts: jump 2; 3 to a 32-bit instruction off a word"),
        "call": Cost(exactly(1), "Cycle counts: jump 2; 3 to a 32-bit instruction off a word"),
        "system": Cost((1, 1, 4), "Cycle counts: CSR access 1 or 4"),
    },
    hazards=(
        Hazard(exactly(1), after=frozenset({"load"}), source="Hazards: the instruction after a load uses the result"),
        Hazard(
            exactly(1),
            after=frozenset({"alu", "multiply", "long_multiply", "divide"}),
            before=frozenset({"jump", "call"}),
            source="Hazards: a jalr depends on the instruction before",
        ),
    ),
)

#: By core name. The ESP32-C3's own timings are not published: rv32 is priced as another four-stage, single-issue RV32IMC core.
TABLES: Final[Mapping[str, Table]] = {
    "cortex-m0plus": _M0PLUS,
    "cortex-m3": _M3,
    "cortex-m4": _M4,
    "rv32imc": _RV32,
    "rv32imac": _RV32,
}
