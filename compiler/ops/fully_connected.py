# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED: matrix product of the flattened input and a constant or computed filter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Array, Graph, Layer, Quantization, Tensor, single_node_graph
from . import Integer, Op, _products
from ._constraints import (
    ACTIVATIONS,
    activation,
    integer_only,
    per_tensor,
    product_scales_in_range,
    product_types,
    rank,
)
from ._fixed_point import quantize_multiplier
from ._floats import activate
from ._options import ACTIVATION_TYPES, WEIGHTS_FORMATS, name_of


def _attributes(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "activation": name_of(ACTIVATION_TYPES, options["fused_activation_function"]),
        "weights_format": name_of(WEIGHTS_FORMATS, options["weights_format"]),
        "keep_num_dims": options["keep_num_dims"],
    }


def _export(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "fused_activation_function": ACTIVATION_TYPES.index(attributes["activation"]),
        "weights_format": WEIGHTS_FORMATS.index(attributes["weights_format"]),
        "keep_num_dims": attributes["keep_num_dims"],
    }


def _one_output(layer: Layer) -> str | None:
    """The operator must have one output."""
    return None if len(layer.outputs) == 1 else f"{len(layer.outputs)} outputs"


def _plain_weights(layer: Layer) -> str | None:
    """The weights must be in the default format."""
    found = layer.attributes["weights_format"]
    return None if found == "DEFAULT" else str(found)


def _depths_agree(layer: Layer) -> str | None:
    """The input must hold a whole number of rows as long as the filter's, and the output a row of results for each."""
    units, depth = layer.input(1).shape
    shape = layer.output.shape
    rows, rest = divmod(layer.input(0).elements, max(depth, 1))
    if min(units, depth, rows) < 1 or rest or not shape or shape[-1] != units or layer.output.elements != rows * units:
        return f"input {list(layer.input(0).shape)}, filter {[units, depth]}, output {list(shape)}"
    return None


def _bias_fits(layer: Layer) -> str | None:
    """The bias must have one value per output channel."""
    bias = layer.optional(2)
    return None if bias is None or bias.elements == layer.input(1).shape[0] else f"{bias.elements} values"


def _filter_quantized(layer: Layer) -> str | None:
    """The filter must be quantized per tensor, or per output channel with zero points of 0, with positive scales."""
    q = layer.input(1).quantization
    if q is None or not q.scale or not all(0.0 < s < float("inf") for s in q.scale):
        return "no usable quantization"
    if len(q.scale) not in (1, layer.input(1).shape[0]) or len(q.zero_point) != len(q.scale):
        return f"{len(q.scale)} scales and {len(q.zero_point)} zero points"
    if q.per_channel and (q.axis != 0 or any(q.zero_point)):
        return f"axis {q.axis}, zero points {sorted(set(q.zero_point))[:3]}"
    return None if all(-128 <= z <= 127 for z in q.zero_point) else f"zero point {q.zero_point[0]}"


def _filter_symmetric(layer: Layer) -> str | None:
    """The filter of an int16 layer must have zero points of 0."""
    q = layer.input(1).quantization
    assert q is not None
    return f"zero point {q.zero_point[0]}" if layer.input(0).dtype == "int16" and any(q.zero_point) else None


def _bias_scale_agrees(layer: Layer) -> str | None:
    """Per tensor, the bias's scale may differ from input scale * filter scale by at most 0.02 of the output scale."""
    bias, weights = layer.optional(2), layer.input(1)
    assert weights.quantization is not None
    if bias is None or weights.quantization.per_channel:
        return None
    scale = bias.quantization.scale[0] if bias.quantization is not None and bias.quantization.scale else 0.0
    product = layer.input(0).scale * weights.scale
    return (
        None if abs(product - scale) / layer.output.scale <= 0.02 else f"bias scale {scale:.4g}, product {product:.4g}"
    )


def multipliers(layer: Layer) -> tuple[Array, Array]:
    """(multiplier as int32, shift as int8): one entry, or one per output channel.

    TFLite Micro multiplies the input and filter scales in float32 per tensor, and in float64 per channel.
    """
    source, weights, output = layer.input(0), layer.input(1), layer.output
    assert weights.quantization is not None
    if weights.quantization.per_channel:
        reals = [source.scale * scale / output.scale for scale in weights.quantization.scale]
    else:
        reals = [float(np.float32(source.scale) * np.float32(weights.scale)) / output.scale]
    pairs = [quantize_multiplier(real) for real in reals]
    return np.array([q for q, _ in pairs], np.int32), np.array([s for _, s in pairs], np.int8)


