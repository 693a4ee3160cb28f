/* SPDX-License-Identifier: Apache-2.0 */
/* The host channel of an Xtensa program under qemu-xtensa: Linux system calls. The loader has set up .data and .bss. */
#include "tinyc_startup.h"

#define SYSCALL_READ 12
#define SYSCALL_WRITE 13
#define SYSCALL_EXIT 118
#define STDIN 0
#define STDOUT 1

/* clang has no trap instruction for Xtensa and calls this instead. */
void abort(void) __attribute__((noreturn));

static int32_t linux_call(int32_t number, int32_t a, uintptr_t b, uint32_t c) {
  register int32_t a2 __asm__("a2") = number;
  register int32_t a6 __asm__("a6") = a;
  register uintptr_t a3 __asm__("a3") = b;
  register uint32_t a4 __asm__("a4") = c;
  __asm__ volatile("syscall" : "+r"(a2) : "r"(a6), "r"(a3), "r"(a4) : "memory");
  return a2;
}

void tinyc_start(void) {
  tinyc_host_exit(main());
}

uint32_t tinyc_host_read(void *data, uint32_t size) {
  uint8_t *bytes = (uint8_t *)data;
  uint32_t done = 0U;
  while (done < size) {
    const int32_t got = linux_call(SYSCALL_READ, STDIN, (uintptr_t)&bytes[done], size - done);
    if (got <= 0) {
      break;
    }
    done += (uint32_t)got;
  }
  return done;
}

void tinyc_host_write(const void *data, uint32_t size) {
  const uint8_t *bytes = (const uint8_t *)data;
  uint32_t done = 0U;
  while (done < size) {
    const int32_t put = linux_call(SYSCALL_WRITE, STDOUT, (uintptr_t)&bytes[done], size - done);
    if (put <= 0) {
      tinyc_host_exit(TINYC_STATUS_FAULT);
    }
    done += (uint32_t)put;
  }
}

void tinyc_host_exit(int status) {
  for (;;) {
    (void)linux_call(SYSCALL_EXIT, status, 0U, 0U);
  }
}

void abort(void) {
  for (;;) {
    __asm__ volatile("ill");
  }
}
