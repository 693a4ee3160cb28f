# SPDX-License-Identifier: Apache-2.0
"""Rules that several operators share. Each returns a constraint whose docstring is the rule."""

from __future__ import annotations

from collections.abc import Sequence

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
    """The int8 or uint8 inputs at `positions` and the outputs must have one scale and one zero point each."""

    def check(layer: Layer) -> str | None:
        tensors = [t for t in (layer.optional(p) for p in positions) if t is not None]
        for tensor in [*tensors, *(layer.outputs if output else ())]:
            if tensor.dtype in ("int8", "uint8") and not _has_one_scale(tensor):
                return f"'{tensor.name}' has {_quantization_text(tensor)}"
        return None

    return _documented(
        check, f"The {role} must be quantized per tensor, with a positive scale and a zero point in the type's range."
    )


def _has_one_scale(tensor: Tensor) -> bool:
    q = tensor.quantization
    low = -128 if tensor.dtype == "int8" else 0
    return (
        q is not None
        and len(q.scale) == len(q.zero_point) == 1
        and 0.0 < q.scale[0] < float("inf")
        and low <= q.zero_point[0] <= low + 255
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


def product_scales_in_range(layer: Layer) -> str | None:
    """Input scale * filter scale / output scale must be at most 2^29."""
    # Input 1 is the filter. Beyond the limit, TFLite Micro shifts by more bits than its integers have.
    weights, output = layer.input(1).quantization, layer.output.scale
    assert weights is not None
    product = layer.input(0).scale * max(weights.scale)
    return f"{product:.4g} / {output:.4g}" if product > 1e38 or product > output * 2.0**29 else None
