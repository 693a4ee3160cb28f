/* SPDX-License-Identifier: Apache-2.0 */
/* Common part of the bare-metal startups: memory initialization, and the host channel over semihosting
 * (Arm "Semihosting for AArch32 and AArch64", which RISC-V adopts with the same numbers). */
#include "tinyc_startup.h"

#define SYS_OPEN 0x01
#define SYS_WRITE0 0x04
#define SYS_WRITE 0x05
#define SYS_READ 0x06
#define SYS_EXIT_EXTENDED 0x20
#define MODE_READ_BINARY 1U
#define MODE_WRITE_BINARY 5U
#define STOPPED_APPLICATION_EXIT 0x20026U

static int32_t input_file;  /* 0: not opened yet; semihosting handles are nonzero, -1 is a failure */
static int32_t output_file;

void tinyc_start(void) {
  tinyc_start_memories();
  tinyc_host_exit(main());
}

static int32_t open_file(const char *name, uint32_t length, uint32_t mode) {
  const uint32_t block[3] = {(uint32_t)(uintptr_t)name, mode, length};
  return tinyc_semihosting(SYS_OPEN, block);
}

__attribute__((noinline)) uint32_t tinyc_host_read(void *data, uint32_t size) {
  static const char name[] = "tinyc_in.bin";
  if (input_file == 0) {
    input_file = open_file(name, (uint32_t)sizeof(name) - 1U, MODE_READ_BINARY);
  }
  if ((input_file < 0) || (size == 0U)) {
    return 0U;
  }
  const uint32_t block[3] = {(uint32_t)input_file, (uint32_t)(uintptr_t)data, size};
  const uint32_t left = (uint32_t)tinyc_semihosting(SYS_READ, block);
  return (left > size) ? 0U : (size - left);
}

__attribute__((noinline)) void tinyc_host_write(const void *data, uint32_t size) {
  static const char name[] = "tinyc_out.bin";
  if (output_file == 0) {
    output_file = open_file(name, (uint32_t)sizeof(name) - 1U, MODE_WRITE_BINARY);
  }
  const uint32_t block[3] = {(uint32_t)output_file, (uint32_t)(uintptr_t)data, size};
  if ((output_file < 0) || (tinyc_semihosting(SYS_WRITE, block) != 0)) {
    tinyc_host_exit(TINYC_STATUS_FAULT);
  }
}

__attribute__((noinline)) void tinyc_host_exit(int status) {
  const uint32_t block[2] = {STOPPED_APPLICATION_EXIT, (uint32_t)status};
  for (;;) {
    (void)tinyc_semihosting(SYS_EXIT_EXTENDED, block);
  }
}

static void put_hex(char *text, uint32_t value) {
  for (uint32_t digit = 0U; digit < 8U; ++digit) {
    text[digit] = "0123456789abcdef"[(value >> (28U - (4U * digit))) & 15U];
  }
}

void tinyc_fault(uint32_t cause, uint32_t pc) {
  char text[] = "tinyc-fault cause=00000000 pc=00000000\n";
  put_hex(&text[18], cause);
  put_hex(&text[30], pc);
  (void)tinyc_semihosting(SYS_WRITE0, text);
  tinyc_host_exit(TINYC_STATUS_FAULT);
}
