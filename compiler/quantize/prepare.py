# SPDX-License-Identifier: Apache-2.0
"""Any network as a float32 one: what quantization starts from.

Files hold float networks in many forms: float16 weights behind a DEQUANTIZE, dynamic-range (hybrid) ones with int8 weights, legacy
uint8 ones, networks that are quantized in part. All become one float32 graph; what integers said about ranges is kept beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import ModelError
from ..graph import Array, Graph, Layer, Node, Quantization, Tensor, short_name
from ..ops import all_ops
from ..passes.drop_unused import drop_unused
from ..passes.fold_dilation import fold_dilation
from ..passes.fold_shapes import fold_shapes

#: Operators that only change the type: in a float32 network they do nothing.
CASTS = ("QUANTIZE", "DEQUANTIZE", "FAKE_QUANT")
#: Operators whose input 1 holds weights and whose input 2 is a bias at the scale input x weights.
LINEAR = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_CLAMPS = {"RELU": "RELU", "RELU6": "RELU6", "RELU_N1_TO_1": "RELU_N1_TO_1"}
#: Operators into which a following clamp goes.
_FUSES = (*LINEAR, "ADD", "SUB", "MUL")
_FLOATS = ("float32", "float16", "float64")
_DAMAGED = "the file is damaged; download, copy or convert it again"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A float32 graph, and what integers in the file said.

    Attributes:
        graph: all in float32.
        known: the quantization that the file gave to activations, as int8, by tensor index.
        grids: the scales of weights that were integers, one or one per channel, by tensor index: they lie on these steps.
    """

    graph: Graph
    known: Mapping[int, Quantization]
    grids: Mapping[int, tuple[float, ...]] = field(default_factory=dict)


def prepare(graph: Graph) -> Prepared:
    """`graph` in float32, shapes computed, type conversions gone, batch norms folded and clamps fused."""
    _check_inputs(graph)
    folded = fold_dilation(fold_shapes(graph))
    known = {i: q for i, tensor in enumerate(folded.tensors) if (q := _known(tensor)) is not None}
    plain = _without_casts(_in_float32(folded), known)
    _check_constants(plain)
    fused = _fuse_clamps(_fold_scaling(_fuse_clamps(plain)))
    grids = {
        i: tensor.quantization.scale
        for i, tensor in enumerate(folded.tensors)
        if tensor.data is not None and tensor.quantization is not None and tensor.dtype in ("int8", "uint8", "int4")
    }
    return Prepared(drop_unused(_with_biases(fused)), known, grids)


def _check_inputs(graph: Graph) -> None:
    """Raises ModelError for a layer without the inputs or outputs that all layers of its kind have: a damaged file."""
    for layer in graph.layers():
        node, least = layer.node, 2 if layer.op in _FUSES else 1 if layer.op in (*CASTS, *_CLAMPS) else 0
        if least and (len(node.inputs) < least or min(node.inputs[:least]) < 0 or len(node.outputs) != 1):
            found = f"{len(node.inputs)} inputs and {len(node.outputs)} outputs"
            raise ModelError(layer.where, found, expected=f"at least {least}, and 1", hint=_DAMAGED)


def _check_constants(graph: Graph) -> None:
    """Raises ModelError for weights without an axis for the output channels, and for outputs that nothing computes."""
    for index, name in zip(graph.outputs, graph.output_names, strict=True):
        if graph.tensors[index].data is not None:
            raise ModelError(f"output '{short_name(name)}'", "is a constant", hint="leave it out of the model")
    for layer in graph.layers():
        if layer.op in LINEAR and len(layer.input(1).shape) <= channel_axis(layer.op):
            raise ModelError(layer.where, f"weights of shape {list(layer.input(1).shape)}", hint=_DAMAGED)


def is_integer(graph: Graph) -> bool:
    """Whether no layer but type conversions works on real numbers, or on the uint8 of old."""
    return not any(_real(graph, node) for node in graph.nodes)


def _real(graph: Graph, node: Node) -> bool:
    return any(graph.tensors[i].dtype in (*_FLOATS, "uint8") for i in node.outputs) and node.op not in CASTS


def _known(tensor: Tensor) -> Quantization | None:
    """The quantization of an 8-bit activation, uint8 moved down by 128."""
    q = tensor.quantization
    if tensor.data is not None or tensor.dtype not in ("int8", "uint8") or q is None or len(q.scale) != 1:
        return None
    return q if tensor.dtype == "int8" else replace(q, zero_point=(q.zero_point[0] - 128,))


