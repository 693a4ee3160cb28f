/* SPDX-License-Identifier: Apache-2.0 */
/* Compiler support for windowed Xtensa: 64-bit multiply and divide, float division, 64-bit/float conversion.
 *
 * The only Xtensa libgcc that Debian has is for the call0 ABI of the ESP8266. On a real ESP32 these functions come
 * from Espressif's libgcc. Floats round to nearest even, with subnormals, infinities and NaN, as IEEE 754 says. */
#include <stdint.h>

int64_t __muldi3(int64_t left, int64_t right);
uint64_t __udivdi3(uint64_t left, uint64_t right);
uint64_t __umoddi3(uint64_t left, uint64_t right);
int64_t __divdi3(int64_t left, int64_t right);
int64_t __moddi3(int64_t left, int64_t right);
float __divsf3(float left, float right);
float __floatundisf(uint64_t value);
float __floatdisf(int64_t value);
uint64_t __fixunssfdi(float value);
int64_t __fixsfdi(float value);

typedef union {
  uint64_t whole;
  uint32_t part[2]; /* low, high: every supported Xtensa is little-endian */
} wide;

typedef union {
  float value;
  uint32_t bits;
} real;

static uint64_t multiply_32(uint32_t left, uint32_t right) {
  const uint32_t left_low = left & 0xFFFFU;
  const uint32_t left_high = left >> 16;
  const uint32_t right_low = right & 0xFFFFU;
  const uint32_t right_high = right >> 16;
  const uint32_t low = left_low * right_low;
  const uint32_t cross = (left_high * right_low) + (low >> 16);
  const uint32_t middle = (left_low * right_high) + (cross & 0xFFFFU);
  wide result;
  result.part[0] = (middle << 16) | (low & 0xFFFFU);
  result.part[1] = (left_high * right_high) + (cross >> 16) + (middle >> 16);
  return result.whole;
}

int64_t __muldi3(int64_t left, int64_t right) {
  wide a;
  wide b;
  wide result;
  a.whole = (uint64_t)left;
  b.whole = (uint64_t)right;
  result.whole = multiply_32(a.part[0], b.part[0]);
  result.part[1] += (a.part[0] * b.part[1]) + (a.part[1] * b.part[0]);
  return (int64_t)result.whole;
}

/* Long division, one bit at a time. Division by zero gives all ones, as RISC-V does. */
static uint64_t divide(uint64_t left, uint64_t right, uint64_t *rest) {
  uint64_t quotient = 0U;
  uint64_t remainder = 0U;
  for (int32_t bit = 63; bit >= 0; --bit) {
    const uint64_t carry = remainder >> 63;
    remainder = (remainder << 1) | ((left >> bit) & 1U);
    if ((carry != 0U) || (remainder >= right)) {
      remainder -= right;
      quotient |= (uint64_t)1U << bit;
    }
  }
  *rest = remainder;
  return quotient;
}

static uint64_t magnitude(int64_t value) {
  return (value < 0) ? (0U - (uint64_t)value) : (uint64_t)value;
}

uint64_t __udivdi3(uint64_t left, uint64_t right) {
  uint64_t rest;
  return divide(left, right, &rest);
}

uint64_t __umoddi3(uint64_t left, uint64_t right) {
  uint64_t rest;
  (void)divide(left, right, &rest);
  return rest;
}

int64_t __divdi3(int64_t left, int64_t right) {
  const uint64_t quotient = __udivdi3(magnitude(left), magnitude(right));
  return (int64_t)(((left < 0) != (right < 0)) ? (0U - quotient) : quotient);
}

int64_t __moddi3(int64_t left, int64_t right) {
  const uint64_t rest = __umoddi3(magnitude(left), magnitude(right));
  return (int64_t)((left < 0) ? (0U - rest) : rest);
}

