# SPDX-License-Identifier: Apache-2.0
"""What quantization is asked for, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..graph import Array, Graph

#: How the range of an activation is taken from the calibration data; `auto` measures which of these is best.
METHODS = ("minmax", "percentile", "mse", "kl")
RANGES = (*METHODS, "auto")
#: The element types of activations.
ACTIVATIONS = ("int8", "int16")
#: How weights are rounded.
ROUNDINGS = ("nearest", "gptq")


@dataclass(frozen=True)
class Settings:
    """What quantization is asked for.

    Attributes:
        ranges: one of `RANGES`; `percentile` keeps that share of the values, in percent.
        activations: one of `ACTIVATIONS`.
        per_channel: whether weights have a scale per output channel, else one per tensor.
        bias_correction: whether biases make up for the mean error of the quantized weights and inputs.
        equalize: cross-layer equalization, kept only where it gains on held-out data.
        rounding: one of `ROUNDINGS`; `gptq` is kept only where it gains on held-out data.
        keep_float: names of tensors whose producing layers stay float32.
        allow_float: whether layers that have no integer form stay float32, too.
        held_out: share of the calibration samples by which it is judged whether the others cover the ranges.
    """

    ranges: str = "minmax"
    percentile: float = 99.99
    activations: str = "int8"
    per_channel: bool = True
    bias_correction: bool = True
    equalize: bool = False
    rounding: str = "nearest"
    keep_float: tuple[str, ...] = ()
    allow_float: bool = False
    held_out: float = 0.1


class Decision(NamedTuple):
    """An option that was measured: the SQNR of the outputs in dB without and with it, and whether it was kept."""

    option: str
    before: float
    after: float
    kept: bool


@dataclass(frozen=True)
class Range:
    """A tensor's values over the calibration data (`low` to `high`) and what the integers reach (`first` to `last`)."""

    low: float
    high: float
    first: float
    last: float


@dataclass(frozen=True, eq=False)
class Quantized:
    """An integer network and the float one that it stands for.

    Attributes:
        graph: the integer network.
        real: the float32 network, prepared: activations fused, weights float32, and the same layers as `graph` but for added
            QUANTIZE and DEQUANTIZE. Run it with `tinyc.quantize.execute.run`.
        real_of: tensor of `graph` → the tensor of `real` with the same meaning, for activations and weights.
        ranges: tensor of `real` → its range, for every activation.
        bias_shift: tensor of `graph` that is a bias → what correction added to it, in real units, float32 per channel.
        floats: layers that stayed float32, for messages.
        samples: how many samples calibrated, and how many of them judged the coverage.
        warnings: what the user should look at: thin coverage, dead channels, inputs that look unnormalised.
        decisions: options that were measured on samples that did not calibrate.
        settings: what was asked for.
    """

    graph: Graph
    real: Graph
    real_of: Mapping[int, int]
    ranges: Mapping[int, Range]
    bias_shift: Mapping[int, Array] = field(default_factory=dict)
    floats: tuple[str, ...] = ()
    samples: tuple[int, int] = (0, 0)
    warnings: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()
    settings: Settings = Settings()