# Types


def _in_float32(graph: Graph) -> Graph:
    """Every activation, weight and bias in float32; integers that count or select (axes, shapes) stay."""
    biases = {
        node.inputs[2]: (node.inputs[0], node.inputs[1])
        for node in graph.nodes
        if node.op in LINEAR and len(node.inputs) > 2 and node.inputs[2] >= 0
    }
    tensors = [
        _float_tensor(graph, tensor, biases.get(index) if tensor.data is not None else None)
        for index, tensor in enumerate(graph.tensors)
    ]
    return replace(graph, tensors=tuple(tensors))


def _float_tensor(graph: Graph, tensor: Tensor, bias_of: tuple[int, int] | None) -> Tensor:
    if tensor.dtype in _FLOATS:
        data = None if tensor.data is None else tensor.data.astype(np.float32)
        return replace(tensor, dtype="float32", data=data, quantization=None)
    if bias_of is not None and tensor.quantization is None and tensor.data is not None:
        source, weights = (graph.tensors[i].quantization for i in bias_of)
        if source is None or weights is None:
            return tensor
        scale = np.float64(source.scale[0]) * np.array(weights.scale, np.float64)
        with np.errstate(over="ignore"):  # what is not finite then is refused by name
            data = (tensor.data * scale).astype(np.float32)
        return replace(tensor, dtype="float32", data=data, quantization=None)
    if tensor.quantization is None or tensor.dtype not in ("int8", "uint8", "int16", "int32", "int64", "int4", "int2"):
        return tensor
    return replace(tensor, dtype="float32", data=dequantized(tensor), quantization=None)


def dequantized(tensor: Tensor) -> Array | None:
    """The real values of a quantized constant as float32; None for an activation."""
    if tensor.data is None:
        return None
    q = tensor.quantization
    assert q is not None
    shape = [1] * max(len(tensor.shape), 1)
    if q.per_channel:
        shape[q.axis] = -1
    scale, zero_point = np.array(q.scale, np.float64), np.array(q.zero_point, np.int64)
    if not q.per_channel:
        scale, zero_point = scale[:1], zero_point[:1]
    values = (tensor.data.astype(np.int64) - zero_point.reshape(shape)) * scale.reshape(shape)
    with np.errstate(over="ignore"):
        return values.astype(np.float32).reshape(tensor.shape)


def _without_casts(graph: Graph, known: dict[int, Quantization]) -> Graph:
    """Conversions between types are gone: who read their output reads their input, which takes over what is known of it."""
    instead: dict[int, int] = {}
    tensors, kept = list(graph.tensors), []
    for node in graph.nodes:
        inputs = tuple(instead.get(i, i) for i in node.inputs)
        if node.op in CASTS and all(tensors[i].dtype == "float32" for i in (inputs[0], node.outputs[0])):
            instead[node.outputs[0]] = inputs[0]
            if node.outputs[0] in known:
                known.setdefault(inputs[0], known[node.outputs[0]])
        else:
            kept.append(replace(node, inputs=inputs))
    outputs = tuple(instead.get(i, i) for i in graph.outputs)
    return replace(graph, tensors=tuple(tensors), nodes=tuple(kept), outputs=outputs)


def _with_biases(graph: Graph) -> Graph:
    """Every layer with constant weights has a bias: quantization may need to add to it."""
    tensors, nodes = list(graph.tensors), []
    for node in graph.nodes:
        if (
            node.op in LINEAR
            and (len(node.inputs) < 3 or node.inputs[2] < 0)
            and tensors[node.inputs[1]].data is not None
        ):
            name, channels = tensors[node.outputs[0]].name, tensors[node.inputs[1]].shape[channel_axis(node.op)]
            tensors.append(Tensor(f"{name}/bias", (channels,), "float32", None, np.zeros(channels, np.float32)))
            node = replace(node, inputs=(*node.inputs[:2], len(tensors) - 1))
        nodes.append(node)
    return replace(graph, tensors=tuple(tensors), nodes=tuple(nodes))


# Fusion


def _consumers(graph: Graph) -> Mapping[int, int]:
    counts: dict[int, int] = {}
    for index in [*graph.outputs, *(i for node in graph.nodes for i in node.inputs)]:
        counts[index] = counts.get(index, 0) + 1
    return counts


