# SPDX-License-Identifier: Apache-2.0
"""The options of calibration and evaluation data, for every command that reads such data."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from ..data.options import COLORS, FEATURES, RESIZE, SPECTRA, DataOptions, parse_number, parse_numbers


def _number(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """`0.5` or `1/255`."""
    return None if text is None else parse_number(parameter.opts[0], text)


def _numbers(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[float, ...]:
    """`0.485,0.456,0.406`."""
    return () if text is None else parse_numbers(parameter.opts[0], text)


_OPTIONS: Final = (
    click.option("--samples", type=int, help="Take this many samples, chosen by their contents.  [default: all]"),
    click.option(
        "--labels",
        type=click.Path(path_type=Path),
        help="Labels: .npy, or .csv with `name,label` or one label per line.  [default: folder names, or beside the data]",
    ),
    click.option("--label-column", help="Column of a .csv with the label, by name or number from 0; -1 is the last."),
    click.option(
        "--scale",
        metavar="NUMBER",
        callback=_number,
        help="real = (raw * SCALE - MEAN) / STD, such as 1/255.  [default: 1]",
    ),
    click.option("--mean", metavar="A,B,C", callback=_numbers, help="One number, or one per channel.  [default: 0]"),
    click.option("--std", metavar="A,B,C", callback=_numbers, help="One number, or one per channel.  [default: 1]"),
    click.option(
        "--resize", type=click.Choice(RESIZE), help="How images get the model's size.  [default: they must have it]"
    ),
    click.option(
        "--color", type=click.Choice(COLORS), help="Order of channels.  [default: gray for one, rgb for three]"
    ),
    click.option("--sample-rate", type=int, help="Hz; recordings are resampled to it.  [default: that of the files]"),
    click.option("--window", type=int, help="Samples per cut of a recording.  [default: what the input needs]"),
    click.option("--hop", type=int, help="Samples from cut to cut.  [default: the window]"),
    click.option(
        "--features", type=click.Choice(FEATURES), default="none", show_default=True, help="Features of recordings."
    ),
    click.option("--frame-length", type=int, help="Samples per frame of features.  [default: 30 ms]"),
    click.option("--frame-stride", type=int, help="Samples from frame to frame.  [default: 20 ms]"),
    click.option("--fft", type=int, help="Points, a power of two.  [default: the smallest with room for a frame]"),
    click.option("--mels", type=int, help="Mel bands.  [default: 40, or the input's width for log-mel]"),
    click.option("--mel-low", type=float, default=20.0, show_default=True, help="Lower edge of the bands in Hz."),
    click.option("--mel-high", type=float, help="Upper edge of the bands in Hz.  [default: half the sample rate]"),
    click.option("--coefficients", type=int, help="Of MFCC.  [default: what the input has]"),
    click.option(
        "--spectrum", type=click.Choice(SPECTRA), default="magnitude", show_default=True, help="What the bands sum."
    ),
)

_NAMES: Final = tuple(DataOptions.__dataclass_fields__)


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the data options to a command, which gets them as one argument `data: DataOptions`."""

    @functools.wraps(command)
    def wrapped(**arguments: Any) -> Any:
        known = {name: arguments.pop(name) for name in _NAMES}
        return command(**arguments, data=DataOptions(**known))

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
