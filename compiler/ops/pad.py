# SPDX-License-Identifier: Apache-2.0
"""PAD: adds zeros around the input; for int8, the output's zero point.

As in TFLite Micro, the input's bytes are copied also where the output has another scale or zero point.
"""

from __future__ import annotations

from ..graph import Layer
from . import Op, _pad


def _zero_point_known(layer: Layer) -> str | None:
    """An int8 output must have one zero point, -128 to 127."""
    q = layer.output.quantization
    if layer.output.dtype != "int8" or (q is not None and len(q.zero_point) == 1 and -128 <= q.zero_point[0] <= 127):
        return None
    return "no quantization" if q is None else f"zero points {list(q.zero_point[:3])}"


OP = Op(
    name="PAD",
    versions=(1, 4),
    inputs=("input", "paddings"),
    options="PadOptions",
    constraints=(*_pad.CONSTRAINTS, _zero_point_known),
    output_shapes=_pad.output_shapes,
    reference=_pad.reference,
    real=_pad.real,
    integer=_pad.INTEGER,
    cases=lambda: _pad.cases("PAD"),
)
