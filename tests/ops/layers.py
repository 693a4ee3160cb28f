# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for one-operator graphs of the convolutions and FULLY_CONNECTED."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from tinyc import reference
from tinyc.graph import Graph, Quantization, Tensor, single_node_graph
from tinyc.ops import all_ops, problems

ZERO_POINTS = st.sampled_from([-128, 127, 0, -1]) | st.integers(-128, 127)
ACTIVATIONS = st.sampled_from(["NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1"])


def scale(value: float) -> float:
    """`value` as the float32 that a file holds."""
    return float(np.float32(value))


@st.composite
def scales(draw: st.DrawFn, channels: int, terms: int) -> tuple[float, float, tuple[float, ...]]:
    """(input, output, filter scales): mostly such that outputs fill the range, else far off or powers of two (ties)."""
    kind = draw(st.sampled_from(["usual", "usual", "usual", "power of two", "wild"]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([1, channels]))
    if kind == "power of two":
        return 1.0, 1.0, tuple(2.0 ** int(e) for e in random.integers(-14, 3, count))
    if kind == "wild":
        source, *filters = 10.0 ** random.uniform(-12, 4, count + 1)
        output = source * max(filters) / 10.0 ** random.uniform(-8, 8.7)
        return scale(source), scale(max(output, 2.0**-27)), tuple(scale(f) for f in filters)
    source, output = random.uniform(0.001, 1.0, 2)
    per_step = 100 * 128 * np.sqrt(terms) * source / output
    return scale(source), scale(output), tuple(scale(100 / per_step * f) for f in random.uniform(0.3, 3.0, count))


@st.composite
def biases(draw: st.DrawFn, count: int, optional: bool = True) -> Tensor | None:
    """int32 biases: absent, usual or of the whole range."""
    kinds = ["usual", "usual", "huge"] + (["absent"] if optional else [])
    limit = {"usual": 20000, "huge": 2**31, "absent": 0}[draw(st.sampled_from(kinds))]
    if limit == 0:
        return None
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Tensor("bias", (count,), "int32", None, random.integers(-limit, limit, count).astype(np.int32))


@st.composite
def weights(draw: st.DrawFn, shape: tuple[int, ...], low: int = -128) -> npt.NDArray[np.int8]:
    """int8 weights, sometimes all at the ends of the range."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.integers(0, 5)) == 0:
        return random.choice([low, 127], shape).astype(np.int8)
    return random.integers(low, 128, shape).astype(np.int8)


def with_output_shape(
    op: str, inputs: tuple[Tensor | None, ...], output: Quantization, attributes: dict[str, Any]
) -> Graph:
    """The graph, its output shaped by the operator's own rule (which TFLite Micro then confirms or refutes)."""
    draft = single_node_graph(op, inputs, (Tensor("output", (0, 0, 0, 0), "int8", output),), attributes)
    shape = tuple(all_ops()[op].output_shapes(next(draft.layers()))[0])
    return single_node_graph(op, inputs, (Tensor("output", shape, "int8", output),), attributes)


@st.composite
def fully_connected(draw: st.DrawFn) -> Graph:
    units, depth = draw(st.integers(1, 13)), draw(st.integers(1, 40))
    source, output, filter_scales = draw(scales(units, depth))
    zero_point = draw(st.sampled_from([0, 0, 5, -128, 127])) if len(filter_scales) == 1 else 0
    bias = draw(biases(units))
    if len(filter_scales) == 1 and source * filter_scales[0] / output > 1e4:
        bias = None  # TFLite Micro would take the float32 rounding of the bias's scale for a disagreement
    if bias is not None:
        bias = replace(bias, quantization=Quantization((scale(source * filter_scales[0]),), (0,)))
    filter_data = draw(weights((units, depth))) if draw(st.booleans()) else None
    rows = draw(st.sampled_from([(), (1,), (4,), (2, 3)]))
    quantization = Quantization(filter_scales, (zero_point,) * len(filter_scales))
    inputs = (
        Tensor("input", (*rows, depth), "int8", Quantization((source,), (draw(ZERO_POINTS),))),
        Tensor(
            "filter",
            (units, depth),
            "int8",
            quantization,
            filter_data,
        ),
        bias,
    )
    attributes = {"activation": draw(ACTIVATIONS), "weights_format": "DEFAULT", "keep_num_dims": len(rows) > 1}
    result = Tensor("output", (*rows, units), "int8", Quantization((output,), (draw(ZERO_POINTS),)))
    return single_node_graph("FULLY_CONNECTED", inputs, (result,), attributes)


@st.composite
def windows(draw: st.DrawFn, largest: int = 4) -> dict[str, Any]:
    """Filter size, image size, padding, stride, dilation and activation; with VALID the filter fits into the image."""
    size = draw(st.tuples(st.integers(1, largest), st.integers(1, largest)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 1), (1, 3), (2, 2)]))
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    least = [(taps - 1) * step + 1 if padding == "VALID" else 1 for taps, step in zip(size, dilation, strict=True)]
    return {
        "size": size,
        "image": (draw(st.integers(least[0], least[0] + 6)), draw(st.integers(least[1], least[1] + 6))),
        "attributes": {
            "padding": padding,
            "stride": draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 2), (3, 1)])),
            "dilation": dilation,
            "activation": draw(ACTIVATIONS),
        },
    }