def _reference(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    source, weights, output = layer.input(0), layer.input(1), layer.output
    assert inputs[0] is not None
    assert inputs[1] is not None
    rows = inputs[0].reshape(-1, weights.shape[1])
    bias = inputs[2] if len(inputs) > 2 else None
    if rows.dtype == np.float32:
        return [_products.float_output(layer, _float_sums(rows, inputs[1]), bias).reshape(output.shape)]
    # Sums of products are exact in float64, whose matrix product is much faster than that of integers.
    terms = rows.astype(np.float64) - source.zero_point
    sums = (terms @ (inputs[1].astype(np.float64) - weights.zero_point).T).astype(np.int64)
    return [_products.integer_output(layer, sums, bias, *multipliers(layer)).reshape(output.shape)]


def _float_sums(rows: Array, weights: Array) -> Array:
    """The sums in float32, products added one by one."""
    sums = np.zeros((len(rows), len(weights)), np.float32)
    with np.errstate(all="ignore"):
        for column in range(weights.shape[1]):
            sums += rows[:, column, None] * weights[:, column]
    return sums


def _real(layer: Layer, inputs: Sequence[Array | None]) -> Sequence[Array]:
    assert inputs[0] is not None
    assert inputs[1] is not None
    with np.errstate(all="ignore"):
        result = inputs[0].reshape(-1, inputs[1].shape[1]) @ inputs[1].T
        if len(inputs) > 2 and inputs[2] is not None:
            result += inputs[2].reshape(-1)
    # Every axis after the first is the layer's; the first takes any number of samples.
    return [activate(result, layer.attributes["activation"]).reshape(-1, *layer.output.shape[1:])]


def _cases() -> Iterator[tuple[str, Graph]]:
    yield from (found := list(_int8_cases()))
    names = ("plain", "batch", "no bias", "per channel", "image input", "rows of a sequence", "computed filter")
    yield from _products.cases_in_other_types(found, names)


def _int8_cases() -> Iterator[tuple[str, Graph]]:
    random = np.random.default_rng(1)

    def case(
        source: tuple[int, ...],
        units: int,
        depth: int,
        output: tuple[int, ...],
        *,
        act: str = "NONE",
        bias: bool = True,
        channels: bool = False,
        zero_point: int = 0,
        constant: bool = True,
        keep: bool = False,
        scale: float = 0.02,
    ) -> Graph:
        scales = tuple(float(np.float32(s)) for s in random.uniform(scale / 10, scale, units if channels else 1))
        weights = random.integers(-127, 128, (units, depth)).astype(np.int8)
        biases = random.integers(-3000, 3000, units).astype(np.int32)
        input_scale = float(np.float32(0.05))
        return single_node_graph(
            "FULLY_CONNECTED",
            (
                Tensor("input", source, "int8", Quantization((input_scale,), (-3,))),
                Tensor(
                    "filter",
                    weights.shape,
                    "int8",
                    Quantization(scales, (zero_point,) * len(scales)),
                    weights if constant else None,
                ),
                Tensor("bias", (units,), "int32", Quantization((input_scale * scales[0],), (0,)), biases)
                if bias
                else None,
            ),
            (Tensor("output", output, "int8", Quantization((float(np.float32(0.11)),), (7,))),),
            {"activation": act, "weights_format": "DEFAULT", "keep_num_dims": keep},
        )

    yield "plain", case((1, 16), 8, 16, (1, 8))
    yield "depth 1", case((1, 1), 3, 1, (1, 3))
    yield "batch", case((5, 33), 7, 33, (5, 7), act="RELU")
    yield "no bias", case((2, 9), 4, 9, (2, 4), bias=False, act="RELU6")
    yield "per channel", case((1, 20), 6, 20, (1, 6), channels=True, act="RELU_N1_TO_1")
    yield "filter zero point", case((2, 12), 5, 12, (2, 5), zero_point=9)
    yield "image input", case((1, 2, 3, 4), 5, 24, (1, 5))
    yield "rows of a sequence", case((2, 3, 8), 5, 8, (2, 3, 5), keep=True, channels=True)
    yield "vector", case((6,), 5, 6, (5,), channels=True)
    yield "computed filter", case((3, 8), 6, 8, (3, 6), constant=False, zero_point=-4)
    yield "left shifts", case((2, 4), 6, 4, (2, 6), channels=True, scale=40.0)


OP = Op(
    name="FULLY_CONNECTED",
    versions=(1, 12),
    inputs=("input", "filter", "bias?"),
    options="FullyConnectedOptions",
    attributes=_attributes,
    export=_export,
    constraints=(
        product_types,
        integer_only(per_tensor("input and the output", 0)),
        rank("filter", 1, 2, 2),
        _one_output,
        activation(*ACTIVATIONS),
        _plain_weights,
        _depths_agree,
        _bias_fits,
        _products.bias_in_range,
        integer_only(_filter_quantized),
        integer_only(_filter_symmetric),
        integer_only(product_scales_in_range),
        integer_only(_bias_scale_agrees),
    ),
    output_shapes=lambda layer: [layer.output.shape],
    reference=_reference,
    cases=_cases,
    macs=lambda layer: layer.output.elements * layer.input(1).shape[1],
    real=_real,
    integer=Integer("own", {"float32": 1, "int8": 4, "int16": 7}, channels=0),
)
