/* SPDX-License-Identifier: Apache-2.0 */
/* USART of STM32 F7 and H7 (RM0433). Clocks and pins are not modelled by Renode and not touched here. */
#include "uart.h"

#define CR1 UART_REGISTER(0x00u)
#define ISR UART_REGISTER(0x1Cu)
#define RDR UART_REGISTER(0x24u)
#define TDR UART_REGISTER(0x28u)
#define ISR_RXNE 0x20u
#define ISR_TXE 0x80u

void uart_start(void) { CR1 = 0x0Du; /* UE, TE, RE */ }

void uart_put(uint8_t byte) {
  while ((ISR & ISR_TXE) == 0u) {
  }
  TDR = byte;
}

int uart_get(void) { return (ISR & ISR_RXNE) != 0u ? (int)(RDR & 0xFFu) : -1; }
