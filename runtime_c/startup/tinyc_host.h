/* SPDX-License-Identifier: Apache-2.0 */
/* The channel between a verification program and the computer that emulates it.
 *
 * Cortex-M and RISC-V use semihosting (files tinyc_in.bin and tinyc_out.bin in the emulator's working directory),
 * Xtensa uses the Linux system calls of qemu-xtensa, a native build uses stdin and stdout. */
#ifndef TINYC_HOST_H
#define TINYC_HOST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads up to `size` bytes. Returns the bytes read, fewer than `size` only at the end of the input, 0 after it. */
uint32_t tinyc_host_read(void *data, uint32_t size);

/* Appends `size` bytes to the output. */
void tinyc_host_write(const void *data, uint32_t size);

/* Ends the program; 0 means success, 1..124 are free for the program. Does not return. */
void tinyc_host_exit(int status) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif

#endif
