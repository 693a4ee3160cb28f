/* SPDX-License-Identifier: Apache-2.0 */
/* Reads blocks, works on each, writes them: initialized and zeroed data must be right for that. */
#include "tinyc_host.h"
#include "work.h"

static uint8_t input[64];
static uint8_t output[64];
static uint32_t rounds[4] = {1, 2, 3, 4};

int main(void) {
  uint32_t size = tinyc_host_read(input, sizeof input);
  while (size == sizeof input) {
    work_run(input, output, sizeof output);
    output[0] = (uint8_t)(output[0] + rounds[0]);
    ++rounds[0];
    tinyc_host_write(output, sizeof output);
    size = tinyc_host_read(input, sizeof input);
  }
  return (size == 0U) ? 0 : 3;
}
