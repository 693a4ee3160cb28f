/* SPDX-License-Identifier: Apache-2.0 */
/* ESP-IDF's UART driver on UART0 of the MPS2, and the task that calls app_main. */
#include "driver/uart.h"
#include "esp_timer.h"

#define UART ((volatile uint32_t *)0x40004000u)
#define SYSTICK ((volatile uint32_t *)0xE000E010u)

void app_main(void);
int main(void);

esp_err_t uart_driver_install(uart_port_t port, int rx_size, int tx_size, int queue_size, QueueHandle_t *queue, int flags) {
  (void)port, (void)tx_size, (void)queue_size, (void)queue, (void)flags;
  UART[4] = 16u;
  UART[2] = 3u;
  return rx_size > 128 ? 0 : -1; /* ESP-IDF refuses a buffer no larger than the hardware FIFO */
}

int uart_write_bytes(uart_port_t port, const void *source, size_t size) {
  const uint8_t *bytes = source;
  (void)port;
  for (size_t i = 0; i < size; i++) {
    while ((UART[1] & 1u) != 0u) {
    }
    UART[0] = bytes[i];
  }
  return (int)size;
}

int uart_read_bytes(uart_port_t port, void *target, uint32_t length, TickType_t ticks) {
  uint8_t *bytes = target;
  uint32_t count = 0;
  (void)port, (void)ticks;
  while (count < length && (UART[1] & 2u) != 0u) {
    bytes[count++] = (uint8_t)UART[0];
  }
  return (int)count;
}

int64_t esp_timer_get_time(void) { return (int64_t)((0xFFFFFFu - SYSTICK[2]) / 25u); }

int main(void) {
  SYSTICK[1] = 0xFFFFFFu;
  SYSTICK[2] = 0u;
  SYSTICK[0] = 5u;
  app_main();
  return 0;
}
