/* SPDX-License-Identifier: Apache-2.0 */
/* UART of the ESP32 family as Renode models it: the fill level RXFIFO_CNT always reads 0 and an empty FIFO reads as 0, so
 * the FIFO itself is polled, slowly, and a NUL counts as nothing. On the chip RXFIFO_CNT would be asked. */
#include "uart.h"

#define FIFO UART_REGISTER(0x00u)
#define POLL_DELAY 2000

void uart_start(void) {}

void uart_put(uint8_t byte) { FIFO = byte; }

int uart_get(void) {
  const uint32_t byte = FIFO & 0xFFu;
  if (byte != 0u) {
    return (int)byte;
  }
  for (int i = 0; i < POLL_DELAY; i++) {
    __asm__ volatile("" ::: "memory");
  }
  return -1;
}