/* The float with this sign and the value mantissa * 2^exponent, where `sticky` says that a little was cut off. */
static float round_to_float(uint32_t sign, uint64_t mantissa, int32_t exponent, uint32_t sticky) {
  real result;
  result.bits = sign;
  if (mantissa == 0U) {
    return result.value;
  }
  while ((mantissa >> 26) == 0U) {
    mantissa <<= 1;
    --exponent;
  }
  while ((mantissa >> 27) != 0U) {
    sticky |= (uint32_t)(mantissa & 1U);
    mantissa >>= 1;
    ++exponent;
  }
  /* Now 24 result bits and 3 more. The smallest exponent of the last bit is -149, that of a subnormal. */
  while (exponent < -152) {
    sticky |= (uint32_t)(mantissa & 1U);
    mantissa >>= 1;
    ++exponent;
  }
  const uint32_t kept = (uint32_t)(mantissa >> 3);
  const uint32_t cut = ((uint32_t)(mantissa & 7U) << 1) | sticky;
  const uint32_t up = ((cut > 8U) || ((cut == 8U) && ((kept & 1U) != 0U))) ? 1U : 0U;
  if (kept < 0x800000U) {
    result.bits |= kept + up;
  } else {
    const int32_t biased = exponent + 153;
    const uint32_t bits = ((uint32_t)biased << 23) + (kept - 0x800000U) + up;
    result.bits |= ((biased > 254) || (bits > 0x7F800000U)) ? 0x7F800000U : bits;
  }
  return result.value;
}

/* Mantissa with its hidden bit; the exponent is that of its last bit. */
static uint32_t unpack(uint32_t bits, int32_t *exponent) {
  const uint32_t biased = (bits >> 23) & 0xFFU;
  *exponent = ((biased == 0U) ? 1 : (int32_t)biased) - 150;
  return (bits & 0x7FFFFFU) | ((biased == 0U) ? 0U : 0x800000U);
}

float __divsf3(float left, float right) {
  real a;
  real b;
  real special;
  a.value = left;
  b.value = right;
  const uint32_t sign = (a.bits ^ b.bits) & 0x80000000U;
  const uint32_t above = a.bits & 0x7FFFFFFFU;
  const uint32_t below = b.bits & 0x7FFFFFFFU;
  const uint32_t infinity = 0x7F800000U;
  if ((above > infinity) || (below > infinity) || ((above == infinity) && (below == infinity)) ||
      ((above == 0U) && (below == 0U))) {
    special.bits = 0x7FC00000U;
    return special.value;
  }
  if ((above == infinity) || (below == 0U)) {
    special.bits = sign | infinity;
    return special.value;
  }
  if ((below == infinity) || (above == 0U)) {
    special.bits = sign;
    return special.value;
  }
  int32_t exponent_a;
  int32_t exponent_b;
  uint64_t dividend = unpack(above, &exponent_a);
  const uint64_t divisor = unpack(below, &exponent_b);
  /* 2^39 * [1, 2^24) over (0, 2^24): at least 15 + 24 bits less 24, so scale subnormals up first. */
  while ((dividend >> 23) == 0U) {
    dividend <<= 1;
    --exponent_a;
  }
  uint64_t rest;
  const uint64_t quotient = divide(dividend << 39, divisor, &rest);
  return round_to_float(sign, quotient, exponent_a - 39 - exponent_b, (rest != 0U) ? 1U : 0U);
}

float __floatundisf(uint64_t value) {
  return round_to_float(0U, value, 0, 0U);
}

float __floatdisf(int64_t value) {
  return round_to_float((value < 0) ? 0x80000000U : 0U, magnitude(value), 0, 0U);
}

uint64_t __fixunssfdi(float value) {
  real number;
  int32_t exponent;
  number.value = value;
  const uint64_t mantissa = unpack(number.bits & 0x7FFFFFFFU, &exponent);
  if (((number.bits >> 31) != 0U) || (exponent <= -24)) {
    return 0U;
  }
  if (exponent > 40) {
    return UINT64_MAX;
  }
  return (exponent < 0) ? (mantissa >> -exponent) : (mantissa << exponent);
}

int64_t __fixsfdi(float value) {
  real number;
  number.value = value;
  const uint32_t negative = number.bits >> 31;
  number.bits &= 0x7FFFFFFFU;
  uint64_t result = __fixunssfdi(number.value);
  const uint64_t limit = (negative != 0U) ? ((uint64_t)1U << 63) : (uint64_t)INT64_MAX;
  result = (result > limit) ? limit : result;
  return (int64_t)((negative != 0U) ? (0U - result) : result);
}
