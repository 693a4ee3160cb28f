# SPDX-License-Identifier: Apache-2.0
"""Dilated convolutions that converters write as SPACE_TO_BATCH_ND, a plain convolution and BATCH_TO_SPACE_ND become one layer.

Keras's Conv1D with a dilation rate is always written so. Both forms compute the same, quantized too: what is padded is the zero
point, which adds nothing. (TFLite Micro's SPACE_TO_BATCH_ND pads with 0 instead, and is wrong where the zero point is another.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Array, Graph, Node, Tensor

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
#: What stands between a sequence [batch, length, channels] and the image that CONV_2D takes.
TO_IMAGE, FROM_IMAGE = ("EXPAND_DIMS", "RESHAPE"), ("SQUEEZE", "RESHAPE")


@dataclass(frozen=True)
class _Found:
    """Positions of the nodes: the layers into the image and out of it are None where there are none."""

    spread: int
    into: int | None
    convolution: int
    out: int | None
    collect: int


def fold_dilation(graph: Graph) -> Graph:
    """`graph` with every such group as one convolution with a dilation."""
    tensors, nodes = list(graph.tensors), list(graph.nodes)
    maker = {output: position for position, node in enumerate(nodes) for output in node.outputs}
    uses: dict[int, int] = {}
    for index in [*graph.outputs, *(i for node in nodes for i in node.inputs)]:
        uses[index] = uses.get(index, 0) + 1
    gone: set[int] = set()
    for position, node in enumerate(nodes):
        if node.op != "BATCH_TO_SPACE_ND":
            continue
        try:
            found = _group(nodes, maker, uses, position)
            made = None if found is None else _convolution(tensors, nodes, found)
        except (ValueError, IndexError, KeyError, TypeError):  # a damaged file: the operators' own rules will say it
            continue
        if found is not None and made is not None:
            gone |= {found.spread, found.convolution, found.collect} | {
                p for p in (found.into, found.out) if p is not None
            }
            nodes[position] = made[-1]
            gone.discard(position)
            # The layers before the last one take the places of those that go.
            for place, new in zip((found.spread, found.convolution), made[:-1], strict=False):
                nodes[place] = new
                gone.discard(place)
    kept = tuple(node for position, node in enumerate(nodes) if position not in gone)
    return replace(graph, tensors=tuple(tensors), nodes=kept)


def _group(nodes: list[Node], maker: Mapping[int, int], uses: Mapping[int, int], collect: int) -> _Found | None:
    def before(position: int) -> int | None:
        """The node that makes input 0, if nothing else reads it."""
        index = nodes[position].inputs[0]
        return maker.get(index) if uses[index] == 1 else None

    out = None
    convolution = before(collect)
    if convolution is not None and nodes[convolution].op in FROM_IMAGE:
        out, convolution = convolution, before(convolution)
    if convolution is None or nodes[convolution].op not in CONVOLUTIONS:
        return None
    into = None
    spread = before(convolution)
    if spread is not None and nodes[spread].op in TO_IMAGE:
        into, spread = spread, before(spread)
    if spread is None or nodes[spread].op != "SPACE_TO_BATCH_ND" or (into is None) != (out is None):
        return None
    return _Found(spread, into, convolution, out, collect)


def _constant(tensors: list[Tensor], node: Node, position: int) -> Array | None:
    return tensors[node.inputs[position]].data if position < len(node.inputs) else None


def _convolution(tensors: list[Tensor], nodes: list[Node], found: _Found) -> list[Node] | None:
    """The layers that take the group's place, in order; None where the group is something else."""
    spread, convolution, collect = nodes[found.spread], nodes[found.convolution], nodes[found.collect]
    values = [_constant(tensors, node, k) for node in (spread, collect) for k in (1, 2)]
    source, result = tensors[spread.inputs[0]], tensors[collect.outputs[0]]
    attributes = convolution.attributes
    plain = attributes.get("padding") == "VALID" and (attributes.get("stride"), attributes.get("dilation")) == (
        (1, 1),
        (1, 1),
    )
    if (
        any(value is None for value in values)
        or not plain
        or source.quantization != tensors[convolution.inputs[0]].quantization
    ):
        return None
    block, pads, block_after, crops = (np.asarray(value).tolist() for value in values)
    rank = len(source.shape)
    if (
        block != block_after
        or rank != len(result.shape)
        or len(block) != rank - 2
        or not len(pads) == len(crops) == len(block)
    ):
        return None
    if result.quantization != tensors[convolution.outputs[0]].quantization:
        return None
    if rank == 4 and found.into is None:
        return _two(tensors, convolution, spread, collect, block, pads, crops)
    if rank == 3 and found.into is not None and found.out is not None:
        return _one(tensors, nodes, found, int(block[0]), pads, crops)
    return None


