/* SPDX-License-Identifier: Apache-2.0 */
/* The four functions that compilers call on their own, weak, for builds without a C library. They move words where
 * both sides are aligned, like the versions of the usual embedded C libraries. */
#include <stddef.h>
#include <stdint.h>

typedef uint32_t __attribute__((may_alias)) word;

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *left, const void *right, size_t size);

/* Keeps a compiler from turning the loop around it into a call of the function it is in. */
#define KEEP_LOOP() __asm__ volatile("" ::: "memory")

/* Right also for overlapping blocks when `out` is below `in`. */
static void copy_upwards(uint8_t *out, const uint8_t *in, size_t size) {
  if ((((uintptr_t)out | (uintptr_t)in) & 3U) == 0U) {
    for (; size >= 16U; size -= 16U) {
      const word a = ((const word *)(const void *)in)[0];
      const word b = ((const word *)(const void *)in)[1];
      const word c = ((const word *)(const void *)in)[2];
      const word d = ((const word *)(const void *)in)[3];
      ((word *)(void *)out)[0] = a;
      ((word *)(void *)out)[1] = b;
      ((word *)(void *)out)[2] = c;
      ((word *)(void *)out)[3] = d;
      in += 16;
      out += 16;
      KEEP_LOOP();
    }
  }
  for (; size != 0U; --size) {
    *out++ = *in++;
    KEEP_LOOP();
  }
}

__attribute__((weak)) void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  copy_upwards((uint8_t *)to, (const uint8_t *)from, size);
  return to;
}

__attribute__((weak)) void *memmove(void *to, const void *from, size_t size) {
  uint8_t *out = (uint8_t *)to;
  const uint8_t *in = (const uint8_t *)from;
  if (((uintptr_t)out - (uintptr_t)in) >= size) {
    copy_upwards(out, in, size);
    return to;
  }
  while (size != 0U) {
    --size;
    out[size] = in[size];
    KEEP_LOOP();
  }
  return to;
}

__attribute__((weak)) void *memset(void *to, int value, size_t size) {
  uint8_t *out = (uint8_t *)to;
  const uint8_t byte = (uint8_t)value;
  const word four = (word)byte * 0x01010101U;
  for (; ((((uintptr_t)out) & 3U) != 0U) && (size != 0U); --size) {
    *out++ = byte;
    KEEP_LOOP();
  }
  for (; size >= 16U; size -= 16U) {
    ((word *)(void *)out)[0] = four;
    ((word *)(void *)out)[1] = four;
    ((word *)(void *)out)[2] = four;
    ((word *)(void *)out)[3] = four;
    out += 16;
    KEEP_LOOP();
  }
  for (; size != 0U; --size) {
    *out++ = byte;
    KEEP_LOOP();
  }
  return to;
}

__attribute__((weak)) int memcmp(const void *left, const void *right, size_t size) {
  const uint8_t *a = (const uint8_t *)left;
  const uint8_t *b = (const uint8_t *)right;
  for (; size != 0U; --size) {
    if (*a != *b) {
      return (int)*a - (int)*b;
    }
    ++a;
    ++b;
    KEEP_LOOP();
  }
  return 0;
}
