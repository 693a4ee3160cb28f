# SPDX-License-Identifier: Apache-2.0
"""Rules that several operators share. Each returns a constraint whose docstring is the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..graph import Layer, Tensor
from . import Constraint


def _documented(check: Constraint, text: str) -> Constraint:
    check.__doc__ = text
    return check


def dtype(role: str, position: int, *allowed: str) -> Constraint:
    """Input `position` (an absent optional input passes) must have one of the element types `allowed`."""

    def check(layer: Layer) -> str | None:
        tensor = layer.optional(position)
        return None if tensor is None or tensor.dtype in allowed else f"{tensor.dtype} in '{tensor.name}'"

    return _documented(check, f"The {role} must be {' or '.join(allowed)}.")


def output_dtype(*allowed: str) -> Constraint:
    """Every output must have one of the element types `allowed`."""

    def check(layer: Layer) -> str | None:
        wrong = [tensor for tensor in layer.outputs if tensor.dtype not in allowed]
        return f"{wrong[0].dtype} in '{wrong[0].name}'" if wrong else None

    return _documented(check, f"The output must be {' or '.join(allowed)}.")


def rank(role: str, position: int, low: int, high: int) -> Constraint:
    """Input `position` must have between `low` and `high` dimensions."""

    def check(layer: Layer) -> str | None:
        tensor = layer.optional(position)
        if tensor is None or low <= len(tensor.shape) <= high:
            return None
        return f"shape {list(tensor.shape)} of '{tensor.name}'"

    text = f"{low}" if low == high else f"{low} to {high}"
    return _documented(check, f"The {role} must have {text} dimensions.")


def not_empty(role: str, position: int) -> Constraint:
    """Every dimension of input `position` must be at least 1."""

    def check(layer: Layer) -> str | None:
        tensor = layer.optional(position)
        filled = tensor is None or all(extent >= 1 for extent in tensor.shape)
        return None if tensor is None or filled else f"shape {list(tensor.shape)} of '{tensor.name}'"

    return _documented(check, f"The {role} must not be empty.")


def constant(role: str, position: int) -> Constraint:
    """Input `position` must be a constant of the model."""

    def check(layer: Layer) -> str | None:
        tensor = layer.optional(position)
        return None if tensor is None or tensor.constant else f"'{tensor.name}' is computed at run time"

    return _documented(check, f"The {role} must be a constant.")


def per_tensor(role: str, *positions: int, output: bool = True) -> Constraint:
    """The int8, uint8 or int16 inputs at `positions` and the outputs must have one scale and one zero point each."""

    def check(layer: Layer) -> str | None:
        tensors = [t for t in (layer.optional(p) for p in positions) if t is not None]
        for tensor in [*tensors, *(layer.outputs if output else ())]:
            if tensor.dtype in ZERO_POINTS and not _has_one_scale(tensor):
                return f"'{tensor.name}' has {_quantization_text(tensor)}"
        return None

    return _documented(
        check,
        f"The {role} must be quantized per tensor, with a positive scale and a zero point in the type's range (0 in int16).",
    )


#: The zero points that an element type may have, from first to last.
ZERO_POINTS: Mapping[str, tuple[int, int]] = {"int8": (-128, 127), "uint8": (0, 255), "int16": (0, 0)}


def _has_one_scale(tensor: Tensor) -> bool:
    q = tensor.quantization
    low, high = ZERO_POINTS[tensor.dtype]
    return (
        q is not None
        and len(q.scale) == len(q.zero_point) == 1
        and 0.0 < q.scale[0] < float("inf")
        and low <= q.zero_point[0] <= high
    )


def _quantization_text(tensor: Tensor) -> str:
    q = tensor.quantization
    return (
        "no quantization"
        if q is None
        else f"{len(q.scale)} scales {list(q.scale[:3])} and zero points {list(q.zero_point[:3])}"
    )


def activation(*allowed: str) -> Constraint:
    """The fused activation must be one of `allowed`; TFLite Micro refuses one whose bounds exceed int32 once quantized."""

    def check(layer: Layer) -> str | None:
        found = layer.attributes["activation"]
        if found not in allowed:
            return str(found)
        if layer.output.dtype == "float32":
            return None
        bound = {"RELU6": 6.0, "RELU_N1_TO_1": 1.0}.get(found, 0.0)
        q = layer.output.quantization
        scale = q.scale[0] if q is not None and q.scale else 1.0
        fits = bound == 0.0 or bound < scale * (2.0**31 - 256.0)
        return None if fits else f"{found} with an output scale of {scale}"

    names = ", ".join(allowed)
    return _documented(
        check, f"The fused activation must be one of {names}, with bounds that fit in 32 bits once quantized."
    )


#: The fused activations that TFLite Micro's integer kernels compute.
ACTIVATIONS: Sequence[str] = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6")


def integer_only(rule: Constraint) -> Constraint:
    """`rule`, for layers whose input 0 is not float32."""

    def check(layer: Layer) -> str | None:
        return None if layer.input(0).dtype == "float32" else rule(layer)

    return _documented(check, rule.__doc__ or "")


#: The types of filter, bias and output by that of the input, for operators that sum up products of input and filter.
PRODUCT_TYPES: Mapping[str, tuple[str, Sequence[str], str]] = {
    "int8": ("int8", ("int32",), "int8"),
    "int16": ("int8", ("int64", "int32"), "int16"),
    "float32": ("float32", ("float32",), "float32"),
}


def product_types(layer: Layer) -> str | None:
    """Input, filter, bias and output must be int8, int8, int32 and int8; int16, int8, int64 or int32 and int16; or all float32."""
    source, weights, bias, output = layer.input(0), layer.input(1), layer.optional(2), layer.outputs[0]
    filter_type, bias_types, output_type = PRODUCT_TYPES.get(source.dtype, ("", (), ""))
    biased = bias is None or bias.dtype in bias_types
    if biased and (weights.dtype, output.dtype) == (filter_type, output_type):
        return None
    return ", ".join("no bias" if t is None else f"{t.dtype} in '{t.name}'" for t in (source, weights, bias, output))


def product_scales_in_range(layer: Layer) -> str | None:
    """Input scale * filter scale / output scale must be at most 2^29, and at most 2^6 in int16."""
    # Input 1 is the filter. Beyond the limit, TFLite Micro shifts by more bits than its integers have.
    weights, output = layer.input(1).quantization, layer.output.scale
    assert weights is not None
    product = layer.input(0).scale * max(weights.scale)
    limit = 2.0**6 if layer.input(0).dtype == "int16" else 2.0**29
    return f"{product:.4g} / {output:.4g}" if product > 1e38 or product > output * limit else None


#: The element types of the values that layers compute with.
VALUE_TYPES: Sequence[str] = ("int8", "int16", "float32")


def one_type(role: str, *positions: int) -> Constraint:
    """The inputs at `positions` and the outputs must have one of `VALUE_TYPES`, all the same."""

    def check(layer: Layer) -> str | None:
        tensors = [*(layer.input(position) for position in positions), *layer.outputs]
        if tensors[0].dtype in VALUE_TYPES and len({tensor.dtype for tensor in tensors}) == 1:
            return None
        return ", ".join(f"{tensor.dtype} in '{tensor.name}'" for tensor in tensors)

    return _documented(check, f"The {role} must be int8, int16 or float32, all alike.")


def only_in(types: Sequence[str], rule: Constraint) -> Constraint:
    """`rule`, for layers whose input 0 has one of those element types."""

    def check(layer: Layer) -> str | None:
        return rule(layer) if layer.input(0).dtype in types else None

    return _documented(check, rule.__doc__ or "")