def _padding(length: int, out: int, taps: int, dilation: int, pads: list[int], crops: list[int]) -> str | None:
    """SAME or VALID along one axis, or None when the zeros are elsewhere."""
    reach = (taps - 1) * dilation
    if dilation < 1 or crops[0] != 0 or out != length + pads[0] + pads[1] - reach - crops[1]:
        return None
    if pads[0] == 0 and out == length - reach:
        return "VALID"
    return "SAME" if pads[0] == reach // 2 and out == length else None


def _two(
    tensors: list[Tensor],
    convolution: Node,
    spread: Node,
    collect: Node,
    block: list[int],
    pads: list[list[int]],
    crops: list[list[int]],
) -> list[Node] | None:
    source, result = tensors[spread.inputs[0]].shape, tensors[collect.outputs[0]].shape
    taps = tensors[convolution.inputs[1]].shape[1:3]
    paddings = [_padding(source[1 + k], result[1 + k], taps[k], block[k], pads[k], crops[k]) for k in (0, 1)]
    # Along an axis with one tap, SAME and VALID are the same.
    kinds = {padding for padding, count in zip(paddings, taps, strict=True) if count > 1} or {"VALID"}
    if len(kinds) != 1 or None in paddings:
        return None
    attributes = {**convolution.attributes, "padding": kinds.pop(), "dilation": tuple(block)}
    inputs = (spread.inputs[0], *convolution.inputs[1:])
    return [replace(convolution, inputs=inputs, outputs=collect.outputs, attributes=attributes)]


def _one(
    tensors: list[Tensor],
    nodes: list[Node],
    found: _Found,
    dilation: int,
    pads: list[list[int]],
    crops: list[list[int]],
) -> list[Node] | None:
    """A sequence: the image is one pixel high, or wide."""
    spread, convolution, collect = nodes[found.spread], nodes[found.convolution], nodes[found.collect]
    source, result = tensors[spread.inputs[0]], tensors[collect.outputs[0]]
    before, after = tensors[convolution.inputs[0]], tensors[convolution.outputs[0]]
    spread_length = tensors[spread.outputs[0]].shape[1]
    axis = 2 if before.shape[1] == 1 and before.shape[2] == spread_length else 1
    other = 3 - axis
    taps = tensors[convolution.inputs[1]].shape
    padding = _padding(source.shape[1], result.shape[1], taps[axis], dilation, pads[0], crops[0])
    if padding is None or before.shape[other] != 1 or after.shape[other] != 1 or taps[other] != 1:
        return None

    def image(tensor: Tensor, length: int) -> Tensor:
        shape = [source.shape[0], 1, 1, tensor.shape[3]]
        shape[axis] = length
        return replace(tensor, shape=tuple(shape), name=f"{tensor.name}/dilated")

    def constant(shape: tuple[int, ...], name: str) -> int:
        tensors.append(Tensor(name, (len(shape),), "int32", None, np.array(shape, np.int32)))
        return len(tensors) - 1

    first, second = len(tensors), len(tensors) + 1
    tensors += [image(before, source.shape[1]), image(after, result.shape[1])]
    wide, narrow = tensors[first].shape, result.shape
    dilations = (1, dilation) if axis == 2 else (dilation, 1)
    attributes = {**convolution.attributes, "padding": padding, "dilation": dilations}
    return [
        Node(
            "RESHAPE",
            (spread.inputs[0], constant(wide, f"{before.name}/shape")),
            (first,),
            {"new_shape": wide},
            1,
            spread.index,
        ),
        replace(convolution, inputs=(first, *convolution.inputs[1:]), outputs=(second,), attributes=attributes),
        Node(
            "RESHAPE",
            (second, constant(narrow, f"{after.name}/shape")),
            collect.outputs,
            {"new_shape": narrow},
            1,
            collect.index,
        ),
    ]
