# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED for the DSP extension, one row at a time: for a single row, where a pair of rows would be wasted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...graph import Array, Layer
from ...ops._fixed_point import activation_range
from ...program import Binding, Constant, Input, Output, Params, ParamsPointer, Scratch, Table
from .. import Kernel
from . import _stream
from .fully_connected import applies, product

#: The kernel's steps take so many k.
STEP = 8


#: Where memory is short, at most so many inputs are copied to scratch as halfwords, two bytes each; the others cost a fifth more.
WIDENED = 320

#: (inputs copied first, a multiple of STEP; inputs copied from the end, fewer than STEP).
Widened = tuple[int, int]


def _widened(depth: int, most: int | None) -> Widened:
    if most is None or depth <= most:
        return depth // STEP * STEP, depth % STEP
    last = depth % 4
    return (most - STEP if last else most), last


def ordered(weights: Array, widened: Widened) -> Array:
    """Weights [units, depth] in the order of the kernel: inputs between the copied ones, the copied ones, zeros up to whole steps."""
    depth = weights.shape[1]
    first, last = widened
    parts = [weights[:, first : depth - last], weights[:, :first], weights[:, depth - last :]]
    return np.pad(np.concatenate(parts, axis=1), ((0, 0), (0, -(first + last) % STEP)))


def lead(rows: int, depth: int, units: int, widened: Widened) -> int:
    """The lead over the input: rows one after the other, four units at a time, each of which reads the inputs that are not copied."""
    first, last = widened
    row = np.arange(rows)
    found = [0]
    if first + last < depth:
        found.append(int((row * (units - depth) + (units - 1) // 4 * 4 - first).max()))
    if rows > 1:
        found.append(int((row[1:] * (units - depth)).max()))
    return min(max(found), rows * units)


def _bind(layer: Layer, most: int | None) -> Binding:
    p = product(layer)
    units, depth = p.weights.shape
    low, high = activation_range(layer.attributes["activation"], layer.output)
    widened = _widened(depth, most)
    fields = {
        "batches": p.rows,
        "input_depth": depth,
        "widened": sum(widened),
        "output_depth": units,
        "activation_min": low,
        "activation_max": high,
    }
    moved = replace(p, weights=ordered(p.weights, widened))
    return Binding(
        args=(ParamsPointer(), Input(0), Table("stream"), Output(), Scratch()),
        params=Params("tinyc_fully_connected_dsp_params", fields),
        constants=(Constant("stream", _stream.pack(moved, layer.output.zero_point)),),
        scratch=2 * (-(-sum(widened) // STEP) * STEP) + 4,
        overlap={0: lead(p.rows, depth, units, widened)},
    )


def _cost(layer: Layer, most: int | None) -> float:
    """Instructions, counted in the assembly, and fitted to Cortex-M4 with arm-none-eabi-gcc 12 -O2 for the rest."""
    units, depth = layer.input(1).shape
    first, last = _widened(depth, most)
    steps, direct = -(-(first + last) // STEP), (depth - first - last) // 4
    block = 38.0 + 27.0 * steps + 3.0 * -(-steps // 4)
    if direct:
        block += 5.0 + 16.0 * direct + 2.0 * -(-direct // 4)
    row = 70.0 + 9.0 * (first // STEP) + (25.0 if last else 0.0) + -(-units // 4) * block + (58.0 if units % 4 else 0.0)
    low, high = activation_range(layer.attributes["activation"], layer.output)
    return 50.0 + layer.output.elements // units * (row + (0.0 if (low, high) == (-128, 127) else 20.0 + 2.0 * units))


def _kernel(most: int | None) -> Kernel:
    """The kernel with at most so many inputs in scratch."""
    return Kernel(
        "tinyc_fully_connected_s8_dsp",
        "FULLY_CONNECTED",
        lambda layer: _bind(layer, most),
        lambda layer: _cost(layer, most),
        lambda layer: applies(layer) and (most is None or layer.input(1).shape[1] > most),
        isa="cortex_m_dsp",
    )


KERNELS = (_kernel(None), _kernel(WIDENED))
