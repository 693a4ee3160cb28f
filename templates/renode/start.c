/* SPDX-License-Identifier: Apache-2.0 */
/* From the reset code to main, and the cycle counter. */
#include "tinyc_startup.h"
#include "uart.h"

void tinyc_start(void) {
  tinyc_start_memories();
  (void)main();
  for (;;) {
  }
}

static void put_hex(uint32_t value) {
  for (int shift = 28; shift >= 0; shift -= 4) {
    uart_put((uint8_t) "0123456789abcdef"[(value >> shift) & 15u]);
  }
}

/* "FAIL" makes the robot test stop at once. */
void tinyc_fault(uint32_t cause, uint32_t pc) {
  static const char text[] = "\nFAIL processor fault (cause, pc) ";
  for (uint32_t i = 0; text[i] != '\0'; i++) {
    uart_put((uint8_t)text[i]);
  }
  put_hex(cause);
  uart_put(' ');
  put_hex(pc);
  uart_put('\n');
  for (;;) {
  }
}

#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
void cycle_counter_start(void) {}
uint32_t cycle_counter(void) { return 0u; }
#elif defined(__arm__)
#define DWT_CTRL (*(volatile uint32_t *)0xE0001000u)
#define DWT_CYCCNT (*(volatile uint32_t *)0xE0001004u)
#define DEMCR (*(volatile uint32_t *)0xE000EDFCu)

void cycle_counter_start(void) {
  DEMCR |= 0x01000000u; /* TRCENA */
  DWT_CYCCNT = 0u;
  DWT_CTRL |= 1u;
}

uint32_t cycle_counter(void) { return DWT_CYCCNT; }
#elif defined(__riscv)
void cycle_counter_start(void) {}

uint32_t cycle_counter(void) {
  uint32_t cycles;
  __asm__ volatile("csrr %0, mcycle" : "=r"(cycles));
  return cycles;
}
#else
void cycle_counter_start(void) {}

uint32_t cycle_counter(void) {
  uint32_t cycles;
  __asm__ volatile("rsr %0, ccount" : "=r"(cycles));
  return cycles;
}
#endif
