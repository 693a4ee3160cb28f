/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

void work_run(const uint8_t *in, uint8_t *out, uint32_t size) {
  uint8_t middle[64];
  mix_a(in, middle, size);
  mix_b(middle, out, size);
  mix_a(out, middle, size);
  mix_f(middle, out, size);
}
