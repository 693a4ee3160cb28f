# SPDX-License-Identifier: Apache-2.0
"""The advisory rules, one by one, and against what Google's compiler did with the public models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgetpu_files import pairs
from tinyc.accelerators.edgetpu import lint as rules
from tinyc.accelerators.edgetpu.lint import Verdict, lint, reasons
from tinyc.accelerators.edgetpu.partition import inside
from tinyc.accelerators.edgetpu.predict import USABLE_HIGH, USABLE_LOW, predict
from tinyc.accelerators.edgetpu.reader import packages
from tinyc.graph import Graph, Layer, Node, Quantization, Tensor, single_node_graph
from tinyc.importers.tflite import load

Q = Quantization((0.5,), (3,))


def tensor(shape: tuple[int, ...], dtype: str = "int8", name: str = "x", data: Any = None) -> Tensor:
    data = None if data is None else np.broadcast_to(np.asarray(data), shape).astype(dtype)
    return Tensor(name, shape, dtype, None if dtype in ("float32", "int32") else Q, data)


def layer(op: str, *inputs: Tensor, output: tuple[int, ...] = (1, 8), dtype: str = "int8", **attributes: Any) -> Layer:
    graph = single_node_graph(op, inputs, (tensor(output, dtype, "y"),), attributes)
    return next(graph.layers())


IMAGE = (1, 4, 4, 8)
WEIGHTS = tensor((8, 1, 1, 8), data=1)
CASES: list[tuple[Layer, Callable[[Layer], bool] | None]] = [
    (layer("ADD", tensor(IMAGE), tensor(IMAGE), output=IMAGE), None),
    (layer("ADD", tensor(IMAGE, "int16"), tensor(IMAGE, "int16"), output=IMAGE, dtype="int16"), rules.eight_bits),
    (layer("RELU", tensor(IMAGE, "float32"), output=IMAGE, dtype="float32"), rules.eight_bits),
    (layer("RELU", Tensor("x", IMAGE, "int8"), output=IMAGE), rules.quantized),
    (layer("RELU", tensor((2, 4, 4, 8)), output=(2, 4, 4, 8)), rules.three_dimensions),
    (layer("RELU", tensor((4, 4, 8)), output=(4, 4, 8)), None),
    (layer("CONV_2D", tensor(IMAGE), WEIGHTS, output=IMAGE, dilation=(1, 1)), None),
    (layer("CONV_2D", tensor(IMAGE), tensor((8, 1, 1, 8)), output=IMAGE), rules.constant_parameters),
    (layer("CONV_2D", tensor(IMAGE), WEIGHTS, output=IMAGE, dilation=(1, 2)), rules.equal_dilation),
    (layer("FULLY_CONNECTED", tensor((1, 8)), tensor((8, 8), data=1)), None),
    (layer("FULLY_CONNECTED", tensor((4, 8)), tensor((8, 8), data=1), output=(4, 8)), rules.vector_output),
    (
        layer("FULLY_CONNECTED", tensor((1, 8)), tensor((8, 8), data=1), weights_format="SHUFFLED4x16INT8"),
        rules.default_weights_format,
    ),
    (layer("MAX_POOL_2D", tensor(IMAGE), output=(1, 2, 2, 8), activation="NONE"), None),
    (layer("MAX_POOL_2D", tensor(IMAGE), output=(1, 2, 2, 8), activation="RELU6"), rules.no_activation),
    (layer("CONCATENATION", tensor(IMAGE), tensor(IMAGE, data=3), output=(1, 4, 4, 16), activation="NONE"), None),
    (
        layer("CONCATENATION", tensor(IMAGE), tensor(IMAGE, data=4), output=(1, 4, 4, 16), activation="NONE"),
        rules.only_zeros_appended,
    ),
    (layer("SOFTMAX", tensor((1, 16_000)), output=(1, 16_000)), None),
    (layer("SOFTMAX", tensor((1, 16_001)), output=(1, 16_001)), rules.small_vector),
    (layer("SOFTMAX", tensor((4, 8)), output=(4, 8)), rules.small_vector),
    (layer("MEAN", tensor(IMAGE), tensor((2,), "int32", data=[1, 2])), None),
    (layer("MEAN", tensor(IMAGE), tensor((2,), "int32", data=[0, 1])), rules.no_batch_axis),
    (layer("MEAN", tensor(IMAGE), tensor((1,), "int32", data=[-4])), rules.no_batch_axis),
    (
        layer(
            "PAD", tensor(IMAGE), tensor((4, 2), "int32", data=[[0, 0], [1, 1], [1, 1], [0, 0]]), output=(1, 6, 6, 8)
        ),
        None,
    ),
    (
        layer(
            "PAD", tensor(IMAGE), tensor((4, 2), "int32", data=[[1, 0], [0, 0], [0, 0], [0, 0]]), output=(2, 4, 4, 8)
        ),
        rules.no_batch_padding,
    ),
    (layer("PRELU", tensor(IMAGE), tensor((1, 1, 8), data=1), output=IMAGE), None),
    (layer("PRELU", tensor(IMAGE), tensor((4, 4, 8), data=1), output=IMAGE), rules.vector_alpha),
    (layer("STRIDED_SLICE", tensor(IMAGE), *[tensor((4,), "int32", data=1)] * 3, output=(1, 1, 1, 1)), None),
    (
        layer("STRIDED_SLICE", tensor(IMAGE), *[tensor((4,), "int32", data=2)] * 3, output=(1, 1, 1, 1)),
        rules.unit_strides,
    ),
    (
        layer(
            "STRIDED_SLICE", tensor(IMAGE), *[tensor((4,), "int32", data=1)] * 3, output=(1, 1, 1, 1), new_axis_mask=1
        ),
        rules.no_special_masks,
    ),
]


@pytest.mark.parametrize(
    ("case", "broken"), CASES, ids=lambda value: getattr(value, "__name__", getattr(value, "op", "good"))
)
def test_rules(case: Layer, broken: Callable[[Layer], bool] | None) -> None:
    verdict, found = reasons(case)
    if broken is None:
        assert (verdict, found) == (Verdict.MAPPED, ())
        return
    assert verdict is Verdict.NOT_MAPPED
    assert " ".join((broken.__doc__ or "").split()).rstrip(".") in found


DOUBTS: list[tuple[Layer, Callable[[Layer], bool]]] = [
    (layer("RESIZE_BILINEAR", tensor(IMAGE), output=(1, 8, 8, 8)), rules.small_resize),
    (layer("RESHAPE", tensor((1, 1 << 11, 1 << 10)), output=(1, 1 << 21)), rules.small_reshape),
    (layer("MEAN", tensor((1, 4, 4, 6)), tensor((1,), "int32", data=[3])), rules.inner_mean_of_four),
]


@pytest.mark.parametrize(
    ("case", "doubt"), DOUBTS, ids=lambda value: getattr(value, "__name__", getattr(value, "op", ""))
)
def test_doubts(case: Layer, doubt: Callable[[Layer], bool]) -> None:
    assert reasons(case) == (Verdict.PERHAPS, (" ".join((doubt.__doc__ or "").split()).rstrip("."),))


def test_every_rule_has_a_text() -> None:
    every = [
        *rules.EVERYWHERE,
        *(rule for some in (*rules.SUPPORTED.values(), *rules.DOUBTS.values()) for rule in some),
    ]
    assert all((rule.__doc__ or "").strip().endswith(".") for rule in every)
    assert set(rules.DOUBTS) <= set(rules.SUPPORTED)


def chain(*ops: str, dtypes: dict[int, str] | None = None) -> Graph:
    """Operators one after the other; `dtypes` of tensors other than int8."""
    tensors = tuple(tensor((1, 8), (dtypes or {}).get(i, "int8"), f"t{i}") for i in range(len(ops) + 1))
    nodes = tuple(Node(op, (i,), (i + 1,), {}, 1, i) for i, op in enumerate(ops))
    return Graph(tensors, nodes, (0,), (len(ops),), ("in",), ("out",))


def test_one_unsupported_operator_strands_the_rest() -> None:
    found = lint(chain("RELU", "EXP", "RELU", "TANH"))
    assert [f.verdict for f in found] == [Verdict.MAPPED, Verdict.NOT_MAPPED, Verdict.STRANDED, Verdict.STRANDED]


def test_a_branch_beside_it_stays() -> None:
    graph = chain("RELU", "EXP")
    nodes = (*graph.nodes, Node("TANH", (1,), (3,), {}, 1, 2))
    branch = Graph((*graph.tensors, tensor((1, 8), name="t3")), nodes, (0,), (2, 3), ("in",), ("a", "b"))
    assert [f.verdict for f in lint(branch)] == [Verdict.MAPPED, Verdict.NOT_MAPPED, Verdict.MAPPED]


def test_converting_the_input_strands_nothing() -> None:
    found = lint(chain("QUANTIZE", "RELU", "DEQUANTIZE", dtypes={0: "float32", 3: "float32"}))
    assert [f.verdict for f in found] == [Verdict.NOT_MAPPED, Verdict.MAPPED, Verdict.NOT_MAPPED]


def dense(outputs: int) -> Graph:
    weights = Tensor("w", (outputs, 4096), "uint8", Q, np.zeros((outputs, 4096), np.uint8))
    tensors = (tensor((1, 4096), "uint8"), weights, tensor((1, outputs), "uint8", "y"))
    return Graph(tensors, (Node("FULLY_CONNECTED", (0, 1), (2,)),), (0,), (2,), ("x",), ("y",))


@pytest.mark.parametrize(("outputs", "fit"), [(1900, "fits"), (1984, "perhaps"), (2048, "streams")])
def test_what_fits(outputs: int, fit: str) -> None:
    found = predict(dense(outputs), {0})
    assert found.fit == fit
    assert found.chip == -(-outputs // 64) * 64 * 4096
    assert found.streamed == max(0, found.chip - USABLE_HIGH)
    assert USABLE_LOW < USABLE_HIGH < 8 << 20


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: pair[0].stem)
def test_against_the_compiler(pair: tuple[Path, Path]) -> None:
    """Nothing that the compiler mapped is refused, and what it left out is refused, doubted or behind such an operator."""
    compiled, original = load(pair[0]), load(pair[1])
    within, added = inside(original, compiled)
    assert added == ()
    doubted = False
    for finding in lint(original):
        if finding.index in within:
            assert finding.on_tpu, finding
        else:
            doubted |= finding.verdict is not Verdict.MAPPED
            assert doubted, finding
    memory = predict(original, within)
    ((_, package),) = packages(compiled)
    assert 0 <= memory.chip <= sum(len(blob) for blob in package.blobs())
