/* SPDX-License-Identifier: Apache-2.0 */
/* Serial on UART0 of the MPS2, and the main of every Arduino core. */
#include <Arduino.h>

static volatile uint32_t *const uart = reinterpret_cast<volatile uint32_t *>(0x40004000u);
static volatile uint32_t *const systick = reinterpret_cast<volatile uint32_t *>(0xE000E010u);

FakeSerial Serial;

void FakeSerial::begin(unsigned long) {
  uart[4] = 16u;
  uart[2] = 3u;
}

int FakeSerial::read() { return (uart[1] & 2u) != 0u ? static_cast<int>(uart[0] & 0xFFu) : -1; }

size_t FakeSerial::write(const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    while ((uart[1] & 1u) != 0u) {
    }
    uart[0] = bytes[i];
  }
  return count;
}

unsigned long micros() { return (0xFFFFFFu - systick[2]) / 25u; }
unsigned long millis() { return micros() / 1000u; }

int main() {
  systick[1] = 0xFFFFFFu;
  systick[2] = 0u;
  systick[0] = 5u;
  setup();
  for (;;) {
    loop();
  }
}
