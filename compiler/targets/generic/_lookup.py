# SPDX-License-Identifier: Apache-2.0
"""Operators on 8-bit elements as a table of all 256 results, made at build time by the reference."""

from __future__ import annotations

from collections.abc import Callable

from ...graph import Layer
from ...ops._elementwise import Values, lookup_table
from ...program import Binding, Constant, Input, Output, Scalar, Table
from .. import Kernel, always


def lookup_kernel(
    op: str, values: Values, applies: Callable[[Layer], bool] = always, dtype: str | None = "int8"
) -> Kernel:
    """`tinyc_lookup_x8` for an operator that applies `values` to every element; `dtype` as in :class:`Kernel`."""

    def bind(layer: Layer) -> Binding:
        return Binding(
            args=(Table("table"), Input(0), Output(), Scalar(layer.output.elements)),
            constants=(Constant("table", lookup_table(layer, values)),),
            overlap={0: 0},
        )

    return Kernel("tinyc_lookup_x8", op, bind, lambda layer: 6.0 * layer.output.elements, applies, dtype=dtype)
