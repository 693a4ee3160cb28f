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

int main(void);

/* Initializes .data and .bss, calls main and exits. The reset code calls it with a valid stack. */
void tinyc_start(void) __attribute__((noreturn));

/* Reports a fault as "tinyc-fault cause=<8 hex digits> pc=<8 hex digits>" on the console and exits. */
void tinyc_fault(uint32_t cause, uint32_t pc) __attribute__((noreturn));

/* One semihosting call: operation number and its parameter block. Returns the result register. */
int32_t tinyc_semihosting(int32_t operation, const void *argument);

#endif
