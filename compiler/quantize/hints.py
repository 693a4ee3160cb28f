# SPDX-License-Identifier: Apache-2.0
"""What to try after a look at an analysis: rules in words, with the numbers that led to them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from ..graph import short_name
from ..ops import all_ops
from .analysis import Analysis, LayerLoss
from .result import Quantized

#: From this share of values on, clipping is worth a word; from this share of samples on, so are values that calibration never saw.
CLIPPED, BEYOND = 0.001, 0.1
#: A channel this many times the median one holds the range for itself; channels' weights this far apart lose to one scale.
OUTLIER, WEIGHT_SPREAD = 8.0, 100.0
#: A layer with this part of the output's noise is one to look at by itself.
DOMINANT = 0.4
#: Below so many dB at the output the network is called far from the float one; so many for good.
FAR, GOOD = 20.0, 35.0
#: A layer that uses less than this share of its integers has too wide a range.
USED = 0.25


def hints(analysis: Analysis, quantized: Quantized) -> tuple[str, ...]:
    """A line per rule that applies, the most promising first; none for a network that is as good as the float one."""
    rules = (_coverage, _clipping, _dominant, _outliers, _wide, _weights, _everywhere)
    return tuple(line for rule in rules for line in rule(analysis, quantized))


def _name(row: LayerLoss) -> str:
    return f"{row.op} '{short_name(row.name)}'"


def _more(rows: Sequence[LayerLoss]) -> str:
    return f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""


def _rule(row: LayerLoss) -> str:
    """Where the layer's output gets its range from: `own`, `shared` with its inputs, `fixed`; `` for inputs and conversions."""
    op = all_ops().get(row.op)
    return op.integer.output if op is not None and op.integer is not None else ""


def _clips(row: LayerLoss) -> bool:
    """Whether much of what the layer gives is outside of a range that calibration chose."""
    return row.clipped >= CLIPPED and _rule(row) != "fixed"


def _keep(row: LayerLoss) -> str:
    """The option that keeps a layer in float32, as a shell takes it."""
    return (
        f"--keep-float {shlex.quote(short_name(row.name))}"
        if row.name.isprintable()
        else "to keep this layer in float32"
    )


def _coverage(analysis: Analysis, quantized: Quantized) -> Iterator[str]:
    rows = sorted((row for row in analysis.layers if row.beyond >= BEYOND), key=lambda row: -row.beyond)
    used = quantized.samples[0]
    if rows and used and analysis.seen > 1:
        yield (
            f"{_name(rows[0])}{_more(rows)}: {rows[0].beyond:.0%} of these samples have values that the {used:,} calibration samples "
            "never had → calibrate with more samples, of all kinds that the device will see"
        )


def _clipping(analysis: Analysis, quantized: Quantized) -> Iterator[str]:
    rows = sorted((row for row in analysis.layers if _clips(row)), key=lambda row: -row.clipped)
    if not rows:
        return
    row = rows[0]
    found = f"{_name(row)}{_more(rows)}: {row.clipped:.2%} of the values are outside of its range {row.first:.4g} to {row.last:.4g}"
    if row.clipped_channel is not None and row.channels > 2 and row.clipped_channel[1] >= 0.5:
        found += f", {row.clipped_channel[1]:.0%} of them in channel {row.clipped_channel[0]} of {row.channels}"
    if quantized.settings.ranges != "minmax":
        yield f"{found} → try --ranges minmax, or a higher --percentile"
    else:
        yield f"{found} → calibrate with samples that have such values"


def _dominant(analysis: Analysis, quantized: Quantized) -> Iterator[str]:
    row = analysis.worst
    if row is None or row.share < DOMINANT or analysis.sqnr > GOOD or _clips(row):
        return
    found = f"{_name(row)} alone makes {row.share:.0%} of the noise at the output"
    if row.node < 0:
        yield f"{found}: these are the input's steps of {row.step:.3g} → narrow the input's range in preprocessing, or --activations int16"
    elif row.weights_share is not None and row.weights_share > 0.5:
        rounding = "" if quantized.settings.rounding != "nearest" else "--rounding gptq, or "
        yield f"{found}, {row.weights_share:.0%} of it from its weights → try {rounding}{_keep(row)}"
    elif _rule(row) == "shared" and row.used < 0.5:
        yield (
            f"{found}: it has the scale of its input by definition, of whose range it uses {row.used:.0%} → try {_keep(row)} or "
            "--activations int16"
        )
    else:
        yield f"{found}, mostly from the steps of its output → try {_keep(row)} or --activations int16"


def _outliers(analysis: Analysis, quantized: Quantized) -> Iterator[str]:
    rows = sorted(
        (
            row
            for row in analysis.layers
            if row.channel_spread >= OUTLIER and row.weights is not None and row.share > 0.05
        ),
        key=lambda row: -row.channel_spread,
    )
    if rows and quantized.settings.ranges == "minmax" and analysis.sqnr < GOOD:
        row = rows[0]
        yield (
            f"{_name(row)}{_more(rows)}: channel {row.widest} reaches {row.channel_spread:.0f} times as far as the median channel and "
            "takes the steps from all others → try --ranges percentile or mse"
            + ("" if quantized.settings.equalize else ", or --equalize")
        )


def _wide(analysis: Analysis, quantized: Quantized) -> Iterator[str]:
    rows = sorted(
        (row for row in analysis.layers if row.weights is not None and row.steps_of and row.used < USED),
        key=lambda row: row.used,
    )
    if rows and analysis.sqnr < GOOD:
        row = rows[0]
        yield (
            f"{_name(row)}{_more(rows)}: only {row.used:.0%} of the integer range has values, {row.steps} of {row.steps_of} steps occur "
            "→ these data are tamer than those that calibrated: calibrate with data like them, or try --ranges mse"
        )


def _weights(analysis: Analysis, quantized: Quantized) -> Iterator[str]:
    rows = sorted(
        (row for row in analysis.layers if row.weights is not None and row.weights.spread >= WEIGHT_SPREAD),
        key=lambda row: -(row.weights.spread if row.weights else 0.0),
    )
    if not rows or rows[0].weights is None or analysis.sqnr > GOOD:
        return
    found = f"{_name(rows[0])}{_more(rows)}: its channels' weights are {rows[0].weights.spread:,.0f}:1 apart"
    if not quantized.settings.per_channel:
        yield f"{found} and share one scale → leave --per-tensor away"
    elif not quantized.settings.equalize:
        yield f"{found} → try --equalize"


def _everywhere(analysis: Analysis, quantized: Quantized) -> Iterator[str]:
    worst = analysis.worst
    if analysis.sqnr >= FAR or quantized.settings.activations == "int16":
        return
    if worst is None or worst.share < DOMINANT:
        most = f", no layer makes more than {worst.share:.0%} of the noise" if worst is not None else ""
        yield (
            f"the output is {analysis.sqnr:.1f} dB from the float one{most} → try --activations int16, or more calibration samples; "
            "a network that was trained for int8 (quantization-aware training) loses least"
        )
