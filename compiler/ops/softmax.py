# SPDX-License-Identifier: Apache-2.0
"""SOFTMAX: exp(beta * x) over the last dimension, divided by its sum.

TFLite Micro stops with an error when the exponentials of a row, relative to its largest, sum to 512 or more; every
probability then rounds to 0, which is the result here.

In float32 with an exp of our own (`_float_exp.py`), the same bits on every target: some units in the last place away from TFLite Micro,
which calls the C library's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from ..graph import Array, Graph, Layer, Quantization
from . import Integer, Op
from ._constraints import integer_only, one_type, only_in, per_tensor
from ._elementwise import one_input_graph, same_shape
from ._exponential import exp_on_negative_values, input_radius, one_over_one_plus
from ._fixed_point import (
    INT32_MAX,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_pot,
    rounding_doubling_high_mul,
)
from ._float_exp import exp

#: Integer bits of a scaled difference to the largest input.
DIFFERENCE_BITS = 5
#: Integer bits of the sum of the exponentials.
SUM_BITS = 12
#: From here on every output rounds to zero: 512, with 31 - SUM_BITS fractional bits.
SUM_LIMIT = 1 << 28

#: The output's quantization.
OUTPUTS: Mapping[str, Quantization] = {
    "int8": Quantization((1 / 256,), (-128,)),
    "int16": Quantization((1 / 32768,), (0,)),
}


def _attributes(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"beta": options["beta"]}


def _export(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"beta": attributes["beta"]}


def _real_multiplier(layer: Layer) -> float:
    """TFLite's PreprocessSoftmaxScaling."""
    beta: float = layer.attributes["beta"]
    return min(beta * layer.input(0).scale * 2.0 ** (31 - DIFFERENCE_BITS), float(INT32_MAX))


def _rows_exist(layer: Layer) -> str | None:
    """The input must have at least one dimension and no empty ones."""
    shape = layer.input(0).shape
    return None if shape and min(shape) > 0 else f"shape {list(shape)}"


def _rows_fit(layer: Layer) -> str | None:
    """In int16, the last dimension must be at most 65536."""
    depth = layer.input(0).shape[-1]
    return None if depth <= 1 << 16 else f"{depth}"


def _beta_fits(layer: Layer) -> str | None:
    """In int8, beta must be positive, and beta times the input scale more than 2^-26."""
    fits = layer.attributes["beta"] > 0.0 and _real_multiplier(layer) > 1.0
    return None if fits else f"beta {layer.attributes['beta']} and scale {layer.input(0).scale}"


def _output_quantization(layer: Layer) -> str | None:
    """The output must have scale 1/256 and zero point -128, in int16 1/32768 and 0."""
    output, wanted = layer.output, OUTPUTS[layer.output.dtype]
    fits = (output.scale,) == wanted.scale and (output.zero_point,) == wanted.zero_point
    return None if fits else f"scale {output.scale} and zero point {output.zero_point}"


def _beta_fits_int16(layer: Layer) -> str | None:
    """In int16, beta must be positive, and beta times the input scale at least 2^-31 and at most 1."""
    product = layer.attributes["beta"] * layer.input(0).scale
    fits = layer.attributes["beta"] > 0.0 and 2.0**-31 <= product <= 1.0
    return None if fits else f"beta {layer.attributes['beta']} and scale {layer.input(0).scale}"


def _beta_is_a_number(layer: Layer) -> str | None:
    """In float32, beta must be finite."""
    return None if math.isfinite(layer.attributes["beta"]) else f"beta {layer.attributes['beta']}"


def exponentials(layer: Layer) -> Array:
    """exp(-beta * scale * d) with 0 integer bits, as int32, for d = 0, 1, … as far as it counts, at most 256 entries."""
    # Half the multiplier has one shift less and so stays below the limit of 30; shift 31 leaves one entry, of difference 0.
    q, shift_of_half = quantize_multiplier(_real_multiplier(layer) / 2.0)
    left_shift = shift_of_half + 1
    size = min(input_radius(DIFFERENCE_BITS, left_shift), 255) + 1
    scaled = multiply_by_quantized_multiplier(-np.arange(size, dtype=np.int64), q, left_shift)
    return exp_on_negative_values(scaled, DIFFERENCE_BITS).astype(np.int32)


def int16_multiplier(layer: Layer) -> tuple[int, int]:
    """(q, shift) of int16 differences: 65535 stands for 10."""
    return quantize_multiplier(layer.input(0).scale * float(np.float32(layer.attributes["beta"])) / (10.0 / 65535.0))


@cache
def int16_tables() -> tuple[Array, Array]:
    """exp of -10 to 0, and 1 / (1 + x) of 0 to 1, in 2^-15 at 513 places: TFLite's tables for linear interpolation."""
    places = np.arange(513, dtype=np.float32)
    halves = np.arange(512, dtype=np.float32) + np.float32(0.5)

    def powers(at: Array) -> Array:
        return np.exp((at * np.float32(10 / 512) - 10).astype(np.float64)).astype(np.float32)

    def reciprocals(at: Array) -> Array:
        return np.float32(1) / (np.float32(1) + at * np.float32(1 / 512))

    return _table(powers(places), powers(halves)), _table(reciprocals(places), reciprocals(halves))


def _table(at_places: Array, between: Array) -> Array:
    """Samples in 2^-15, each less half of what a line to the next one is off in the middle; as TFLite, in float32."""

    def rounded(x: Array) -> Array:
        return np.copysign(np.floor(np.abs(x) + np.float32(0.5)), x)

    exact = at_places * np.float32(32768)
    samples = rounded(exact)
    middles = rounded((exact[1:] + samples[:-1]) / np.float32(2)) - rounded(between * np.float32(32768))
    samples[:-1] -= rounded(middles / np.float32(2))
    return np.clip(samples, -32768, 32767).astype(np.int16)


