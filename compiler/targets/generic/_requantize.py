# SPDX-License-Identifier: Apache-2.0
"""Operators on int16 elements whose results are a requantization within bounds: RELU, RELU6, QUANTIZE."""

from __future__ import annotations

from collections.abc import Callable

from ...graph import Layer
from ...ops._elementwise import rescale_multiplier
from ...program import Binding, Input, Output, Params, ParamsPointer
from .. import Kernel

#: (function, lead of the output over the input per element but the last) by types of input and output.
_FUNCTIONS = {
    ("int16", "int16"): ("tinyc_requantize_s16", 0),
    ("int16", "int8"): ("tinyc_requantize_s16_s8", 0),
    ("int8", "int16"): ("tinyc_requantize_s8_s16", 1),
}


def requantize_kernel(
    op: str, bounds: Callable[[Layer], tuple[int, int]], source: str = "int16", output: str = "int16"
) -> Kernel:
    """The kernel for an operator whose results are clamped to `bounds`, from type `source` to type `output`."""
    function, growth = _FUNCTIONS[source, output]

    def bind(layer: Layer) -> Binding:
        q, shift = rescale_multiplier(layer)
        least, most = bounds(layer)
        params = Params(
            "tinyc_requantize_params",
            {
                "size": layer.output.elements,
                "input_offset": -layer.input(0).zero_point,
                "output_offset": layer.output.zero_point,
                "multiplier": q,
                "shift": shift,
                "least": least,
                "most": most,
            },
        )
        lead = growth * (layer.output.elements - 1)
        return Binding((ParamsPointer(), Input(0), Output()), params, overlap={0: lead})

    def applies(layer: Layer) -> bool:
        return layer.output.dtype == output

    return Kernel(function, op, bind, lambda layer: 20.0 * layer.output.elements, applies, dtype=source)
