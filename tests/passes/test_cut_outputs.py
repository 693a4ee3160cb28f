# SPDX-License-Identifier: Apache-2.0
"""Networks that end earlier: `--outputs`, and the tensors that an error proposes for it."""

from __future__ import annotations

import numpy as np
import pytest
import tinyc
from conftest import ROOT, SHARED
from tinyc import reference
from tinyc.errors import ModelError, UsageError
from tinyc.graph import Graph, Node, Quantization, Tensor
from tinyc.importers.tflite import from_bytes
from tinyc.model import Quantizing, load_model
from tinyc.passes import ends_before, run_passes
from tinyc.passes.cut_outputs import cut_outputs

DIGITS = ROOT / "examples" / "digits" / "digits.tflite"


def test_the_network_ends_where_it_is_told() -> None:
    graph = tinyc.load(DIGITS)
    cut = load_model(DIGITS, Quantizing(), outputs=["7_dense", "3_maxpool2d"])
    assert cut.graph.output_names == ("7_dense", "3_maxpool2d") and len(cut.graph.nodes) == len(graph.nodes) - 1
    assert from_bytes(cut.data, "cut").output_names == cut.graph.output_names
    array = np.random.default_rng(1).integers(-128, 128, (1, 8, 8, 1)).astype(np.int8)
    values = reference.run(graph, [array])
    wanted = [next(i for i, t in enumerate(graph.tensors) if t.name == name) for name in cut.graph.output_names]
    for index, found in zip(wanted, reference.outputs(cut.graph, [array]), strict=True):
        assert np.array_equal(values[index], found)
    assert load_model(DIGITS, Quantizing(), outputs=["scores"]).graph.labels == graph.labels


@pytest.mark.parametrize(
    ("names", "message"),
    [(("dense",), "no layer makes a tensor 'dense'"), (("scores", "scores"), "the same tensor twice")],
)
def test_names_that_do_not_work(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cut_outputs(tinyc.load(DIGITS), names)


def branches(*ops: str) -> Graph:
    """input → RELU 'a' → each operator in turn, one after the other; 'a' is an output, too."""
    q = Quantization((0.1,), (0,))
    tensors = [Tensor(name, (1, 4), "int8", q) for name in ("input", "a", *(f"t{n}" for n in range(len(ops))))]
    nodes = [Node("RELU", (0,), (1,), {}, 1)] + [Node(op, (n + 1,), (n + 2,), {}, 1, n + 1) for n, op in enumerate(ops)]
    return Graph(tuple(tensors), tuple(nodes), (0,), (1, len(tensors) - 1), ("input",), ("a", "end"))


def test_an_error_says_where_the_network_could_end() -> None:
    graph = branches("RELU", "ABS", "RELU")
    assert ends_before(graph) == ["a", "t0"]
    with pytest.raises(ModelError, match="--outputs a --outputs t0 ends the network before them"):
        run_passes(graph)
    assert [node.op for node in run_passes(cut_outputs(graph, ["a", "t0"])).nodes] == ["RELU", "RELU"]
    with pytest.raises(ModelError) as problem:
        run_passes(Graph(graph.tensors, (Node("ABS", (0,), (1,), {}, 1),), (0,), (1,), ("input",), ("a",)))
    assert "--outputs" not in str(problem.value)


def test_models_for_the_edge_tpu_can_end_at_its_results() -> None:
    folder = SHARED / "edgetpu"
    files = sorted(folder.glob("*_edgetpu.tflite")) if folder.is_dir() else []
    if not files:
        pytest.skip("no shared models")
    taken = []
    for path in files:
        graph = tinyc.load(path)
        try:
            run_passes(graph)
        except ModelError:
            ends = ends_before(graph)
            if not ends:
                continue
            assert any(node.op.startswith("CUSTOM:edgetpu") for node in run_passes(cut_outputs(graph, ends)).nodes)
        taken.append(path)
    assert len(taken) >= 0.9 * len(files)
