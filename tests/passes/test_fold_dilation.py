# SPDX-License-Identifier: Apache-2.0
"""SPACE_TO_BATCH_ND, a convolution and BATCH_TO_SPACE_ND as one dilated convolution; shapes that follow from an open batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tinyc import reference
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import Array, Graph, Node, Quantization, Tensor
from tinyc.passes import run_passes

INPUT, OUTPUT = Quantization((0.5,), (3,)), Quantization((2.0,), (-7,))
PLAIN: dict[str, Any] = {"padding": "VALID", "stride": (1, 1), "dilation": (1, 1), "activation": "NONE"}


def constant(name: str, values: Any, dtype: str = "int32", quantization: Quantization | None = None) -> Tensor:
    array = np.asarray(values, dtype)
    return Tensor(name, array.shape, dtype, quantization, array)


def group(
    shape: tuple[int, ...], block: list[int], pads: list[list[int]], crops: list[list[int]], taps: tuple[int, int]
) -> Graph:
    """The group in int8 on an NHWC image, or on a sequence [1, length, channels] with RESHAPE around the convolution."""
    random = np.random.default_rng(1)
    spatial, channels, filters = shape[1:-1], shape[-1], 4
    batch = int(np.prod(block))
    inner = [(n + sum(p)) // b for n, p, b in zip(spatial, pads, block, strict=True)]
    image = inner if len(inner) == 2 else [1, *inner]
    out = [n - t + 1 for n, t in zip(image, taps, strict=True)]
    collected = [n * b - sum(c) for n, b, c in zip(out[-len(block) :], block, crops, strict=True)]
    weights = random.integers(-127, 128, (filters, *taps, channels)).astype(np.int8)
    tensors = [
        Tensor("input", shape, "int8", INPUT),
        constant("block", block),
        constant("pads", pads),
        Tensor("spread", (batch, *inner, channels), "int8", INPUT),
        constant("weights", weights, "int8", Quantization((0.01,), (0,))),
        constant("bias", random.integers(-99, 99, filters)),
        Tensor("conv", (batch, *out, filters), "int8", OUTPUT),
        constant("crops", crops),
        Tensor("output", (1, *collected, filters), "int8", OUTPUT),
    ]
    nodes = [Node("SPACE_TO_BATCH_ND", (0, 1, 2), (3,), {}, 2)]
    source, end = 3, 6
    if len(block) == 1:
        tensors += [
            Tensor("image", (batch, *image, channels), "int8", INPUT),
            constant("to", [batch, *image, channels]),
            Tensor("row", (batch, out[1], filters), "int8", OUTPUT),
            constant("from", [batch, out[1], filters]),
        ]
        nodes.append(Node("RESHAPE", (3, 10), (9,), {"new_shape": (batch, *image, channels)}))
        source, end = 9, 11
    nodes.append(Node("CONV_2D", (source, 4, 5), (6,), PLAIN, 3))
    if len(block) == 1:
        nodes.append(Node("RESHAPE", (6, 12), (11,), {"new_shape": (batch, out[1], filters)}))
    nodes.append(Node("BATCH_TO_SPACE_ND", (end, 1, 7), (8,), {}, 2))
    return Graph(tuple(tensors), tuple(nodes), (0,), (8,), ("input",), ("output",))


def litert(graph: Graph, array: Array) -> Array:
    """LiteRT's reference kernels. TFLite Micro pads SPACE_TO_BATCH_ND with 0 where the zero point belongs."""
    module = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = module.Interpreter(
        model_content=to_bytes(graph), experimental_op_resolver_type=module.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], array)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


