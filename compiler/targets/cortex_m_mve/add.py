# SPDX-License-Identifier: Apache-2.0
"""ADD of tensors of one shape for Helium."""

from __future__ import annotations

from ...graph import Layer
from ...ops._additive import add_multipliers, quantized
from ...program import Binding, Input, Output, Params, ParamsPointer
from .. import Kernel
from ._channels import clamps, is_clamped


def _applies(layer: Layer) -> bool:
    return layer.input(0).shape == layer.input(1).shape


def _bind(layer: Layer) -> Binding:
    # The input with the larger scale has a multiplier of exactly one half.
    halved, scaled = (0, 1) if layer.input(0).scale >= layer.input(1).scale else (1, 0)
    pairs = quantized(add_multipliers(layer))
    assert pairs[halved] == (1 << 30, 0)
    low, high = clamps(layer)
    params = Params(
        "tinyc_add_mve_params",
        {
            "size": layer.output.elements,
            "halved_offset": -layer.input(halved).zero_point,
            "scaled_offset": -layer.input(scaled).zero_point,
            "scaled_multiplier": pairs[scaled][0],
            # All that is shifted is at most 2^28, which 30 bits send to zero as 31 would.
            "scaled_right_shift": min(-pairs[scaled][1], 30),
            "output_offset": layer.output.zero_point,
            "output_multiplier": pairs[2][0],
            "output_right_shift": min(-pairs[2][1], 30),
            "activation_min": low,
            "activation_max": high,
        },
    )
    return Binding((ParamsPointer(), Input(halved), Input(scaled), Output()), params, overlap={0: 0, 1: 0})


def _cost(layer: Layer) -> float:
    size = layer.output.elements
    return 110 + 3.5 * size + (220 if size % 8 else 0) + (0.6 * size if is_clamped(layer) else 0.0)


KERNELS = (Kernel("tinyc_add_s8_mve", "ADD", _bind, _cost, _applies, isa="cortex_m_mve"),)
