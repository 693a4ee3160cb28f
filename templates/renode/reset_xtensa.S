/* SPDX-License-Identifier: Apache-2.0 */
/* First instructions of an Xtensa program (call0 ABI): a stack, then C. */
    .section .vectors, "ax", @progbits
    .p2align 2
    .globl tinyc_reset
    .type tinyc_reset, @function
    j tinyc_reset
    .p2align 2
.Lstack:
    .4byte tinyc_stack_top
.Lstart:
    .4byte tinyc_start
tinyc_reset:
    l32r a1, .Lstack
    l32r a0, .Lstart
    callx0 a0
    .size tinyc_reset, . - tinyc_reset
