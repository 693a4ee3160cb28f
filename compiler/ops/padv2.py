# SPDX-License-Identifier: Apache-2.0
"""PADV2: adds a constant value around the input.

As in TFLite Micro, the input's bytes are copied also where the output has another scale or zero point.
"""

from __future__ import annotations

from ..graph import Layer
from . import Op, _pad
from ._constraints import constant
from ._copy import scale_and_zero_point


def _value_type(layer: Layer) -> str | None:
    """The pad value must have the input's element type."""
    found, wanted = layer.input(2).dtype, layer.input(0).dtype
    return None if found == wanted else f"{found} for {wanted}"


def _one_value(layer: Layer) -> str | None:
    """The pad value must be one number."""
    return None if layer.input(2).elements == 1 else f"shape {list(layer.input(2).shape)}"


def _value_quantized_as_output(layer: Layer) -> str | None:
    """An int8 pad value must have the output's scale and zero point."""
    value, output = scale_and_zero_point(layer.input(2)), scale_and_zero_point(layer.output)
    return None if layer.output.dtype != "int8" or value == output else f"{value} and {output}"


OP = Op(
    name="PADV2",
    versions=(1, 4),
    inputs=("input", "paddings", "value"),
    options="PadV2Options",
    constraints=(
        *_pad.CONSTRAINTS,
        constant("pad value", 2),
        _value_type,
        _one_value,
        _value_quantized_as_output,
    ),
    output_shapes=_pad.output_shapes,
    reference=_pad.reference,
    real=_pad.real,
    integer=_pad.INTEGER,
    cases=lambda: _pad.cases("PADV2"),
)
