/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic that the lx106 compiler expects in the chip's ROM. Weak: a compiler that brings its own wins. */
#include <stdint.h>

uint32_t __udivsi3(uint32_t dividend, uint32_t divisor);
uint32_t __umodsi3(uint32_t dividend, uint32_t divisor);
int32_t __divsi3(int32_t dividend, int32_t divisor);
int32_t __modsi3(int32_t dividend, int32_t divisor);
uint64_t __udivdi3(uint64_t dividend, uint64_t divisor);
uint64_t __umoddi3(uint64_t dividend, uint64_t divisor);
int64_t __divdi3(int64_t dividend, int64_t divisor);
int64_t __moddi3(int64_t dividend, int64_t divisor);
uint64_t __muldi3(uint64_t a, uint64_t b);

/* One bit per step; *remainder gets what is left. */
static uint64_t divide(uint64_t dividend, uint64_t divisor, uint64_t *remainder) {
  uint64_t quotient = 0;
  uint64_t rest = 0;
  for (int bit = 63; bit >= 0; bit--) {
    rest = (rest << 1) | ((dividend >> bit) & 1u);
    if (rest >= divisor) {
      rest -= divisor;
      quotient |= (uint64_t)1 << bit;
    }
  }
  *remainder = rest;
  return quotient;
}

static uint64_t magnitude(int64_t value) { return value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value; }

__attribute__((weak)) uint64_t __udivdi3(uint64_t dividend, uint64_t divisor) {
  uint64_t rest;
  return divide(dividend, divisor, &rest);
}

__attribute__((weak)) uint64_t __umoddi3(uint64_t dividend, uint64_t divisor) {
  uint64_t rest;
  (void)divide(dividend, divisor, &rest);
  return rest;
}

__attribute__((weak)) int64_t __divdi3(int64_t dividend, int64_t divisor) {
  uint64_t rest;
  const uint64_t quotient = divide(magnitude(dividend), magnitude(divisor), &rest);
  return (int64_t)((dividend < 0) != (divisor < 0) ? (uint64_t)0 - quotient : quotient);
}

__attribute__((weak)) int64_t __moddi3(int64_t dividend, int64_t divisor) {
  uint64_t rest;
  (void)divide(magnitude(dividend), magnitude(divisor), &rest);
  return (int64_t)(dividend < 0 ? (uint64_t)0 - rest : rest);
}

__attribute__((weak)) uint32_t __udivsi3(uint32_t dividend, uint32_t divisor) {
  return (uint32_t)__udivdi3(dividend, divisor);
}

__attribute__((weak)) uint32_t __umodsi3(uint32_t dividend, uint32_t divisor) {
  return (uint32_t)__umoddi3(dividend, divisor);
}

__attribute__((weak)) int32_t __divsi3(int32_t dividend, int32_t divisor) {
  return (int32_t)__divdi3(dividend, divisor);
}

__attribute__((weak)) int32_t __modsi3(int32_t dividend, int32_t divisor) {
  return (int32_t)__moddi3(dividend, divisor);
}

/* Schoolbook with 16-bit halves: 32 x 32 -> 64 needs no help then. */
__attribute__((weak)) uint64_t __muldi3(uint64_t a, uint64_t b) {
  const uint32_t a0 = (uint32_t)a & 0xFFFFu;
  const uint32_t a1 = (uint32_t)a >> 16;
  const uint32_t b0 = (uint32_t)b & 0xFFFFu;
  const uint32_t b1 = (uint32_t)b >> 16;
  const uint32_t low = a0 * b0;
  const uint32_t middle = a1 * b0 + (low >> 16); /* at most 0xFFFF * 0xFFFF + 0xFFFF: no carry */
  const uint32_t middle2 = a0 * b1 + (middle & 0xFFFFu);
  const uint32_t high = a1 * b1 + (middle >> 16) + (middle2 >> 16);
  const uint32_t cross = (uint32_t)(a >> 32) * (uint32_t)b + (uint32_t)a * (uint32_t)(b >> 32);
  return ((uint64_t)(high + cross) << 32) | (middle2 << 16) | (low & 0xFFFFu);
}
