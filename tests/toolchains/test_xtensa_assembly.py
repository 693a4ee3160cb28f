# SPDX-License-Identifier: Apache-2.0
"""The repair of LLVM's Xtensa literals, and frames from `entry`."""

import pytest
from tinyc.toolchains.xtensa import place_literals, stack_usage

ASSEMBLY = """\t.file\t"x.c"
\t.literal_position
\t.literal .LCPI0_0, __muldi3
\t.literal .LCPI0_1, 1103515245             # comment
\t.text
\t.section\t.text.f,"ax",@progbits
\t.global\tf
f:                                      # @f
\tentry\ta1, 96
\tl32r\ta8, .LCPI0_0
\tretw.n
\t.section\t.text.g,"ax",@progbits
g:
.LBB1_1:
\tentry\ta1, 32
\tretw.n"""


def test_literals_go_to_an_aligned_section_of_their_function() -> None:
    lines = place_literals(ASSEMBLY).split("\n")
    start = lines.index('\t.section .literal.f,"ax",@progbits')
    assert lines[start + 1 : start + 7] == [
        "\t.p2align 2",
        ".LCPI0_0:",
        "\t.4byte __muldi3",
        ".LCPI0_1:",
        "\t.4byte 1103515245",
        '\t.section\t.text.f,"ax",@progbits',
    ]
    assert not [line for line in lines if ".literal_position" in line or line.strip().startswith(".literal ")]
    assert lines.count('\t.section\t.text.g,"ax",@progbits') == 1


def test_frames_come_from_entry() -> None:
    assert stack_usage(ASSEMBLY) == {"f": 96, "g": 32}


def test_literals_without_a_function_are_refused() -> None:
    with pytest.raises(ValueError, match="without a function"):
        place_literals("\t.literal .LCPI0_0, 5")
