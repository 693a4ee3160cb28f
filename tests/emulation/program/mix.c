/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

static int32_t high_product(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

void mix_a(const uint8_t *in, uint8_t *out, uint32_t size) {
  for (uint32_t i = 0U; i < size; ++i) {
    out[i] = (uint8_t)(high_product(((int32_t)in[i] * 7919) + 1, 1103515245) ^ ((int32_t)in[(i * 7U) % size] << 1));
  }
}

void mix_b(const uint8_t *in, uint8_t *out, uint32_t size) {
  uint64_t state = 88172645463325252U;
  for (uint32_t i = 0U; i < size; ++i) {
    state = (state * 6364136223846793005U) + in[i];
    out[i] = (uint8_t)((state >> 33) % 251U);
  }
  for (uint32_t i = 1U; i < size; ++i) {
    out[i] = (uint8_t)(out[i] + (uint64_t)((int64_t)(state >> 3) / -(int64_t)(i * 1000003U)));
  }
}

void mix_f(const uint8_t *in, uint8_t *out, uint32_t size) {
  float sum = 0.0f;
  for (uint32_t i = 0U; i < size; ++i) {
    sum = (sum * 0.5f) + ((float)in[i] / 3.0f);
    out[i] = (uint8_t)(uint32_t)(sum * 1.5f);
  }
}
