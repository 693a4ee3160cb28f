# SPDX-License-Identifier: Apache-2.0
"""The float32 executor beside LiteRT: every operator's float cases, a small network, and the real float models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import tinyc
from conftest import SHARED
from networks import samples, small_cnn
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import Array, Graph
from tinyc.ops import all_ops
from tinyc.quantize import execute
from tinyc.quantize.prepare import prepare

#: Of the largest output: sums in another order, and another exp.
TOLERANCE = 2e-6


def float_cases() -> Iterator[tuple[str, Graph]]:
    for name, op in all_ops().items():
        for title, graph in op.cases():
            tensors = [*graph.input_tensors, *graph.output_tensors]
            # LiteRT refuses a CONV_2D without a bias.
            if (
                "no bias" not in title
                and op.real is not None
                and graph.inputs
                and all(tensor.dtype == "float32" for tensor in tensors)
            ):
                yield f"{name}: {title}", graph


def litert(model: bytes, arrays: Sequence[Array]) -> list[Array]:
    """The outputs of LiteRT's reference kernels, [n, ...] each; XNNPACK is off."""
    module = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = module.Interpreter(
        model_content=model, experimental_op_resolver_type=module.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    rows = []
    for sample in range(len(arrays[0])):
        for detail, array in zip(interpreter.get_input_details(), arrays, strict=True):
            interpreter.set_tensor(detail["index"], array[sample].reshape(detail["shape"]))
        interpreter.invoke()
        rows.append([interpreter.get_tensor(detail["index"]).copy() for detail in interpreter.get_output_details()])
    return [np.stack(column) for column in zip(*rows, strict=True)]


def check(graph: Graph, model: bytes, arrays: Sequence[Array]) -> None:
    for found, expected in zip(execute.outputs(graph, arrays), litert(model, arrays), strict=True):
        limit = TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0)))
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=0, atol=limit)


@pytest.mark.parametrize("name", [name for name, _ in float_cases()])
def test_every_operator(name: str) -> None:
    graph = dict(float_cases())[name]
    random = np.random.default_rng(5)
    arrays = [
        random.standard_normal((3, *execute.sample_shape(tensor))).astype(np.float32) for tensor in graph.input_tensors
    ]
    check(graph, to_bytes(graph), arrays)


def test_there_are_float_cases_of_every_operator_with_a_float_form() -> None:
    covered = {name.split(":")[0] for name, _ in float_cases()}
    missing = {name for name, op in all_ops().items() if op.real is not None} - covered
    assert missing <= {"QUANTIZE", "DEQUANTIZE"}


def test_a_network() -> None:
    graph = small_cnn()
    check(prepare(graph).graph, to_bytes(graph), samples(graph, 5))


@pytest.mark.parametrize("name", ["ad_float", "ic_float", "vww_float"])
def test_real_models(name: str) -> None:
    path = SHARED / "mlperf_tiny" / f"{name}.tflite"
    if not path.exists():
        pytest.skip("no shared models")
    graph = tinyc.load(path)
    check(prepare(graph).graph, path.read_bytes(), samples(graph, 3))
