# SPDX-License-Identifier: Apache-2.0
"""Random networks in every mode on several cores: the emitted C equals the reference, every layer."""

import pytest
from emitted import random_graph
from memory_graphs import memory_graph
from tinyc import reference
from tinyc.choose import choose
from tinyc.emit import emit
from tinyc.lower import OPTIMIZE
from tinyc.passes import run_passes
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


MODES = ("ram", "balanced", "speed", "ram", "size")


def check(seed: int, cpu: str, engine: str) -> None:
    reason = why_unusable(engine, find_cpu(cpu))
    if reason is not None:
        pytest.skip(f"{engine}: {reason}")
    graph = run_passes(random_graph(seed) if seed % 3 == 0 else memory_graph(seed // 3))
    mode = MODES[seed % len(MODES)]
    chosen = choose(graph, find_cpu(cpu), mode)
    program = chosen.program
    inputs = make_inputs(graph, 4, seed)
    expected = [reference.run(graph, row) for row in inputs]
    library = emit(program, chosen.memory, "net", mode)
    result = verify("net", program, library, inputs, expected, emulator=engine, layers=True, optimize=OPTIMIZE[mode])
    assert result.bytes_compared == 4 * sum(tensor.bytes for tensor in graph.output_tensors)
    assert result.layers_compared == len(program.steps)


@pytest.mark.parametrize("seed", range(12))
def test_random_network(seed: int) -> None:
    check(seed, *CORES[seed % len(CORES)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 92))
def test_random_network_on_more_cores(seed: int) -> None:
    check(seed, *SLOW_CORES[seed % len(SLOW_CORES)])