def _interpolate(table: Array, x: Array) -> Array:
    """A table's function at x of -32768 to 32767."""
    wide = table.astype(np.int64)
    at = 256 + (x >> 7)
    value: Array = wide[at] + (((wide[at + 1] - wide[at]) * (x & 127) + 64) >> 7)
    return value


def _reference_int16(layer: Layer, x: Array) -> Array:
    powers, reciprocals = int16_tables()
    rows = x.reshape(-1, layer.input(0).shape[-1]).astype(np.int64)
    scaled = multiply_by_quantized_multiplier(rows - rows.max(axis=1, keepdims=True), *int16_multiplier(layer))
    exps = _interpolate(powers, np.clip(scaled + 32767, -32768, 32767))
    sums = exps.sum(axis=1, keepdims=True)
    exponent = np.array([int(s).bit_length() - 1 for s in sums.flat], np.int64).reshape(sums.shape)
    excess = (((sums << (30 - exponent)) + (1 << 13)) >> 14) - (1 << 15) - (1 << 16)
    reciprocal = _interpolate(reciprocals, np.minimum(excess, 32767))
    result = (exps * reciprocal + (np.int64(1) << (exponent - 1))) >> exponent
    clipped: Array = np.clip(result, 0, 32767).astype(np.int16)
    return clipped


def _reference_float(layer: Layer, x: Array) -> Array:
    rows = x.reshape(-1, layer.input(0).shape[-1])
    largest = np.fmax.reduce(rows, axis=1, keepdims=True, initial=np.finfo(np.float32).min)
    with np.errstate(all="ignore"):
        powers = exp((rows - largest) * np.float32(layer.attributes["beta"]))
        # `accumulate` adds one by one, `sum` would not.
        sums: Array = np.add.accumulate(powers, axis=1, dtype=np.float32)[:, -1:]
        return powers / sums


def _reference(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    if layer.output.dtype != "int8":
        other = _reference_int16 if layer.output.dtype == "int16" else _reference_float
        return [other(layer, inputs[0]).reshape(layer.output.shape)]
    table = np.zeros(256, np.int64)
    table[: len(exponentials(layer))] = exponentials(layer)
    rows = inputs[0].reshape(-1, layer.input(0).shape[-1]).astype(np.int64)
    powers = table[rows.max(axis=1, keepdims=True) - rows]
    sums = rounding_divide_by_pot(powers, SUM_BITS).sum(axis=1, keepdims=True)
    bounded = np.minimum(sums, SUM_LIMIT)
    headroom = 32 - np.array([int(s).bit_length() for s in bounded.flat], np.int64).reshape(bounded.shape)
    reciprocal = one_over_one_plus((bounded << headroom) - (1 << 31))
    shares = rounding_divide_by_pot(rounding_doubling_high_mul(powers, reciprocal), np.minimum(35 - headroom, 31))
    result = np.where(sums < SUM_LIMIT, np.minimum(shares - 128, 127), -128)
    return [result.astype(np.int8).reshape(layer.output.shape)]


def _real(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    with np.errstate(all="ignore"):
        powers = np.exp((inputs[0] - inputs[0].max(axis=-1, keepdims=True)) * np.float32(layer.attributes["beta"]))
        return [powers / powers.sum(axis=-1, keepdims=True)]


def _cases() -> Iterator[tuple[str, Graph]]:
    def case(shape: tuple[int, ...], scale: float, beta: float = 1.0) -> Graph:
        return one_input_graph("SOFTMAX", shape, ("int8", scale, 9), ("int8", 1 / 256, -128), {"beta": beta})

    yield "classes", case((1, 12), 0.2)
    yield "rank 1", case((7,), 0.05)
    yield "rank 4", case((2, 3, 4, 5), 0.01)
    yield "depth 1", case((3, 1), 0.1)
    yield "large scale", case((2, 9), 30.0)
    yield "small scale", case((2, 300), 1e-5)
    yield "beta", case((4, 20), 0.1, 0.37)
    for name, shape, scale, beta in [
        ("classes", (3, 12), 2e-4, 1.0),
        ("rank 1", (300,), 1e-5, 0.5),
        ("depth 1", (3, 1), 1e-3, 1.0),
        ("coarse", (4, 9), 0.9, 1.0),
    ]:
        ends = ("int16", scale, 0), ("int16", 1 / 32768, 0)
        yield f"int16 {name}", one_input_graph("SOFTMAX", shape, *ends, {"beta": beta})
    yield "float32", one_input_graph("SOFTMAX", (2, 3, 12), ("float32", 0, 0), ("float32", 0, 0), {"beta": 1.0})
    yield "float32 beta", one_input_graph("SOFTMAX", (300,), ("float32", 0, 0), ("float32", 0, 0), {"beta": 0.37})


OP = Op(
    name="SOFTMAX",
    versions=(1, 3),
    inputs=("input",),
    options="SoftmaxOptions",
    attributes=_attributes,
    export=_export,
    constraints=(
        one_type("input and the output", 0),
        per_tensor("input and the output", 0),
        _rows_exist,
        integer_only(_output_quantization),
        only_in(("int8",), _beta_fits),
        only_in(("int16",), _rows_fit),
        only_in(("int16",), _beta_fits_int16),
        only_in(("float32",), _beta_is_a_number),
    ),
    output_shapes=same_shape,
    reference=_reference,
    cases=_cases,
    real=_real,
    integer=Integer("fixed", {"float32": 1, "int8": 2, "int16": 3}, OUTPUTS),
)
