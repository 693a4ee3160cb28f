/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_H
#define WORK_H

#include <stdint.h>

void work_run(const uint8_t *in, uint8_t *out, uint32_t size);
void mix_a(const uint8_t *in, uint8_t *out, uint32_t size); /* 32 x 32 -> 64 multiply */
void mix_b(const uint8_t *in, uint8_t *out, uint32_t size); /* 64-bit multiply, divide, shift */
void mix_f(const uint8_t *in, uint8_t *out, uint32_t size); /* float multiply, divide, add, conversion */

#endif
