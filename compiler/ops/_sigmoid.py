# SPDX-License-Identifier: Apache-2.0
"""LOGISTIC and TANH: in int8 gemmlowp's functions of the input with 4 integer bits, in int16 TFLite's table."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from ..graph import Array, Layer, Quantization
from . import Constraint
from ._elementwise import Values
from ._exponential import input_radius
from ._fixed_point import multiply_by_quantized_multiplier, rounding_divide_by_pot

INTEGER_BITS = 4

#: The quantization of every int16 output.
INT16_OUTPUT = Quantization((2.0**-15,), (0,))


def input_scale_fits(layer: Layer) -> str | None:
    """The input scale must be at least 2^-28 and less than 2^31, in int16 less than 2.66."""
    # Beyond 2.66, TFLite Micro's 16-bit multiplier overflows.
    scale = layer.input(0).scale
    limit = 2.66 if layer.input(0).dtype == "int16" else 2.0**31
    return None if 2.0**-28 <= scale < limit else str(scale)


def output_quantization(scale: float, zero_point: int) -> Constraint:
    """TFLite Micro's kernel computes for one output quantization only, whatever the tensor says."""

    def check(layer: Layer) -> str | None:
        output = layer.output
        if output.dtype == "int16":
            fits = output.scale == INT16_OUTPUT.scale[0] and output.zero_point == 0
        else:
            fits = abs(output.scale / scale - 1.0) < 1e-3 and output.zero_point == zero_point
        return None if fits else f"scale {output.scale} and zero point {output.zero_point}"

    check.__doc__ = (
        f"The output must have scale 1/{round(1 / scale)} and zero point {zero_point}, in int16 1/32768 and 0."
    )
    return check


#: Entries of TFLite's table that are one more than the nearest integer; measured with TFLite Micro.
_ROUNDED_UP = (
    *(
        4,
        8,
        12,
        14,
        15,
        16,
        17,
        19,
        20,
        21,
        22,
        25,
        27,
        28,
        29,
        30,
        31,
        33,
        34,
        35,
        37,
        39,
        40,
        41,
        43,
        44,
        45,
        46,
        49,
        50,
    ),
    *(54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255),
)


@cache
def logistic_table() -> Array:
    """2^16 / (1 + exp(-i / 24)) for i = 0 to 255, as int64."""
    return np.array([math.floor(65536 / (1 + math.exp(-i / 24)) + 0.5) + (i in _ROUNDED_UP) for i in range(256)])


def int16_multiplier(layer: Layer) -> tuple[int, int]:
    """(multiplier, right shift) that bring an int16 input to units of 1 / (3 * 4096): 15 bits, cut off.

    Exact where the scale is 2^-12, for TANH also 2^-11: TFLite Micro then takes it for a power of two if it is within 0.07 %.
    """
    scale = layer.input(0).scale
    exponent = math.log2(scale)
    if abs(exponent - round(exponent)) < 1e-3 and 0 <= round(exponent) + 12 <= (1 if layer.op == "TANH" else 0):
        return 3 << (round(exponent) + 12), 0
    multiplier, shift = scale * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and shift <= 30:
        multiplier, shift = multiplier * 2.0, shift + 1
    return int(multiplier), shift


def int16_values(layer: Layer, x: Array) -> Array:
    """LOGISTIC of int16 elements, or TANH as 2 * logistic(2x) - 1: the table, interpolated linearly."""
    tanh = layer.op == "TANH"
    bits = 8 if tanh else 9
    multiplier, shift = int16_multiplier(layer)
    scaled = (x.astype(np.int64) * multiplier + ((1 << shift) >> 1)) >> shift
    size = np.abs(scaled)
    table = logistic_table()
    step = np.minimum(size >> bits, 254)
    inside = (table[step] << bits) + (size & ((1 << bits) - 1)) * (table[step + 1] - table[step])
    value = np.where(size >> bits >= 255, 0xFFFF << 8 if tanh else 0x7FFF << 10, inside)
    if tanh:
        above = value - (1 << 23)
        return (np.where(scaled < 0, 127 - above, 128 + above) >> 8).astype(np.int16)
    return (np.where(scaled < 0, (1 << 25) - value + 511, value + 512) >> 10).astype(np.int16)


def sigmoid_values(
    function: Callable[[Array], Array], output_bits: int, zero_point: int, float_values: Callable[[Array], Array]
) -> Values:
    """Outputs in the layer's type. int8: of `function` (4 to 0 integer bits), rounded to `output_bits` bits after the binary point.

    float32: `float_values`.
    """

    def values(layer: Layer, x: Array) -> Array:
        if layer.output.dtype == "float32":
            return float_values(x)
        if layer.output.dtype == "int16":
            return int16_values(layer, x)
        source = layer.input(0)
        mantissa, left_shift = math.frexp(source.scale * 2.0 ** (31 - INTEGER_BITS))
        q = round(mantissa * 2.0**31)  # exact: the scale is a float32
        radius = input_radius(INTEGER_BITS, left_shift)
        centered = x.astype(np.int64) - source.zero_point
        inside = np.clip(centered, 1 - radius, radius - 1) if radius else np.zeros_like(centered)
        exact = rounding_divide_by_pot(
            function(multiply_by_quantized_multiplier(inside, q, left_shift)), 31 - output_bits
        )
        result = np.clip(exact + zero_point, -128, 127)
        return np.where(centered <= -radius, -128, np.where(centered >= radius, 127, result)).astype(np.int8)

    return values
