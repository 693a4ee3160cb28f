/* SPDX-License-Identifier: Apache-2.0 */
/* USART of STM32 F1, F2, F4 (RM0008, RM0390). Clocks and pins are not modelled by Renode and not touched here. */
#include "uart.h"

#define SR UART_REGISTER(0x00u)
#define DR UART_REGISTER(0x04u)
#define CR1 UART_REGISTER(0x0Cu)
#define SR_RXNE 0x20u
#define SR_TXE 0x80u

void uart_start(void) { CR1 = 0x200Cu; /* UE, TE, RE */ }

void uart_put(uint8_t byte) {
  while ((SR & SR_TXE) == 0u) {
  }
  DR = byte;
}

int uart_get(void) { return (SR & SR_RXNE) != 0u ? (int)(DR & 0xFFu) : -1; }
