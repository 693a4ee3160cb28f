/* SPDX-License-Identifier: Apache-2.0 */
/* What the startup files share; a model never includes it. */
#ifndef TINYC_STARTUP_H
#define TINYC_STARTUP_H

#include <stdint.h>

#include "tinyc_host.h"

/* Exit status of a program stopped by a processor fault. */
#define TINYC_STATUS_FAULT 125

/* From the linker script; the stack grows down from tinyc_stack_top to the end of .bss. */
extern uint32_t tinyc_data_load[], tinyc_data_start[], tinyc_data_end[];
extern uint32_t tinyc_bss_start[], tinyc_bss_end[], tinyc_stack_top[];

/* Memories beside that of .data and .bss, five words each: where data is loaded, where it starts and ends, what is zero. */
extern const uint32_t tinyc_memories_start[], tinyc_memories_end[];

int main(void);

static inline void tinyc_copy(uint32_t *to, const uint32_t *end, const uint32_t *from) {
  while (to < end) {
    *to++ = *from++;
    __asm__ volatile("" ::: "memory"); /* keeps the loop from becoming a call that needs .data */
  }
}

static inline void tinyc_clear(uint32_t *to, const uint32_t *end) {
  while (to < end) {
    *to++ = 0U;
    __asm__ volatile("" ::: "memory");
  }
}

/* Everything that has a value before main. */
static inline void tinyc_start_memories(void) {
  tinyc_copy(tinyc_data_start, tinyc_data_end, tinyc_data_load);
  tinyc_clear(tinyc_bss_start, tinyc_bss_end);
  for (const uint32_t *memory = tinyc_memories_start; memory < tinyc_memories_end; memory += 5) {
    tinyc_copy((uint32_t *)(uintptr_t)memory[1], (uint32_t *)(uintptr_t)memory[2], (uint32_t *)(uintptr_t)memory[0]);
    tinyc_clear((uint32_t *)(uintptr_t)memory[3], (uint32_t *)(uintptr_t)memory[4]);
  }
}

/* Initializes .data and .bss, calls main and exits. The reset code calls it with a valid stack. */
void tinyc_start(void) __attribute__((noreturn));

/* Reports a fault as "tinyc-fault cause=<8 hex digits> pc=<8 hex digits>" on the console and exits. */
void tinyc_fault(uint32_t cause, uint32_t pc) __attribute__((noreturn));

/* One semihosting call: operation number and its parameter block. Returns the result register. */
int32_t tinyc_semihosting(int32_t operation, const void *argument);

#endif
