# SPDX-License-Identifier: Apache-2.0
"""Public models: numpy reference and compiled C against TFLite Micro's golden outputs, layer by layer, on every core."""

import json
import zlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
import tinyc
from conftest import SHARED, shared_index
from tinyc import reference
from tinyc.choose import choose
from tinyc.emit import emit
from tinyc.errors import ModelError
from tinyc.graph import Graph
from tinyc.ops import all_ops
from tinyc.passes import run_passes
from tinyc.select import GOALS
from tinyc.targets.cpus import CPUS, find_cpu
from tinyc.verification import verify, why_unusable
from tinyc.verification.vectors import random_inputs

#: Where each core is checked in the full matrix.
ENGINES = [("host", "host")]
ENGINES += [
    (cpu, "unicorn") for cpu in ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "rv32imc")
]
ENGINES += [
    (cpu, "qemu")
    for cpu in (
        "cortex-m0plus",
        "cortex-m3",
        "cortex-m4",
        "cortex-m7",
        "cortex-m33",
        "cortex-m55",
        "rv32imc",
        "xtensa-lx6",
    )
]

#: Each core for the goals that change most there; all goals where a run is quick.
MATRIX = [
    (cpu, engine, goal)
    for cpu, engine in ENGINES
    for goal in (GOALS if engine == "host" or (cpu, engine) == ("cortex-m4", "unicorn") else ("balanced", "ram"))
]

#: The quick subset of `make test`.
QUICK_MODELS = (
    "mltk-fingerprint_signature_generator",
    "tiny-kws_model_data__g_kws_model_data",
    "tflitemicro-test_conv_model__kTestConvModelData",
)


def candidates() -> list[dict[str, Any]]:
    """Int8 models with golden outputs whose operators are all taken."""
    return [
        m
        for m in shared_index()
        if m["kind"] == "int8" and m.get("golden") and {o.split("|")[0] for o in m["op_types"]} <= set(all_ops())
    ]


MODELS = {m["name"]: m for m in candidates()}
needs_models = pytest.mark.skipif(not shared_index(), reason="shared/models is not beside the repository")


def graph_of(model: dict[str, Any]) -> Graph:
    return tinyc.load(SHARED / model["file"])


def first_wrong_layer(graph: Graph, values: list[Any], layers: list[list[Any]]) -> str | None:
    for index, op, tensor, _, _, crc, first, _ in layers:
        if values[tensor] is not None and zlib.crc32(values[tensor].tobytes()) != crc:
            return f"operator {index} {op}: starts with {values[tensor].reshape(-1)[:6].tolist()}, expected {first}"
    return None


@needs_models
def test_which_models_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints how many of the int8 networks tinyc takes and what keeps it from the others. None may crash."""
    taken, refused, crashed = [], {}, {}
    for model in shared_index():
        try:
            run_passes(graph_of(model))
            taken.append(model["name"])
        except ModelError as error:
            refused[model["name"]] = str(error).splitlines()
        except Exception as error:
            crashed[model["name"]] = error
    int8 = [m["name"] for m in shared_index() if m["kind"] == "int8"]
    reasons = Counter(line.split(": ", 1)[-1] for name in int8 for line in refused.get(name, [])[1:2])
    with capsys.disabled():
        print(
            f"\n{len(taken)} of {len(shared_index())} public models are taken; of {len(int8)} int8 ones {sum(n in taken for n in int8)}."
        )
        for reason, count in reasons.most_common():
            print(f"  {count} int8 models: {reason}")
    assert not crashed
    assert set(MODELS) <= set(taken)


@needs_models
@pytest.mark.parametrize("name", sorted(MODELS))
def test_reference_equals_tflm_layer_by_layer(name: str) -> None:
    model = MODELS[name]
    graph = graph_of(model)
    if model.get("golden_layers"):
        golden = json.loads((SHARED / model["golden_layers"]).read_text())
        values = reference.run(graph, random_inputs(graph, golden["lcg_seed"]))
        assert first_wrong_layer(graph, values, golden["layers"]) is None
    outputs = np.load(SHARED / model["golden"])
    inputs = [outputs[f"in_{i}"] for i in range(len(graph.inputs))]
    for i, output in enumerate(reference.outputs(graph, inputs)):
        assert output.tobytes() == outputs[f"tflm_{i}"].tobytes()


@needs_models
@pytest.mark.parametrize("name", ["kws", "vww", "ic", "ad"])
def test_mlperf_tiny_layers_and_seeds(name: str) -> None:
    """The four MLPerf Tiny models: every operator for seed 12345, the outputs for 16 more seeds."""
    folder = SHARED / "mlperf_tiny"
    graph = tinyc.load(folder / f"{name}.tflite")
    values = reference.run(graph, random_inputs(graph, 12345))
    golden = np.load(folder / f"{name}.layers.npz")
    for node in graph.nodes:
        assert np.array_equal(values[node.outputs[0]], golden[f"op{node.index}"]), f"operator {node.index} {node.op}"
    seeds = np.load(folder / f"{name}.seeds.npz")
    for key in seeds.files:
        assert np.array_equal(reference.outputs(graph, random_inputs(graph, int(key[4:])))[0], seeds[key]), key


def check_compiled(name: str, cpu: str, engine: str, goal: str) -> None:
    """Every layer of the compiled model equals the reference, whose layers the test above holds against TFLite Micro."""
    reason = why_unusable(engine, find_cpu(cpu))
    if reason is not None:
        pytest.skip(f"{engine} for {cpu}: {reason}")
    graph = run_passes(graph_of(MODELS[name]))
    chosen = choose(graph, CPUS[cpu], goal)
    program = chosen.program
    library = emit(program, chosen.memory, "m", goal)
    inputs = random_inputs(graph, 12345)
    result = verify("m", program, library, [inputs], [reference.run(graph, inputs)], emulator=engine, layers=True)
    assert result.layers_compared == len(program.steps)


@needs_models
@pytest.mark.parametrize(("cpu", "engine"), ENGINES)
@pytest.mark.parametrize("name", [name for name in QUICK_MODELS if name in MODELS])
def test_compiled_quick(name: str, cpu: str, engine: str) -> None:
    goal = tuple(GOALS)[(QUICK_MODELS.index(name) + ENGINES.index((cpu, engine))) % len(GOALS)]
    check_compiled(name, cpu, engine, goal)


@needs_models
@pytest.mark.slow
@pytest.mark.parametrize(("cpu", "engine", "goal"), MATRIX)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_compiled_all(name: str, cpu: str, engine: str, goal: str) -> None:
    check_compiled(name, cpu, engine, goal)
