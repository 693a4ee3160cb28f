# SPDX-License-Identifier: Apache-2.0
"""Reads damaged Edge TPU files in a process of its own, as worker.py does, and prints what went wrong as JSON.

    python edgetpu_worker.py SEED FIRST COUNT [COMPILED ...]

The damage is in the file, in the FlexBuffer of the operator, in the package or in its executables. Beside a compiled
file its original is used, if it is there.
"""

import json
import random
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mutations import SPECIAL, Schema, Structure, mutate, structure
from nonsense import nonsense
from tinyc.accelerators.edgetpu.layout import output_runs
from tinyc.accelerators.edgetpu.parameters import WITH_WEIGHTS
from tinyc.accelerators.edgetpu.reader import CUSTOM_OP, bindings, packages, unsupported
from tinyc.accelerators.edgetpu.schema import ANY_LAYER, HINTS, TABLES
from tinyc.errors import ModelError
from tinyc.graph import Graph
from tinyc.importers.flatbuffer import Reader
from tinyc.importers.tflite import from_bytes
from tinyc.report.edgetpu import describe, describe_lint
from worker import SECONDS_PER_FILE, TooSlow, check_message, graphs, limit_memory, too_slow

DARWINN = Schema(TABLES, {"any_hint_type": HINTS, "any_layer_type": ANY_LAYER})

#: The end of the options, where the FlexBuffer's map is.
MAP_BYTES = 64


@dataclass(frozen=True)
class Seed:
    """An intact file: its original, where the options end, and the structure of the file, the package, the executables."""

    data: bytes
    original: Graph | None
    options_end: int
    file: Structure
    package: Structure
    executables: list[Structure]


def seed_of(data: bytes, original: Graph | None) -> Seed:
    graph = from_bytes(data, "seed.tflite")
    options = next(node for node in graph.nodes if node.op == CUSTOM_OP).attributes["custom_options"]
    start = data.index(options)
    package = data.index(b"DWN1", start) - 4
    multi, size = _span(data[package:], "Package", "serialized_multi_executable")
    multi += package
    nested = Reader(data[multi : multi + size], "seed", TABLES).root("MultiExecutable")
    return Seed(
        data,
        original,
        start + len(options),
        structure(data),
        _joined(structure(data, DARWINN, "Package", package), structure(data, DARWINN, "MultiExecutable", multi)),
        [
            structure(data, DARWINN, "Executable", multi + executable)
            for executable, _ in nested.spans("serialized_executables")
        ],
    )


def _span(data: bytes, table: str, field: str) -> tuple[int, int]:
    found = Reader(data, "seed", TABLES).root(table).span(field)
    assert found is not None
    return found


def _joined(one: Structure, two: Structure) -> Structure:
    return Structure(*(getattr(one, field.name) + getattr(two, field.name) for field in fields(Structure)))


def damaged(seed: int, index: int, seeds: list[Seed]) -> tuple[bytes, Graph | None]:
    """A damaged file with its original, or an intact one with an original that makes no sense."""
    rng = random.Random(f"edgetpu-{seed}-{index}")
    chosen = rng.choice(seeds)
    if index % 4 == 0:
        return chosen.data, nonsensical(rng)
    kind = rng.random()
    if kind < 0.15:
        return _damaged_map(rng, chosen), chosen.original
    map = chosen.file if kind < 0.25 else chosen.package if kind < 0.4 else rng.choice(chosen.executables)
    return mutate(rng, chosen.data, map, rng.choice(seeds).data), chosen.original


def nonsensical(rng: random.Random) -> Graph | None:
    with_weights = [graph for graph in graphs() if graph.nodes[0].op in WITH_WEIGHTS]
    try:
        return from_bytes(
            nonsense(rng, rng.choice(with_weights if rng.random() < 0.7 else graphs())), "original.tflite"
        )
    except ModelError:
        return None


def _damaged_map(rng: random.Random, seed: Seed) -> bytes:
    data = bytearray(seed.data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        position = seed.options_end - 1 - rng.randrange(MAP_BYTES)
        data[position] = rng.choice((*SPECIAL[:11], rng.randrange(256))) & 0xFF
    return bytes(data)


def check(data: bytes, original: Graph | None) -> str:
    """Read one file and ask everything of it. Returns how far it got; anything but ModelError is a finding."""
    try:
        graph = from_bytes(data, "fuzzed.tflite")
        found = list(packages(graph))
        if not found:
            return "no package"
        reasons = [reason for _, package in found for reason in unsupported(package)]
        assert all(reasons)
        for node, package in found:
            _, outputs = bindings(graph, node, package.inference)
            for _, layer in outputs:
                moved = sum(run.length * run.count for run in output_runs(layer))
                assert moved == layer.bytes, f"{moved} of {layer.bytes} bytes"
        json.dumps(describe(graph, original))
        if original is not None:
            json.dumps(describe_lint(original))
    except ModelError as refusal:
        check_message(refusal)
        return "refused"
    return "rejected" if reasons else "accepted"


def seeds_of(paths: list[str]) -> list[Seed]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "accelerators" / "edgetpu"))
    from edgetpu_files import caching, execution, file, layer, options, output_layer, package, tiles

    shape = {"dimension": [1 << 32, 1 << 32, 3 << 32]}
    sliced = {"slice_layout": [{"shape": shape, "stride": [8, 4, 1]}], "slice_offset": [0]}
    newer = {**layer("out", (2, 2, 4), 16, **output_layer(tiles(2, 4), sliced)), "shape": shape}
    outputs = [newer, layer("flags", (1, 1, 3), 8, 8, **output_layer())]
    made = [
        package([execution(), caching()]),
        package([execution(type=0)], signature=b"s", model_identifier="m", multi_chip_package=[{}]),
        package([execution(output_layers=outputs), caching()]),
    ]
    found = [seed_of(file(options(program, _2="beagle")), None) for program in made]
    for path in map(Path, paths):
        original = path.with_name(path.name.replace("_edgetpu.tflite", ".tflite"))
        graph = from_bytes(original.read_bytes(), original.name) if original.is_file() else None
        found.append(seed_of(path.read_bytes(), graph))
    return found


def main() -> None:
    seed, first, count = (int(argument) for argument in sys.argv[1:4])
    seeds = seeds_of(sys.argv[4:])
    limit_memory()
    signal.signal(signal.SIGALRM, too_slow)
    outcomes: Counter[str] = Counter()
    findings: list[dict[str, Any]] = []
    slowest = 0.0
    for index in range(first, first + count):
        data, original = damaged(seed, index, seeds)
        begin = time.monotonic()
        signal.alarm(SECONDS_PER_FILE)
        try:
            outcomes[check(data, original)] += 1
        except (Exception, TooSlow) as error:
            trace = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(trace.filename).name}:{trace.lineno}"
            findings.append({"seed": seed, "index": index, "error": repr(error)[:500], "place": place})
        signal.alarm(0)
        slowest = max(slowest, time.monotonic() - begin)
    print(json.dumps({"outcomes": outcomes, "findings": findings, "slowest": slowest}))


if __name__ == "__main__":
    main()
