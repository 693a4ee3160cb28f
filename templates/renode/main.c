/* SPDX-License-Identifier: Apache-2.0 */
/* The console on a bare UART, for the Renode emulator. */
#include "model_io.h"
#include "uart.h"

void console_write(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    uart_put((uint8_t)text[i]);
  }
}

/* Renode runs 100 million instructions per virtual second unless told otherwise. */
#define CYCLES_PER_MICROSECOND 100u

uint32_t console_micros(void) { return cycle_counter() / CYCLES_PER_MICROSECOND; }

int main(void);
int main(void) {
  uart_start();
  cycle_counter_start();
  (void)console_begin(model_io());
  for (;;) {
    const int received = uart_get();
    if (received >= 0) {
      console_receive((uint8_t)received);
    }
  }
}