def _fuse_clamps(graph: Graph) -> Graph:
    """RELU, RELU6 and RELU_N1_TO_1 as the fused activation of the layer before them."""
    consumers, nodes = _consumers(graph), list(graph.nodes)
    maker = {output: position for position, node in enumerate(nodes) for output in node.outputs}
    for position, node in enumerate(nodes):
        before = maker.get(node.inputs[0]) if node.op in _CLAMPS else None
        if before is None or consumers[node.inputs[0]] != 1 or nodes[before].op not in _FUSES:
            continue
        if nodes[before].attributes.get("activation") != "NONE":
            continue
        attributes = {**nodes[before].attributes, "activation": _CLAMPS[node.op]}
        nodes[before] = replace(nodes[before], attributes=attributes, outputs=node.outputs)
        maker[node.outputs[0]] = before
        nodes[position] = replace(node, op="", outputs=())
    return replace(graph, nodes=tuple(node for node in nodes if node.op))


def _fold_scaling(graph: Graph) -> Graph:
    """MUL, ADD and SUB by constants per channel, as batch norms leave them, become part of the weights and bias before them."""
    consumers, nodes, tensors = _consumers(graph), list(graph.nodes), list(graph.tensors)
    maker = {output: position for position, node in enumerate(nodes) for output in node.outputs}
    for position, node in enumerate(nodes):
        factor = _per_channel(tensors, node)
        if factor is None:
            continue
        before = maker.get(node.inputs[0])
        if before is None or consumers[node.inputs[0]] != 1 or not _foldable(nodes[before], tensors):
            continue
        nodes[before] = _scaled(nodes[before], node, factor, tensors)
        maker[node.outputs[0]] = before
        nodes[position] = replace(node, op="", outputs=())
    return replace(graph, nodes=tuple(node for node in nodes if node.op), tensors=tuple(tensors))


def _per_channel(tensors: Sequence[Tensor], node: Node) -> Array | None:
    """The constant of a MUL, ADD or SUB as one value per channel of its output; None where it is none."""
    if node.op not in ("MUL", "ADD", "SUB") or len(node.inputs) != 2 or tensors[node.inputs[0]].data is not None:
        return None
    constant, output = tensors[node.inputs[1]], tensors[node.outputs[0]]
    if constant.data is None or constant.dtype != "float32" or not output.shape:
        return None
    if tensors[node.inputs[0]].shape != output.shape:
        return None
    channels = output.shape[-1]
    if constant.elements == 1 or (constant.elements == channels == constant.shape[-1]):
        return np.broadcast_to(constant.data.reshape(-1), (channels,))
    return None


def _foldable(node: Node, tensors: Sequence[Tensor]) -> bool:
    constants = all(i < 0 or (tensors[i].dtype == "float32" and tensors[i].data is not None) for i in node.inputs[1:])
    return node.op in LINEAR and node.attributes["activation"] == "NONE" and constants


def _scaled(linear: Node, node: Node, factor: Array, tensors: list[Tensor]) -> Node:
    """`linear` with `node` behind it in it; new constants are appended to `tensors`."""
    weights = tensors[linear.inputs[1]]
    assert weights.data is not None
    old = tensors[linear.inputs[2]].data if len(linear.inputs) > 2 and linear.inputs[2] >= 0 else None
    bias = np.zeros(len(factor), np.float32) if old is None else old.reshape(-1)
    scaled = weights
    if node.op == "MUL":
        shape = [1] * weights.data.ndim
        shape[channel_axis(linear.op)] = -1
        scaled = replace(weights, data=(weights.data * factor.reshape(shape)).astype(np.float32))
        bias = bias * factor
    else:
        bias = bias + factor if node.op == "ADD" else bias - factor
    name = tensors[node.outputs[0]].name
    tensors += [scaled, Tensor(f"{name}/bias", bias.shape, "float32", None, bias.astype(np.float32))]
    inputs = (linear.inputs[0], len(tensors) - 2, len(tensors) - 1)
    activation = node.attributes.get("activation", "NONE")
    return replace(
        linear, inputs=inputs, outputs=node.outputs, attributes={**linear.attributes, "activation": activation}
    )


def channel_axis(op: str) -> int:
    """The axis of an operator's weights that counts output channels."""
    rule = all_ops()[op].integer
    assert rule is not None and rule.channels is not None, op
    return rule.channels


def linear(layer: Layer) -> bool:
    """Whether the layer has constant weights with a scale per output channel."""
    rule = all_ops()[layer.op].integer
    return rule is not None and rule.channels is not None and layer.input(1).data is not None
