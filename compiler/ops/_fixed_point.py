# SPDX-License-Identifier: Apache-2.0
"""TFLite Micro's fixed-point arithmetic in numpy, bit for bit.

The double rounding (doubling high multiply with rounding, then a rounding right shift, half away from zero) is that of
gemmlowp's fixedpoint.h, which TFLite Micro uses in its reference kernels. The C twin is
`runtime_c/internal/tinyc_fixed_point.h`.
"""

from __future__ import annotations

import math

import numpy as np

from ..graph import Array, Tensor

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def quantize_multiplier(real: float) -> tuple[int, int]:
    """A positive real multiplier as (q, shift): real = q * 2**(shift - 31), q in [2**30, 2**31).

    Multipliers too small for a shift of -31 become (0, 0), as in TFLite's QuantizeMultiplier.
    """
    if real == 0.0:
        return 0, 0
    mantissa, shift = math.frexp(real)
    # TfLiteRound rounds half away from zero; the mantissa is positive and below 1.
    q = math.floor(mantissa * 2.0**31 + 0.5)
    if q == 2**31:
        q //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return INT32_MAX, 30
    return q, shift


def wrap_int32(x: Array) -> Array:
    """int64 values reduced modulo 2**32 into the int32 range, as C's conversion does; dtype stays int64."""
    wrapped: Array = ((x + 2**31) & 0xFFFFFFFF) - 2**31
    return wrapped


def rounding_doubling_high_mul(a: Array, b: Array | int) -> Array:
    """gemmlowp's SaturatingRoundingDoublingHighMul on int32 values held in int64 arrays."""
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    # gemmlowp divides product + (2**30 or 1 - 2**30) by 2**31 towards zero, which is this floor for either sign.
    quotient = (product + 2**30) >> 31
    high: Array = np.minimum(quotient, INT32_MAX)
    return high


def rounding_divide_by_pot(x: Array, exponent: Array | int) -> Array:
    """gemmlowp's RoundingDivideByPOT: x / 2**exponent, half away from zero; int64 arrays, exponent 0 to 31."""
    x = np.asarray(x, np.int64)
    e = np.asarray(exponent, np.int64)
    mask = (np.int64(1) << e) - 1
    threshold = (mask >> 1) + (x < 0)
    rounded: Array = (x >> e) + ((x & mask) > threshold)
    return rounded


def multiply_by_quantized_multiplier(x: Array, q: Array | int, shift: Array | int) -> Array:
    """x * q * 2**(shift - 31) with TFLite Micro's double rounding; arguments broadcast, the result is int64 in int32 range."""
    s = np.asarray(shift, np.int64)
    shifted = wrap_int32(np.asarray(x, np.int64) << np.maximum(s, 0))
    return rounding_divide_by_pot(rounding_doubling_high_mul(shifted, q), np.maximum(-s, 0))


def multiply_by_quantized_multiplier_64(x: Array, q: Array | int, shift: Array | int) -> Array:
    """x * q * 2**(shift - 31) as TFLite Micro computes it for 64-bit sums: q rounded to 16 bits, one rounding, half up.

    Arguments broadcast, shift is -31 to 7; the result is int64 in int32 range. Equal to TFLite Micro also where x is not below 2**47,
    which it assumes: the product and the result wrap.
    """
    reduced, right = reduced_multiplier(q), 15 - np.asarray(shift, np.int64)
    product = np.asarray(x, np.int64) * reduced
    return wrap_int32((product + (np.int64(1) << (right - 1))) >> right)


def reduced_multiplier(q: Array | int) -> Array:
    """A multiplier (0 or 2**30 to 2**31 - 1) rounded to 16 bits, at most 2**15 - 1; int64."""
    reduced: Array = np.minimum((np.asarray(q, np.int64) + (1 << 15)) >> 16, 0x7FFF)
    return reduced


def activation_range(activation: str, output: Tensor) -> tuple[int, int]:
    """The quantized clamp [low, high] of a fused activation on an int8 or int16 output (`NONE`, `RELU`, `RELU6`, `RELU_N1_TO_1`).

    As TFLite's CalculateActivationRangeQuantized: the bounds are quantized in float32, half away from zero.
    """
    low, high = (-32768, 32767) if output.dtype == "int16" else (-128, 127)

    def quantize(real: float) -> int:
        return output.zero_point + round_half_away(float(np.float32(real) / np.float32(output.scale)))

    if activation == "RELU":
        low = max(low, quantize(0.0))
    elif activation == "RELU6":
        low, high = max(low, quantize(0.0)), min(high, quantize(6.0))
    elif activation == "RELU_N1_TO_1":
        low, high = max(low, quantize(-1.0)), min(high, quantize(1.0))
    else:
        assert activation == "NONE", activation
    return low, high


def round_half_away(x: float) -> int:
    """C's round(): half away from zero."""
    return math.floor(x + 0.5) if x >= 0 else -math.floor(-x + 0.5)
