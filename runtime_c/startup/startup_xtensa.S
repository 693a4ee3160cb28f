/* SPDX-License-Identifier: Apache-2.0 */
/* First instructions of an Xtensa program (windowed ABI). l32r + callx8, because the lx106 linker knows no call8. */
    .section .literal.tinyc_reset, "ax", @progbits
    .p2align 2
.Lstart:
    .4byte tinyc_start
    .section .text.tinyc_reset, "ax", @progbits
    .p2align 2
    .globl tinyc_reset
    .type tinyc_reset, @function
tinyc_reset:
    movi a0, 0
    l32r a8, .Lstart
    callx8 a8
    .size tinyc_reset, . - tinyc_reset
