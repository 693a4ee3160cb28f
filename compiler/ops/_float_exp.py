# SPDX-License-Identifier: Apache-2.0
"""exp, logistic and tanh in float32 operations only, the same bits as C on every target; libraries differ.

TFLite Micro calls its C library instead, which is why its results differ from these by some units in the last place. The C twins are
`runtime_c/internal/tinyc_exp.h` and the kernels. Nothing here may become a fused multiply-add; see `tinyc_float.h`.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array

#: Above the first exp is infinite, below the second it is 0.
EXP_HIGH, EXP_LOW = np.float32(88.7228394), np.float32(-103.972084)

#: (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2, highest power first: a minimax fit, relative to exp(r).
_EXP = (1.38144672e-3, 8.36878084e-3, 4.16683927e-2, 1.66665196e-1, 4.9999994e-1)

#: (tanh(x) / x - 1) / z for z = x^2 <= 0.391, highest power first: a minimax fit.
_TANH = (-5.71477972e-3, 2.06486527e-2, -5.37429377e-2, 1.33314848e-1, -3.33332837e-1)
#: From here on tanh is computed from exp.
TANH_SMALL = np.float32(0.625)
#: From here on tanh rounds to 1.
TANH_ONE = np.float32(9.1)

#: TFLite Micro's logistic is 1 above the first and exp(x) below the second.
LOGISTIC_HIGH, LOGISTIC_LOW = np.float32(16.619047), np.float32(-9.0)

_ONE, _TWO, _HALF = np.float32(1), np.float32(2), np.float32(0.5)


def exp(x: Array) -> Array:
    """exp(x) of float32: at most 1 unit in the last place off; NaN stays."""
    inside = np.where((x >= EXP_LOW) & (x <= EXP_HIGH), x, np.float32(0))
    n = (inside * np.float32(1.44269502) + np.where(inside < 0, -_HALF, _HALF)).astype(np.int32)
    whole = n.astype(np.float32)
    r = (inside - whole * np.float32(0.693359375)) + whole * np.float32(2.12194442e-4)
    power = _ONE + (r + r * r * _polynomial(_EXP, r))
    half = np.where(n < 0, -(-n // 2), n // 2)
    with np.errstate(under="ignore", over="ignore"):
        value = power * _power_of_two(half) * _power_of_two(n - half)
    result: Array = np.where(
        x < EXP_LOW, np.float32(0), np.where(x <= EXP_HIGH, value, np.where(x > 0, np.float32(np.inf), x))
    )
    return result


def logistic(x: Array) -> Array:
    """TFLite Micro's logistic: 1 / (1 + exp(-x)), 1 above 16.6, exp(x) below -9; at most 2 units in the last place off that."""
    inside = _ONE / (_ONE + exp(np.maximum(-x, -LOGISTIC_HIGH)))
    result: Array = np.where(x > LOGISTIC_HIGH, _ONE, np.where(x < LOGISTIC_LOW, exp(x), inside))
    return result


def tanh(x: Array) -> Array:
    """The hyperbolic tangent of float32: at most 2 units in the last place off."""
    a = np.abs(x)
    small = np.where(a < TANH_SMALL, a, np.float32(0))
    z = small * small
    near = small + small * (z * _polynomial(_TANH, z))
    far = _ONE - _TWO / (exp(_TWO * np.minimum(a, TANH_ONE)) + _ONE)
    result: Array = np.copysign(np.where(a < TANH_SMALL, near, far), x)
    return result


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Horner's scheme."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + np.float32(coefficient)
    return value


def _power_of_two(exponent: Array) -> Array:
    """2**exponent for -126 to 127."""
    power: Array = ((exponent + 127).astype(np.uint32) << 23).view(np.float32)
    return power
