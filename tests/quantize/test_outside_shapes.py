# SPDX-License-Identifier: Apache-2.0
"""Float networks as TensorFlow's converter writes them: constants that widen a layer's output, and shapes that are computed."""

from __future__ import annotations

import numpy as np
import pytest
from networks import CONV, DENSE, Net, samples
from tinyc.graph import Array, Graph
from tinyc.quantize import execute, quantize
from tinyc.quantize.prepare import prepare


def computed(graph: Graph, arrays: list[Array]) -> Array:
    """The float outputs of the prepared network."""
    return execute.outputs(prepare(graph).graph, arrays)[0]


@pytest.mark.parametrize("op", ["ADD", "SUB", "MUL"])
def test_a_constant_that_widens_one_channel_is_not_folded(op: str) -> None:
    net = Net((6,))
    net.dense(1)
    weights, bias = (net.tensors[i].data for i in net.nodes[0].inputs[1:])
    assert weights is not None and bias is not None
    values = np.array([0.5, -2.0, 3.0, 1.0], np.float32)
    net.add(op, [net.end, net.constant(values)], (1, 4), {"activation": "NONE"})
    graph = net.graph()
    arrays = samples(graph)
    one = arrays[0] @ weights.T + bias
    expected = {"ADD": one + values, "SUB": one - values, "MUL": one * values}[op]
    np.testing.assert_allclose(computed(graph, arrays), expected, rtol=1e-4, atol=1e-5)
    assert [node.op for node in quantize(graph, arrays).graph.nodes] == ["FULLY_CONNECTED", op]


def tensordot(net: Net, units: int) -> None:
    """A Keras Dense on more than two dimensions with an open batch: shapes are computed, and those in the file are wrong."""
    source, shape = net.end, net.tensors[net.end].shape
    last = len(shape) - 1
    axes = net.constant(np.arange(last, dtype=np.int32))
    extents = net.add("SHAPE", [source], (len(shape),), {"out_type": 2}, "int32")
    free = net.add("GATHER", [extents, axes], (last,), {"axis": 0, "batch_dims": 0}, "int32")
    zero = net.constant(np.zeros(1, np.int32))
    rows = net.add("REDUCE_PROD", [free, zero], (), {"keep_dims": False}, "int32")
    whole = net.add(
        "CONCATENATION", [free, net.constant(np.array([units], np.int32))], (len(shape),), {"axis": 0}, "int32"
    )
    depth = net.add("GATHER", [extents, net.constant(np.array([last], np.int32))], (1,), {"axis": 0}, "int32")
    width = net.add("REDUCE_PROD", [depth, zero], (), {"keep_dims": False}, "int32")
    stack = net.add("PACK", [rows, width], (2,), {"values_count": 2, "axis": 0}, "int32")
    flat = net.add("RESHAPE", [source, stack], (1, 1), {"new_shape": ()})
    weights = net.weights(units, shape[-1])
    dense = net.add("FULLY_CONNECTED", [flat, weights], (1, units), DENSE)
    back = net.add("RESHAPE", [dense, whole], (*shape[:-1], units), {"new_shape": ()})
    net.add("ADD", [back, net.weights(units)], (*shape[:-1], units), {"activation": "RELU"})


def test_dense_on_more_dimensions_with_an_open_batch() -> None:
    net = Net((4, 3, 5))
    tensordot(net, 6)
    tensordot(net, 2)
    graph = net.graph()
    arrays = samples(graph)
    values = arrays[0]
    for first in (0, 11):
        weights = net.tensors[net.nodes[first + 8].inputs[1]].data
        bias = net.tensors[net.nodes[first + 10].inputs[1]].data
        assert weights is not None and bias is not None
        values = np.maximum(values @ weights.T + bias, 0)
    np.testing.assert_allclose(computed(graph, arrays), values, rtol=1e-4, atol=1e-5)
    made = quantize(graph, arrays).graph
    assert made.tensors[made.nodes[1].outputs[0]].shape == (12, 6)


def test_a_dilated_row_filter_is_one_layer() -> None:
    """Kernel 1 x 3, dilation 1 x 4, SAME: along the axis with one tap, SAME and VALID are the same."""
    net = Net((5, 7, 2))
    block = net.constant(np.array([1, 4], np.int32))
    pads, crops = (net.constant(np.array([[0, 0], ends], np.int32)) for ends in ((4, 5), (0, 1)))
    net.add("SPACE_TO_BATCH_ND", [0, block, pads], (4, 5, 4, 2))
    weights = [net.weights(3, 1, 3, 2), net.weights(3)]
    net.add("CONV_2D", [net.end, *weights], (4, 5, 2, 3), {**CONV, "padding": "VALID"})
    net.add("BATCH_TO_SPACE_ND", [net.end, block, crops], (1, 5, 7, 3))
    [node] = prepare(net.graph()).graph.nodes
    assert (node.attributes["padding"], node.attributes["dilation"]) == ("SAME", (1, 4))