@st.composite
def conv_2d(draw: st.DrawFn) -> Graph:
    window = draw(windows())
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    depth, filters = draw(st.integers(1, 9)), groups * draw(st.integers(1, 9))
    shape = (filters, *window["size"], depth)
    source, output, filter_scales = draw(scales(filters, depth * window["size"][0] * window["size"][1]))
    inputs = (
        Tensor(
            "input",
            (draw(st.integers(1, 2)), *window["image"], groups * depth),
            "int8",
            Quantization((source,), (draw(ZERO_POINTS),)),
        ),
        Tensor("filter", shape, "int8", Quantization(filter_scales, (0,) * len(filter_scales)), draw(weights(shape))),
        draw(biases(filters)),
    )
    return with_output_shape("CONV_2D", inputs, Quantization((output,), (draw(ZERO_POINTS),)), window["attributes"])


@st.composite
def depthwise_conv_2d(draw: st.DrawFn, bias: bool = True) -> Graph:
    window = draw(windows())
    depth, multiplier = draw(st.integers(1, 9)), draw(st.sampled_from([1, 1, 1, 2, 3, 5, 8]))
    shape = (1, *window["size"], depth * multiplier)
    source, output, filter_scales = draw(scales(depth * multiplier, window["size"][0] * window["size"][1]))
    inputs = (
        Tensor(
            "input",
            (draw(st.integers(1, 2)), *window["image"], depth),
            "int8",
            Quantization((source,), (draw(ZERO_POINTS),)),
        ),
        Tensor(
            "filter", shape, "int8", Quantization(filter_scales, (0,) * len(filter_scales), 3), draw(weights(shape))
        ),
        draw(biases(depth * multiplier, optional=False)) if bias else None,
    )
    attributes = {**window["attributes"], "depth_multiplier": multiplier}
    return with_output_shape("DEPTHWISE_CONV_2D", inputs, Quantization((output,), (draw(ZERO_POINTS),)), attributes)


def with_tensor(graph: Graph, index: int, **changes: Any) -> Graph:
    """`graph` with fields of tensor `index` replaced, for tests of an operator's rules."""
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(graph, tensors=tuple(tensors))


def with_attributes(graph: Graph, **changes: Any) -> Graph:
    """`graph` with attributes of its only node replaced."""
    node = replace(graph.nodes[0], attributes={**graph.nodes[0].attributes, **changes})
    return replace(graph, nodes=(node,))


def with_bias(graph: Graph, values: npt.NDArray[np.int32]) -> Graph:
    """`graph`, whose only node has no bias, with `values` as its bias."""
    bias = Tensor("bias", values.shape, "int32", None, values)
    node = replace(graph.nodes[0], inputs=(*graph.nodes[0].inputs[:2], len(graph.tensors)))
    return replace(graph, tensors=(*graph.tensors, bias), nodes=(node,))


