# SPDX-License-Identifier: Apache-2.0
"""Float files that are damaged, and values that float32 cannot hold: errors that name the layer, never a traceback."""

from __future__ import annotations

import numpy as np
import pytest
from networks import CONV, DENSE, Net, samples, small_cnn
from tinyc.errors import ModelError
from tinyc.quantize import quantize
from tinyc.quantize.prepare import prepare


@pytest.mark.parametrize("value", [1e30, 1e37])
def test_values_that_float32_cannot_hold_name_the_layer(value: float) -> None:
    graph = small_cnn()
    with pytest.raises(ModelError, match=r"CONV_2D 'conv_2d_0'.*on the calibration data"):
        quantize(graph, samples(graph, size=value))


@pytest.mark.parametrize("op", ["FULLY_CONNECTED", "QUANTIZE", "RELU", "ADD"])
def test_layers_without_inputs_are_damage(op: str) -> None:
    net = Net((6,))
    net.dense(3)
    net.add(op, [], (1, 3), DENSE)
    with pytest.raises(ModelError, match="damaged"):
        prepare(net.graph())


def test_weights_without_an_axis_are_damage() -> None:
    net = Net((6,))
    net.add("FULLY_CONNECTED", [0, net.constant(np.float32(1.0))], (1, 1), DENSE)
    with pytest.raises(ModelError, match="damaged"):
        prepare(net.graph())


def test_shapes_that_do_not_stack_are_left_alone() -> None:
    net = Net((6,))
    net.dense(3)
    pair, one = net.constant(np.array([1, 3], np.int32)), net.constant(np.array([1], np.int32))
    packed = net.add("PACK", [pair, one], (2, 2), {"values_count": 2, "axis": 0}, "int32")
    net.add("RESHAPE", [net.nodes[0].outputs[0], packed], (1, 3), {"new_shape": ()})
    assert [node.op for node in prepare(net.graph()).graph.nodes] == ["FULLY_CONNECTED", "PACK", "RESHAPE"]


def test_an_output_that_is_a_constant() -> None:
    net = Net((6,))
    dense = net.dense(3)
    with pytest.raises(ModelError, match="is a constant"):
        prepare(net.graph([dense, net.nodes[0].inputs[2]]))


@pytest.mark.parametrize("op", ["ADD", "CONCATENATION"])
def test_a_layer_of_constants_alone(op: str) -> None:
    net = Net((6,))
    attributes = {"activation": "NONE", "axis": 0}
    made = net.add(op, [net.weights(1, 6), net.weights(1, 6)], (1 if op == "ADD" else 2, 6), attributes)
    net.add("ADD", [0, made], (1, 6), {"activation": "NONE"})
    with pytest.raises(ModelError, match="all of its inputs are constants"):
        quantize(net.graph(), samples(net.graph()))


@pytest.mark.parametrize("damage", ["nothing to collect", "no blocks", "shapes of another rank"])
def test_damage_around_space_and_batch(damage: str) -> None:
    net = Net((5, 7, 2))
    block = net.constant(np.array(4 if damage == "no blocks" else [1, 4], np.int32))
    pads = net.constant(np.array([[0, 0], [4, 5]], np.int32))
    net.add("SPACE_TO_BATCH_ND", [0, block, pads], (20,) if damage == "shapes of another rank" else (4, 5, 4, 2))
    weights = [net.weights(3, 1, 3, 2), net.weights(3)]
    net.add("CONV_2D", [net.end, *weights], (4, 5, 2, 3), {**CONV, "padding": "VALID"})
    collected = [] if damage == "nothing to collect" else [net.end, block, pads]
    net.add("BATCH_TO_SPACE_ND", collected, (1, 5, 7, 3))
    with pytest.raises(ModelError, match="_ND is not supported"):
        quantize(net.graph(), samples(net.graph()))


def test_paddings_of_another_rank() -> None:
    net = Net((5, 7, 2))
    shape = net.add("SHAPE", [0], (4,), {"out_type": 2}, "int32")
    net.add("PAD", [0, net.constant(np.array([0, 1, 1, 0], np.int32))], (1, 6, 8, 2))
    net.add("RESHAPE", [net.end, shape], (1, 5, 7, 2), {"new_shape": ()})
    with pytest.raises(ModelError, match="PAD"):
        quantize(net.graph(), samples(net.graph()))
