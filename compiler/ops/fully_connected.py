# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED: matrix product of the flattened input and a constant or computed filter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Array, Graph, Layer, Quantization, Tensor, single_node_graph
from . import Op
from ._constraints import ACTIVATIONS, activation, constant, dtype, output_dtype, per_tensor, rank
from ._fixed_point import activation_range, multiply_by_quantized_multiplier, quantize_multiplier
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


def _plain_weights(layer: Layer) -> str | None:
    """The weights must be in the default format."""
    found = layer.attributes["weights_format"]
    return None if found == "DEFAULT" else str(found)


def _depths_agree(layer: Layer) -> str | None:
    """The input must hold a whole number of rows as long as the filter's, and the output one row of results for each."""
    units, depth = layer.input(1).shape
    rows, rest = divmod(layer.input(0).elements, depth) if depth else (0, 1)
    shape = layer.output.shape
    if rest or not shape or shape[-1] != units or layer.output.elements != rows * units:
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
    units, depth = weights.shape
    rows = inputs[0].reshape(-1, depth).astype(np.int64) - source.zero_point
    bias = inputs[2] if len(inputs) > 2 else None
    sums = rows @ (inputs[1].astype(np.int64) - weights.zero_point).T + (0 if bias is None else bias.astype(np.int64))
    q, shift = multipliers(layer)
    low, high = activation_range(layer.attributes["activation"], output)
    result = multiply_by_quantized_multiplier(sums, q, shift) + output.zero_point
    return [np.clip(result, low, high).astype(np.int8).reshape(output.shape)]


def _cases() -> Iterator[tuple[str, Graph]]:
    random = np.random.default_rng(1)

    def case(rows: int, depth: int, units: int, *, act: str = "NONE", bias: bool = True, channels: bool = False, zp: int = 0) -> Graph:
        scales = tuple(float(np.float32(s)) for s in random.uniform(0.002, 0.02, units if channels else 1))
        weights = random.integers(-127, 128, (units, depth)).astype(np.int8)
        return single_node_graph(
            "FULLY_CONNECTED",
            (
                Tensor("input", (rows, depth), "int8", Quantization((float(np.float32(0.05)),), (-3,))),
                Tensor("filter", (units, depth), "int8", Quantization(scales, (zp,) * len(scales)), weights),
                Tensor("bias", (units,), "int32", None, random.integers(-3000, 3000, units).astype(np.int32)) if bias else None,
            ),
            (Tensor("output", (rows, units), "int8", Quantization((float(np.float32(0.11)),), (7,))),),
            {"activation": act, "weights_format": "DEFAULT", "keep_num_dims": False},
        )

    yield "plain", case(1, 16, 8)
    yield "depth 1", case(1, 1, 3)
    yield "batch", case(5, 33, 7, act="RELU")
    yield "no bias", case(2, 9, 4, bias=False, act="RELU6")
    yield "per channel", case(1, 20, 6, channels=True, act="RELU_N1_TO_1")
    yield "filter zero point", case(1, 12, 5, zp=9)


OP = Op(
    name="FULLY_CONNECTED",
    versions=(1, 12),
    inputs=("input", "filter", "bias?"),
    options="FullyConnectedOptions",
    attributes=_attributes,
    export=_export,
    constraints=(
        dtype("input", 0, "int8"),
        dtype("filter", 1, "int8"),
        dtype("bias", 2, "int32"),
        output_dtype("int8"),
        per_tensor("input and the output", 0),
        rank("filter", 1, 2, 2),
        constant("bias", 2),
        activation(*ACTIVATIONS),
        _plain_weights,
        _filter_quantized,
        _depths_agree,
        _bias_fits,
    ),
    output_shapes=lambda layer: [layer.output.shape],
    reference=_reference,
    cases=_cases,
    macs=lambda layer: layer.output.elements * layer.input(1).shape[1],
)