@st.composite
def in_int16(draw: st.DrawFn, graphs: st.SearchStrategy[Graph], narrow: bool = True) -> Graph:
    """The graphs of a layer with a filter in int16: biases of int64, or with `narrow` also int32, from usual to the largest."""
    graph = draw(graphs)
    source, weights, *biases, output = graph.tensors
    assert weights.quantization is not None
    fine = source.scale / 256
    least = fine * max(weights.quantization.scale) / 2.0**6
    changed = [
        replace(source, dtype="int16", quantization=Quantization((fine,), (0,))),
        replace(weights, quantization=replace(weights.quantization, zero_point=(0,) * len(weights.quantization.scale))),
    ]
    for bias in biases:
        wide = not narrow or draw(st.booleans())
        assert bias.data is not None
        limit = draw(st.sampled_from([2**24, 2**36, 2**46 - 1]))
        random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        values = random.integers(-limit, limit + 1, bias.shape, np.int64) if wide else bias.data
        q = bias.quantization and Quantization((scale(fine * weights.quantization.scale[0]),), (0,))
        changed.append(replace(bias, dtype="int64" if wide else "int32", data=values, quantization=q))
    coarse = max(output.scale / 256, scale(least * 1.001), 2.0**-27)
    changed.append(replace(output, dtype="int16", quantization=Quantization((coarse,), (0,))))
    return replace(graph, tensors=tuple(changed))


@st.composite
def in_float32(draw: st.DrawFn, graphs: st.SearchStrategy[Graph]) -> Graph:
    """The graphs of a layer with a filter in float32, values of one or of many magnitudes."""
    graph = draw(graphs)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0, 3, 12]))

    def values(tensor: Tensor) -> npt.NDArray[np.float32] | None:
        if tensor.data is None:
            return None
        return (random.normal(0, 1, tensor.shape) * 2.0 ** random.integers(-spread, spread + 1, tensor.shape)).astype(
            np.float32
        )

    changed = (replace(t, dtype="float32", quantization=None, data=values(t)) for t in graph.tensors)
    return replace(graph, tensors=tuple(changed))


def check_real(graph: Graph, samples: int = 3) -> None:
    """`Op.real` on several samples is the reference on each, but for rounding; the graph's inputs are of float32."""
    layer = next(graph.layers())
    random = np.random.default_rng(4)
    shapes = [tensor.shape for tensor in graph.input_tensors]
    sets = [[random.normal(0, 1, shape).astype(np.float32) for shape in shapes] for _ in range(samples)]
    batches = dict(zip(graph.inputs, (np.concatenate(arrays) for arrays in zip(*sets, strict=True)), strict=True))
    given = [graph.tensors[i].data if i not in batches else batches[i] for i in layer.node.inputs if i >= 0]
    real = all_ops()[layer.op].real
    assert real is not None
    [found] = real(layer, given)
    expected = np.concatenate([reference.outputs(graph, inputs)[0] for inputs in sets])
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(expected).max())))


def one_weight(op: str, activation: str) -> Graph:
    """A float32 layer of 11 pixels or rows, one channel, and the weight 1.0."""
    window = {"padding": "SAME", "stride": (1, 1), "dilation": (1, 1), "activation": activation}
    attributes = {
        "CONV_2D": window,
        "DEPTHWISE_CONV_2D": {**window, "depth_multiplier": 1},
        "FULLY_CONNECTED": {"activation": activation, "weights_format": "DEFAULT", "keep_num_dims": False},
    }[op]
    shape = (11, 1) if op == "FULLY_CONNECTED" else (1, 11, 1, 1)
    ones = np.ones((1, 1) if op == "FULLY_CONNECTED" else (1, 1, 1, 1), np.float32)
    zero = Tensor("bias", (1,), "float32", None, np.zeros(1, np.float32))
    inputs = (Tensor("input", shape, "float32"), Tensor("filter", ones.shape, "float32", None, ones), zero)
    return single_node_graph(op, inputs, (Tensor("output", shape, "float32"),), attributes)


def problem(graph: Graph) -> str:
    """The one problem of the graph's one layer."""
    [text] = problems(next(graph.layers()))
    return text
