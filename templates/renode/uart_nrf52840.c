/* SPDX-License-Identifier: Apache-2.0 */
/* UARTE of the nRF52840: one byte per DMA transfer. (Renode's model prints nothing through the old TXD register.) */
#include "uart.h"

#define TASKS_STARTRX UART_REGISTER(0x000u)
#define TASKS_STARTTX UART_REGISTER(0x008u)
#define EVENTS_ENDRX UART_REGISTER(0x110u)
#define EVENTS_ENDTX UART_REGISTER(0x120u)
#define ENABLE UART_REGISTER(0x500u)
#define RXD_PTR UART_REGISTER(0x534u)
#define RXD_MAXCNT UART_REGISTER(0x538u)
#define TXD_PTR UART_REGISTER(0x544u)
#define TXD_MAXCNT UART_REGISTER(0x548u)

static volatile uint8_t receive_byte; /* in RAM: the DMA cannot reach flash */
static volatile uint8_t transmit_byte;

static void receive_next(void) {
  EVENTS_ENDRX = 0u;
  RXD_PTR = (uint32_t)(uintptr_t)&receive_byte;
  RXD_MAXCNT = 1u;
  TASKS_STARTRX = 1u;
}

void uart_start(void) {
  ENABLE = 8u;
  receive_next();
}

void uart_put(uint8_t byte) {
  transmit_byte = byte;
  EVENTS_ENDTX = 0u;
  TXD_PTR = (uint32_t)(uintptr_t)&transmit_byte;
  TXD_MAXCNT = 1u;
  TASKS_STARTTX = 1u;
  while (EVENTS_ENDTX == 0u) {
  }
}

int uart_get(void) {
  if (EVENTS_ENDRX == 0u) {
    return -1;
  }
  const uint8_t byte = receive_byte;
  receive_next();
  return (int)byte;
}
