# SPDX-License-Identifier: Apache-2.0
"""Which operators of an original model are inside the Edge TPU's part of the compiled file, and which are left outside."""

from __future__ import annotations

from ...graph import Graph, Layer
from .reader import is_edgetpu


def inside(original: Graph, compiled: Graph) -> tuple[frozenset[int], tuple[int, ...]]:
    """Indices of the original's operators that the compiled file has no more, and of its own that the original lacks.

    The compiler keeps an operator that stays on the CPU as it is, with the name of its output. So an operator is the
    same when kind and output name agree; where names were changed, kind and output shape decide, in order.
    """
    rest = list(original.layers())
    new = []
    for layer in compiled.layers():
        if is_edgetpu(layer.node):
            continue
        match = next((candidate for candidate in rest if _same_name(candidate, layer)), None)
        match = match or next((candidate for candidate in reversed(rest) if _same_shape(candidate, layer)), None)
        if match is None:
            new.append(layer.node.index)
        else:
            rest.remove(match)
    return frozenset(layer.node.index for layer in rest), tuple(new)


def _same_name(one: Layer, two: Layer) -> bool:
    return one.op == two.op and [t.name for t in one.outputs] == [t.name for t in two.outputs]


def _same_shape(one: Layer, two: Layer) -> bool:
    return one.op == two.op and [(t.shape, t.dtype) for t in one.outputs] == [(t.shape, t.dtype) for t in two.outputs]
