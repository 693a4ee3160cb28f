/* SPDX-License-Identifier: Apache-2.0 */
/* The host channel of a native build: stdin and stdout as bytes. The C library starts main. */
#include <stdio.h>
#include <stdlib.h>

#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#endif

#include "tinyc_host.h"

static void use_bytes(void) {
#if defined(_WIN32)
  (void)_setmode(_fileno(stdin), _O_BINARY);
  (void)_setmode(_fileno(stdout), _O_BINARY);
#endif
}

uint32_t tinyc_host_read(void *data, uint32_t size) {
  use_bytes();
  (void)fflush(stdout); /* the answer may depend on it */
  return (uint32_t)fread(data, 1U, size, stdin);
}

void tinyc_host_write(const void *data, uint32_t size) {
  use_bytes();
  if (fwrite(data, 1U, size, stdout) != size) {
    tinyc_host_exit(EXIT_FAILURE);
  }
}

void tinyc_host_exit(int status) {
  exit(status);
}
