# SPDX-License-Identifier: Apache-2.0
"""The options of quantization, for every command that takes a float model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import click

from ..data import DataOptions
from ..errors import UsageError
from ..model import Quantizing
from ..quantize.result import ACTIVATIONS, RANGES, ROUNDINGS, Settings
from ._data import data_options
from ._help import DATA, QUANTIZATION, under

_PERCENTILE: Final = Settings().percentile

_OPTIONS: Final = (
    click.option(
        "--calibrate",
        metavar="DATA",
        help="Samples that say the ranges of a float model: .npy, .npz, .csv, a folder of images, .wav or .npy files, or file.py:function.",
    ),
    click.option(
        "--ranges", type=click.Choice(RANGES), default="minmax", show_default=True, help="How ranges come from samples."
    ),
    click.option(
        "--percentile",
        default=_PERCENTILE,
        show_default=True,
        help="Percent of the values that --ranges percentile keeps.",
    ),
    click.option(
        "--activations",
        type=click.Choice(ACTIVATIONS),
        default="int8",
        show_default=True,
        help="Type of activations; int16 costs RAM and time and keeps accuracy. Weights are int8.",
    ),
    click.option("--per-tensor", is_flag=True, help="One scale for all of a layer's weights, not one per channel."),
    click.option("--no-bias-correction", is_flag=True, help="Leave the mean error of quantized weights in."),
    click.option(
        "--equalize", is_flag=True, help="Even out the weights' channels between layers, where held-out samples gain."
    ),
    click.option(
        "--rounding",
        type=click.Choice(ROUNDINGS),
        default="nearest",
        show_default=True,
        help="How weights are rounded; gptq where held-out samples gain.",
    ),
    click.option(
        "--allow-float", is_flag=True, help="Let layers that cannot be integer stay float32 (compiled as float C)."
    ),
    click.option(
        "--keep-float",
        multiple=True,
        metavar="NAME",
        help="Keep the layer with this output in float32; may be repeated.",
    ),
)


_NAMES: Final = (
    *("calibrate", "ranges", "percentile", "activations", "per_tensor", "no_bias_correction", "equalize", "rounding"),
    *("allow_float", "keep_float"),
)


def quantize_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of quantization and data to a command, which gets them as one argument `quantizing: Quantizing`."""

    @functools.wraps(command)
    def wrapped(
        calibrate: str | None,
        ranges: str,
        percentile: float,
        activations: str,
        per_tensor: bool,
        no_bias_correction: bool,
        equalize: bool,
        rounding: str,
        allow_float: bool,
        keep_float: tuple[str, ...],
        data: DataOptions,
        **arguments: Any,
    ) -> Any:
        if calibrate == "":
            raise UsageError("--calibrate", "is empty", expected="a file, a folder, or file.py:function")
        if percentile != _PERCENTILE and ranges not in ("percentile", "auto"):
            raise UsageError("--percentile", f"means nothing for --ranges {ranges}", hint="add --ranges percentile")
        if data.labels is not None and arguments.get("evaluation") is None:
            raise UsageError(
                "--labels", "are for --evaluate, which is not given", hint="leave it out, or add --evaluate DATA"
            )
        settings = Settings(
            ranges=ranges,
            percentile=percentile,
            activations=activations,
            per_channel=not per_tensor,
            bias_correction=not no_bias_correction,
            equalize=equalize,
            rounding=rounding,
            keep_float=keep_float,
            allow_float=allow_float,
        )
        return command(**arguments, quantizing=Quantizing(calibrate, data, settings))

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    under(QUANTIZATION, _NAMES, wrapped)
    finished = data_options(wrapped)
    under(DATA, DataOptions.__dataclass_fields__, finished)
    return finished
