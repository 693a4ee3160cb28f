/* SPDX-License-Identifier: Apache-2.0 */
/* CMSDK APB UART of the Arm MPS2 and MPS3 boards (Cortex-M System Design Kit TRM). */
#include "uart.h"

#define DATA UART_REGISTER(0x00u)
#define STATE UART_REGISTER(0x04u)
#define CTRL UART_REGISTER(0x08u)
#define BAUDDIV UART_REGISTER(0x10u)
#define STATE_TXFULL 1u
#define STATE_RXFULL 2u

void uart_start(void) {
  BAUDDIV = 16u; /* the smallest that the hardware takes */
  CTRL = 3u;     /* transmit, receive */
}

void uart_put(uint8_t byte) {
  while ((STATE & STATE_TXFULL) != 0u) {
  }
  DATA = byte;
}

int uart_get(void) { return (STATE & STATE_RXFULL) != 0u ? (int)(DATA & 0xFFu) : -1; }
