# SPDX-License-Identifier: Apache-2.0
"""Imports damaged files in a process of its own with limited memory and time, and prints what went wrong as JSON.

    python worker.py SEED FIRST COUNT [MODEL ...]

File number i of a seed is always the same, so a finding is repeated with `worker.py SEED i 1`.
"""

import json
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from mutations import Structure, mutate, structure
from nonsense import nonsense
from tinyc.errors import ModelError
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import Graph, Tensor, single_node_graph
from tinyc.importers.tflite import from_bytes
from tinyc.ops import all_ops, op_of, problems

SECONDS_PER_FILE = 5
EXTRA_MEMORY = 1 << 30


class TooSlow(BaseException):
    """No `except Exception` in the code under test may swallow it."""


def too_slow(signal_number: int, frame: FrameType | None) -> None:
    raise TooSlow


def limit_memory() -> None:
    """At most 1 GiB of address space more than the process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + EXTRA_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


@cache
def graphs() -> list[Graph]:
    """Small networks: the cases of every operator, and operators that tinyc does not know."""
    shape = (1, 4, 4, 2)
    found = [graph for op in all_ops().values() for _, graph in op.cases()]
    for op, attributes in (
        ("HARD_SWISH", {}),
        ("GELU", {"approximate": True}),
        ("CUSTOM:x", {"custom_options": b"123"}),
    ):
        found.append(single_node_graph(op, (Tensor("x", shape, "int8"),), (Tensor("y", shape, "int8"),), attributes))
    return found


@cache
def corpus(models: tuple[str, ...]) -> list[tuple[bytes, Structure]]:
    files = [*map(to_bytes, graphs()), *(Path(model).read_bytes() for model in models)]
    return [(data, structure(data)) for data in files]


def damaged(seed: int, index: int, models: tuple[str, ...]) -> bytes:
    """One file in three is intact as a file, and nonsense as a network."""
    rng = random.Random(f"{seed}-{index}")
    if index % 3 == 0:
        return nonsense(rng, rng.choice(graphs()))
    files = corpus(models)
    data, map = rng.choice(files)
    return mutate(rng, data, map, rng.choice(files)[0])


def check(data: bytes) -> str:
    """Import one file and ask everything of its graph. Returns how far it got; anything but ModelError is a finding."""
    try:
        graph = from_bytes(data, "fuzzed.tflite")
    except ModelError as refusal:
        check_message(refusal)
        return "refused"
    supported = True
    for layer in graph.layers():
        complaints = problems(layer)
        assert all(complaints), f"an empty complaint about {layer.where}"
        if complaints:
            supported = False
        else:
            assert op_of(layer).macs(layer) >= 0
    check_export(graph)
    return "supported" if supported else "imported"


def check_message(error: ModelError) -> None:
    assert error.where, "no place"
    assert error.found, "no finding"
    assert error.expected or error.hint, f"neither what was expected nor what to do: {error}"
    assert str(error).replace("\n", "").isprintable(), repr(str(error))


def check_export(graph: Graph) -> None:
    """An imported graph is exported, but for constants that tinyc does not read."""
    try:
        data = to_bytes(graph)
    except ModelError as refusal:
        if "cannot be exported" not in str(refusal):
            raise
        return
    again = from_bytes(data, "exported.tflite")
    assert len(again.nodes) == len(graph.nodes)


def main() -> None:
    seed, first, count = (int(argument) for argument in sys.argv[1:4])
    models = tuple(sys.argv[4:])
    corpus(models)
    limit_memory()
    signal.signal(signal.SIGALRM, too_slow)
    outcomes: Counter[str] = Counter()
    findings: list[dict[str, Any]] = []
    slowest = 0.0
    for index in range(first, first + count):
        data = damaged(seed, index, models)
        begin = time.monotonic()
        signal.alarm(SECONDS_PER_FILE)
        try:
            outcomes[check(data)] += 1
        except (Exception, TooSlow) as error:
            trace = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(trace.filename).name}:{trace.lineno}"
            findings.append({"seed": seed, "index": index, "error": repr(error)[:500], "place": place})
        signal.alarm(0)
        slowest = max(slowest, time.monotonic() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"outcomes": outcomes, "findings": findings, "slowest": slowest, "peak_mib": peak}))


if __name__ == "__main__":
    main()
