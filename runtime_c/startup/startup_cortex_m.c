/* SPDX-License-Identifier: Apache-2.0 */
/* Reset, vector table, faults and the semihosting trap of Armv6-M, Armv7-M and Armv8-M. */
#include "tinyc_startup.h"

void tinyc_reset(void) __attribute__((naked, noreturn));
void tinyc_exception(void) __attribute__((naked, noreturn));
void tinyc_cortex_m_fault(const uint32_t *frame, uint32_t exception) __attribute__((noreturn, used));

/* The FPU and MVE share the switch CPACR.CP10/CP11. It goes on before any C code, because compilers vectorize even
 * the loops that clear .bss. */
void tinyc_reset(void) {
  __asm__ volatile(
      "ldr r0, =tinyc_stack_top\n"
      "mov sp, r0\n"
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
      "ldr r0, =0xE000ED88\n"
      "ldr r1, [r0]\n"
      "orr r1, r1, #0xF00000\n"
      "str r1, [r0]\n"
      "dsb\n"
      "isb\n"
#endif
      "bl tinyc_start\n"
      ".ltorg\n");
}

/* The stack may be what broke, so the report gets a fresh one. */
void tinyc_exception(void) {
  __asm__ volatile(
      "mov r0, sp\n"
      "mrs r1, ipsr\n"
      "ldr r2, =tinyc_stack_top\n"
      "mov sp, r2\n"
      "bl tinyc_cortex_m_fault\n"
      ".ltorg\n");
}

void tinyc_cortex_m_fault(const uint32_t *frame, uint32_t exception) {
  const uintptr_t address = (uintptr_t)frame;
  const int readable = (address >= (uintptr_t)tinyc_data_start) && ((address + 32U) <= (uintptr_t)tinyc_stack_top);
  tinyc_fault(exception, readable ? frame[6] : 0U);
}

/* Whole in assembly: clang allows nothing else in a naked function, and unused parameters are warnings. */
__asm__(
    ".section .text.tinyc_semihosting,\"ax\",%progbits\n"
    ".p2align 2\n"
    ".globl tinyc_semihosting\n"
    ".type tinyc_semihosting, %function\n"
    ".thumb_func\n"
    "tinyc_semihosting:\n"
    "bkpt 0xAB\n"
    "bx lr\n"
    ".size tinyc_semihosting, . - tinyc_semihosting\n"
    ".text\n");

typedef void (*vector)(void);

/* Entry 0 is the stack pointer, put there by the linker script's own section in front of this table. */
__attribute__((section(".vectors"), used)) static const vector tinyc_vectors[15] = {
    tinyc_reset,     tinyc_exception, tinyc_exception, tinyc_exception, tinyc_exception,
    tinyc_exception, tinyc_exception, tinyc_exception, tinyc_exception, tinyc_exception,
    tinyc_exception, tinyc_exception, tinyc_exception, tinyc_exception, tinyc_exception,
};
