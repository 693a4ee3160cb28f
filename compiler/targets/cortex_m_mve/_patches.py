# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions for tinyc_depthwise_conv_3x3_s8_mve: 4x4 patches of one channel, reduced by VMLADAV."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...graph import Array, Layer
from ...ops._convolution import Axis
from ...program import Binding, Params
from .. import _groups
from .._overlap import Block
from ._channels import Channels, call, clamps, is_clamped, words

#: Bytes of scratch for a transposed strip that more channels at a time are not worth.
STRIP_BYTES = 2048

#: Offsets between the outputs of two patches are 16-bit.
OFFSET_LIMIT = 1 << 16


@dataclass(frozen=True)
class Lines:
    """An image as lines of places: rows of columns (`by_rows`), or columns of rows.

    A `small` pass has 16 channels. Where lines are `kept`, a pass goes through the whole image before the next one and reads every
    line once, so that outputs may replace the inputs.
    """

    batches: int
    channels: int
    line: Axis
    place: Axis
    by_rows: bool
    small: bool = False
    kept: bool = False

    @property
    def stride(self) -> int:
        return self.line.stride

    def steps(self, lines: int, places: int) -> tuple[int, int]:
        """Bytes from line to line and from place to place of an image of so many."""
        if self.by_rows:
            return places * self.channels, self.channels
        return self.channels, lines * self.channels

    @property
    def places(self) -> int:
        """Places of a strip."""
        needed = max(self.place.output, 4) if self.stride == 2 else self.place.output
        return self.stride * needed + 2

    @property
    def pass_channels(self) -> int:
        """Channels at a time: all, if the strip is small, or a multiple of 16."""
        groups = 1 if self.small else max(STRIP_BYTES // (64 * self.places), 1)
        return min(self.channels, 16 * groups)

    @property
    def scratch(self) -> int:
        return -(-self.pass_channels // 16) * 64 * self.places + 16

    @property
    def can_keep(self) -> bool:
        """Where there is one output for each input: strips are two lines apart then, and need nothing that was replaced."""
        same = all(axis.input == axis.output for axis in (self.line, self.place))
        return self.stride == 1 and same

    @property
    def fits(self) -> bool:
        line, place = self.steps(self.line.output, self.place.output)
        if self.stride == 1:
            return self.line.output >= 2 and self.place.output >= 2 and 3 * place + line < OFFSET_LIMIT
        return True


def orientations(batches: int, height: Axis, width: Axis, channels: int) -> list[Lines]:
    """The ways in which the kernel can take the image, none for filters and strides that it does not take."""
    if max(height.taps, width.taps) > 3 or (height.stride, width.stride) not in ((1, 1), (2, 2)):
        return []
    if any(axis.dilation > 1 and axis.taps > 1 for axis in (height, width)):
        return []
    both = [Lines(batches, channels, height, width, True), Lines(batches, channels, width, height, False)]
    return [replace(lines, kept=lines.can_keep) for lines in both if lines.fits]


def pack(lines: Lines, weights: Array, channels: Channels) -> Array:
    """The stream of int32 words that tinyc_kernels.h describes, from int8 `weights` [ky, kx, channel]."""
    by_line = weights if lines.by_rows else weights.transpose(1, 0, 2)
    taps = np.zeros((lines.channels, 4, 4), np.int8)
    taps[:, : by_line.shape[1], : by_line.shape[0]] = by_line.transpose(2, 1, 0)
    records = words(np.stack([channels.bias, channels.multiplier, channels.shift], axis=1))
    return np.concatenate([taps.reshape(-1, 16).view(np.int32), records], axis=1).reshape(-1)


def bind(layer: Layer, lines: Lines, weights: Array, channels: Channels) -> Binding:
    """The call of tinyc_depthwise_conv_3x3_s8_mve."""
    low, high = clamps(layer)
    input_steps = lines.steps(lines.line.input, lines.place.input)
    output_steps = lines.steps(lines.line.output, lines.place.output)
    params = Params(
        "tinyc_depthwise_conv_3x3_mve_params",
        {
            "batches": lines.batches,
            "channels": lines.channels,
            "pass_channels": lines.pass_channels,
            "stride": lines.stride,
            "input_lines": lines.line.input,
            "input_places": lines.place.input,
            "input_line_step": input_steps[0],
            "input_place_step": input_steps[1],
            "output_lines": lines.line.output,
            "output_places": lines.place.output,
            "output_line_step": output_steps[0],
            "output_place_step": output_steps[1],
            "pad_lines": lines.line.pad,
            "pad_places": lines.place.pad,
            "input_zero_point": layer.input(0).zero_point,
            "output_zero_point": layer.output.zero_point,
            "activation_min": low,
            "activation_max": high,
            "ties": int(channels.ties),
            "kept": int(lines.kept),
        },
    )
    found = call(params, pack(lines, weights, channels), lines.scratch, _overlap(layer, lines))
    return replace(found, in_place=_groups.in_place(layer, lines.kept))


def _overlap(layer: Layer, lines: Lines) -> dict[int, int]:
    """Strips of rows go down the image, pass by pass. Those of columns need the whole image to the end, and so does a pass that goes
    through it before the next one."""
    if not lines.by_rows:
        return {}
    if lines.kept:
        return {0: 0} if lines.pass_channels == lines.channels else {}
    height, width, together = lines.line.output, lines.place.output, 2 if lines.stride == 1 else 1
    parts: list[Block] = []
    for batch in range(lines.batches):
        for first in range(0, height, together):
            row = batch * height + min(first, height - together)
            parts.append((row * width, (row + together) * width))
    return {0: _groups.lead(layer, lines.pass_channels, parts, multiplier=1)}


def cost(layer: Layer, lines: Lines) -> float:
    """Instructions of tinyc_depthwise_conv_3x3_s8_mve; those of the assembly are counted, the rest fitted."""
    outputs, tie = lines.place.output, 1 if clamps(layer)[0] < layer.output.zero_point else 0
    rest = outputs % 4
    if lines.stride == 1:
        strips = -(-lines.line.output // 2)
        channel = 16 + tie + outputs // 4 * (27 + 2 * tie) + (5 + (rest + 1) // 2 * (16 + tie) if rest else 0)
    else:
        strips = lines.line.output
        channel = 11 + tie + max(outputs // 4, 1) * (20 + tie) + (22 + tie if rest and outputs > 4 else 0)
    groups = -(-lines.channels // 16)
    passes = -(-lines.channels // lines.pass_channels)
    strip = passes * 145 + groups * (95 + 14 * min(lines.place.input, lines.places)) + lines.channels * channel
    total = lines.batches * strips * strip + lines.scratch / 4 + 280
    return total + (0.6 * layer.output.elements if is_clamped(layer) else 0.0)
