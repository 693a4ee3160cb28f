/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UART_H
#define UART_H

#include <stdint.h>

/* A 32-bit register of the UART. UART_BASE comes from the build. */
#define UART_REGISTER(offset) (*(volatile uint32_t *)(uintptr_t)(UART_BASE + (offset)))

void uart_start(void);
void uart_put(uint8_t byte);
int uart_get(void); /* the next byte received, or -1 */

void cycle_counter_start(void);
uint32_t cycle_counter(void); /* 0 on a core without one */

#endif /* UART_H */
