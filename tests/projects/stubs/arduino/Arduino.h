/* SPDX-License-Identifier: Apache-2.0 */
/* The little of the Arduino API that a generated main uses, with the signatures of the real cores. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stddef.h>
#include <stdint.h>

class FakeSerial {
 public:
  void begin(unsigned long baud);
  int read();
  size_t write(const uint8_t *bytes, size_t count);
  explicit operator bool() { return true; }
};

extern FakeSerial Serial;

unsigned long micros();
unsigned long millis();

void setup();
void loop();

#endif
