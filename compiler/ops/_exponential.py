# SPDX-License-Identifier: Apache-2.0
"""gemmlowp's fixed-point exponential, logistic and tanh in numpy, bit for bit (`fixedpoint/fixedpoint.h`).

A fixed-point number with m integer bits is an int32 that stands for raw / 2**(31 - m). Arrays are int64 in int32 range.
"""

from __future__ import annotations

import math

import numpy as np

from ..graph import Array
from ._fixed_point import INT32_MAX, INT32_MIN, rounding_divide_by_pot, rounding_doubling_high_mul

#: exp(-2**k) with 0 integer bits, for k = -2 to 4.
_EXP_OF_NEGATIVE_POWERS = {
    -2: 1672461947,
    -1: 1302514674,
    0: 790015084,
    1: 290630308,
    2: 39332535,
    3: 720401,
    4: 242,
}


def saturating_shift_left(x: Array, exponent: int) -> Array:
    """gemmlowp's SaturatingRoundingMultiplyByPOT with a positive exponent."""
    threshold = (1 << (31 - exponent)) - 1
    return np.where(x > threshold, INT32_MAX, np.where(x < -threshold, INT32_MIN, x << exponent))


def exp_on_negative_values(a: Array, integer_bits: int) -> Array:
    """exp(a) with 0 integer bits, for a <= 0 with `integer_bits` (at most 5) integer bits."""
    fractional_bits = 31 - integer_bits
    quarter = np.int64(1) << (fractional_bits - 2)
    remainder = (a & (quarter - 1)) - quarter
    result = _exp_between_minus_quarter_and_zero(saturating_shift_left(remainder, integer_bits))
    rest = remainder - a
    for exponent, multiplier in _EXP_OF_NEGATIVE_POWERS.items():
        if integer_bits > exponent:
            bit = np.int64(1) << (fractional_bits + exponent)
            result = np.where(rest & bit, rounding_doubling_high_mul(result, multiplier), result)
    return np.where(a == 0, INT32_MAX, result)


def _exp_between_minus_quarter_and_zero(a: Array) -> Array:
    """exp(a) for a in [-1/4, 0), both with 0 integer bits: a Taylor series around -1/8."""
    mul = rounding_doubling_high_mul
    exp_of_minus_eighth, one_third = 1895147668, 715827883
    x = a + (1 << 28)
    x2 = mul(x, x)
    x3 = mul(x2, x)
    x4_over_4 = rounding_divide_by_pot(mul(x2, x2), 2)
    tail = rounding_divide_by_pot(mul(x4_over_4 + x3, one_third) + x2, 1)
    return exp_of_minus_eighth + mul(x + tail, exp_of_minus_eighth)


def _reciprocal(a: Array) -> Array:
    """2 / (1 + a) with 2 integer bits, for a in [0, 1] with 0 integer bits: three Newton-Raphson steps."""
    mul = rounding_doubling_high_mul
    half_denominator = (a + INT32_MAX + 1) >> 1
    x = 1515870810 + mul(half_denominator, -1010580540)
    for _ in range(3):
        error = (1 << 29) - mul(half_denominator, x)
        x = x + saturating_shift_left(mul(x, error), 2)
    return x


def one_over_one_plus(a: Array) -> Array:
    """1 / (1 + a), both with 0 integer bits, a in [0, 1]."""
    return saturating_shift_left(_reciprocal(a), 1)


def logistic(a: Array) -> Array:
    """1 / (1 + exp(-a)) with 0 integer bits, for a with 4 integer bits."""
    positive = one_over_one_plus(exp_on_negative_values(-np.abs(a), 4))
    return np.where(a == 0, 1 << 30, np.where(a > 0, positive, INT32_MAX - positive))


def tanh(a: Array) -> Array:
    """tanh(a) with 0 integer bits, for a with 4 integer bits: (1 - exp(-2|a|)) / (1 + exp(-2|a|)), with a's sign."""
    # -2 * |a| with 5 integer bits is the number -|a|.
    ratio = saturating_shift_left(_reciprocal(exp_on_negative_values(-np.abs(a), 5)) - (1 << 29), 2)
    return np.sign(a) * ratio


def input_radius(integer_bits: int, left_shift: int) -> int:
    """TFLite's CalculateInputRadius: the largest input whose product with the multiplier fits in `integer_bits`."""
    return math.floor(((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits - left_shift))
