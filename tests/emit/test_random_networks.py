# SPDX-License-Identifier: Apache-2.0
"""Random networks of several layers, inputs and outputs: the emitted C equals the reference, every layer, on several cores."""

import pytest
from emitted import random_graph
from tinyc import reference
from tinyc.emit import emit
from tinyc.lower import lower
from tinyc.memory import plan_memory
from tinyc.ops import problems
from tinyc.targets.cpus import find_cpu
from tinyc.verification import verify, why_unusable
from tinyc.verification.vectors import make_inputs

CORES = [("host", "host"), ("cortex-m4", "unicorn"), ("cortex-m0plus", "unicorn"), ("rv32imc", "unicorn")]
SLOW_CORES = [
    *CORES,
    ("cortex-m7", "unicorn"),
    ("cortex-m33", "unicorn"),
    ("cortex-m55", "qemu"),
    ("xtensa-lx6", "qemu"),
]


def check(seed: int, cpu: str, engine: str) -> None:
    reason = why_unusable(engine, find_cpu(cpu))
    if reason is not None:
        pytest.skip(f"{engine}: {reason}")
    graph = random_graph(seed)
    assert [problems(layer) for layer in graph.layers()] == [[]] * len(graph.nodes), (
        "the generator makes valid networks"
    )
    program = lower(graph, find_cpu(cpu))
    inputs = make_inputs(graph, 4, seed)
    expected = [reference.run(graph, row) for row in inputs]
    library = emit(program, plan_memory(program), "net")
    result = verify("net", program, library, inputs, expected, emulator=engine, layers=True)
    assert result.bytes_compared == 4 * sum(tensor.bytes for tensor in graph.output_tensors)
    assert result.layers_compared == len(program.steps)


@pytest.mark.parametrize("seed", range(12))
def test_random_network(seed: int) -> None:
    check(seed, *CORES[seed % len(CORES)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 92))
def test_random_network_on_more_cores(seed: int) -> None:
    check(seed, *SLOW_CORES[seed % len(SLOW_CORES)])