CASES = {
    "same": ((1, 12, 12, 2), [2, 2], [[2, 2], [2, 2]], [[0, 0], [0, 0]], (3, 3), "SAME", (2, 2)),
    "same, filled up": ((1, 9, 11, 2), [2, 3], [[2, 3], [3, 4]], [[0, 1], [0, 1]], (3, 3), "SAME", (2, 3)),
    "valid": ((1, 12, 12, 2), [3, 3], [[0, 0], [0, 0]], [[0, 0], [0, 0]], (3, 3), "VALID", (3, 3)),
    "sequence": ((1, 24, 3), [2], [[0, 0]], [[0, 0]], (1, 3), "VALID", (1, 2)),
    "sequence, same": ((1, 20, 3), [4], [[4, 4]], [[0, 0]], (1, 3), "SAME", (1, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_one_layer_that_computes_the_same_bytes(name: str) -> None:
    *arguments, padding, dilation = CASES[name]
    graph = group(*arguments)  # type: ignore[arg-type]
    folded = run_passes(graph)
    [convolution] = [node for node in folded.nodes if node.op == "CONV_2D"]
    assert (convolution.attributes["padding"], convolution.attributes["dilation"]) == (padding, dilation)
    assert {node.op for node in folded.nodes} <= {"CONV_2D", "RESHAPE"}
    for seed in range(3):
        array = np.random.default_rng(seed).integers(-128, 128, graph.input_tensors[0].shape).astype(np.int8)
        assert np.array_equal(reference.outputs(folded, [array])[0], litert(graph, array))


@pytest.mark.parametrize(
    ("pads", "crops"), [([[4, 0], [4, 0]], [[0, 0], [0, 0]]), ([[2, 2], [2, 2]], [[2, 0], [2, 0]])]
)
def test_zeros_elsewhere_stay_unsupported(pads: list[list[int]], crops: list[list[int]]) -> None:
    with pytest.raises(Exception, match="SPACE_TO_BATCH_ND is not supported"):
        run_passes(group((1, 12, 12, 2), [2, 2], pads, crops, (3, 3)))


def test_shapes_that_follow_from_an_open_batch() -> None:
    """Keras's Dense on a sequence: the rows are counted at run time, and the file has 1 in their place."""
    q = Quantization((0.1,), (0,))
    random = np.random.default_rng(2)
    tensors = (
        Tensor("input", (1, 6, 4), "int8", q),
        Tensor("shape", (3,), "int32"),
        constant("free", [0, 1]),
        Tensor("picked", (2,), "int32"),
        constant("axis", [0]),
        Tensor("rows", (), "int32"),
        constant("depth", 4),
        Tensor("wanted", (2,), "int32"),
        Tensor("matrix", (1, 4), "int8", q),
        constant("weights", random.integers(-127, 128, (5, 4)), "int8", Quantization((0.01,), (0,))),
        Tensor("product", (1, 5), "int8", q),
        constant("units", [5]),
        Tensor("back", (3,), "int32"),
        Tensor("output", (1, 6, 5), "int8", q),
    )
    dense = {"activation": "NONE", "weights_format": "DEFAULT", "keep_num_dims": False}
    nodes = (
        Node("SHAPE", (0,), (1,), {}),
        Node("GATHER", (1, 2), (3,), {"axis": 0, "batch_dims": 0}),
        Node("REDUCE_PROD", (3, 4), (5,), {"keep_dims": False}),
        Node("PACK", (5, 6), (7,), {"axis": 0, "values_count": 2}),
        Node("RESHAPE", (0, 7), (8,), {"new_shape": ()}),
        Node("FULLY_CONNECTED", (8, 9, -1), (10,), dense, 4),
        Node("CONCATENATION", (3, 11), (12,), {"axis": 0, "activation": "NONE"}),
        Node("RESHAPE", (10, 12), (13,), {"new_shape": ()}),
    )
    folded = run_passes(Graph(tensors, nodes, (0,), (13,), ("input",), ("output",)))
    assert [(node.op, folded.tensors[node.outputs[0]].shape) for node in folded.nodes] == [
        *(("RESHAPE", (6, 4)), ("FULLY_CONNECTED", (6, 5)), ("RESHAPE", (1, 6, 5)))
    ]
