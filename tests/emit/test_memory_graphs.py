# SPDX-License-Identifier: Apache-2.0
"""Random networks, planned in every mode: the C equals the reference in every layer and touches only memory that is alive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from emitted import missing
from memory_graphs import Networks, memory_graph
from memory_runs import FILLS, Batch, Planned, overlapping, reference_values
from tinyc.choose import Limits, choose
from tinyc.errors import ModelError
from tinyc.graph import Graph, Tensor
from tinyc.lower import Run, assemble, computed, streamed
from tinyc.memory import MemoryMap, plan_memory
from tinyc.passes import run_passes
from tinyc.passes.order_operators import order_operators
from tinyc.program import Program
from tinyc.select import candidates
from tinyc.streaming.schedule import Move, accumulates, is_run
from tinyc.streaming.slabs import choices
from tinyc.targets.cpus import find_cpu
from tinyc.verification.vectors import random_inputs

HOST = find_cpu("host")
MODES = ("speed", "balanced", "ram", "size")
BATCH = 40
Choice = TypeVar("Choice")

pytestmark = pytest.mark.skipif(bool(missing("gcc")), reason=missing("gcc"))


def any_program(graph: Graph, random: np.random.Generator) -> Program:
    """Any kernel for each layer, and any runs of layers streamed, any number of rows at a time, some with the input fed in rows."""
    layers = computed(graph)
    kernels = [candidates(layer, HOST) for layer in layers]
    program = assemble(graph, HOST, [_any(own, random) for own in kernels])
    runs, first = [], 0
    while first < len(layers):
        fed = graph.inputs[0] if first == 0 and _can_be_fed(graph) and random.random() < 0.5 else None
        ends = [end for end in range(first, len(layers)) if _streams(program, first, end, fed)]
        last = first
        if ends and random.random() < 0.8:
            last = int(random.choice(ends))
            chunks = tuple(int(random.integers(1, 5)) for _ in range(first, last + 1))
            found = [choices(layers[first + n], chunk, HOST) for n, chunk in enumerate(chunks)]
            runs.append(Run(first, tuple(_any(own, random) for own in found), chunks, fed))
        first = last + 1
    return streamed(program, runs)


def _any(values: Sequence[Choice], random: np.random.Generator) -> Choice:
    return values[int(random.integers(len(values)))]


def _can_be_fed(graph: Graph) -> bool:
    shape = graph.input_tensors[0].shape
    return len(graph.inputs) == 1 and len(shape) == 4 and shape[0] == 1 and shape[1] > 1


def _streams(program: Program, first: int, last: int, fed: int | None) -> bool:
    """Whether these steps are a run; of one step only with an input that is fed to it."""
    layers, storage = [step.layer for step in program.steps], program.storage
    views = {tensor for pair in storage.items() if pair[0] != pair[1] for tensor in pair}
    outside = {i for n, layer in enumerate(layers) if not first <= n <= last for i in layer.node.inputs}
    elsewhere = {*program.graph.outputs, *views, *outside}
    run = layers[first : last + 1]
    if fed is None:
        return last > first and is_run(run, elsewhere)
    return fed in run[0].node.inputs and fed not in elsewhere and not accumulates(run[0]) and is_run(run, elsewhere)


def programs(graph: Graph, seed: int) -> Iterator[tuple[str, Program, MemoryMap]]:
    """(mode, program, plan) of each mode, of a limit that asks for streams, and of any choice in another order."""
    random = np.random.default_rng(seed)
    arena = 0
    for mode in MODES:
        chosen = choose(graph, HOST, mode)
        arena = max(arena, chosen.memory.size)
        yield mode, chosen.program, chosen.memory
    limit = int(arena * random.uniform(0.3, 1.0))
    chosen = choose(graph, HOST, str(random.choice(MODES)), Limits(ram=limit))
    yield f"within {limit} bytes", chosen.program, chosen.memory
    if _can_be_fed(graph):
        with suppress(ModelError):
            chosen = choose(graph, HOST, str(random.choice(MODES)), stream_input=True)
            yield "fed", chosen.program, chosen.memory
    program = any_program(order_operators(graph), random)
    yield "any", program, plan_memory(program)


def count(graphs: Sequence[tuple[Graph, Sequence[tuple[Program, MemoryMap]]]]) -> Counter[str]:
    """How many graphs have a plan in which something was used."""
    found: Counter[str] = Counter()
    for _, plans in graphs:
        used = {name for program, memory in plans for name, is_used in overlapping(program, memory).items() if is_used}
        for program, _ in plans:
            for stream in program.streams:
                used.add("stream")
                used |= {"move" for event in stream.schedule.events if isinstance(event, Move)}
                used |= {"rows in place"} if stream.schedule.alias else set()
                used |= {"fed"} if stream.schedule.fed is not None else set()
                used |= {"sums"} if program.steps[stream.last].binding.state else set()
        found.update(used)
    return found


def check(seeds: Sequence[int], folder: Path, objects: Path) -> Counter[str]:
    """Runs every mode of the networks made from `seeds`; how many of them had what."""
    batch = Batch(folder, objects)
    graphs = []
    for seed in seeds:
        graph = memory_graph(seed)
        inputs = [random_inputs(graph, 1000 * seed + fill) for fill in FILLS]
        values = reference_values(graph, inputs)
        plans = []
        for number, (mode, program, memory) in enumerate(programs(run_passes(graph), seed)):
            batch.add(Planned(f"m{seed}q{number}", f"network {seed}, {mode}", program, memory), values)
            plans.append((program, memory))
        graphs.append((graph, plans))
    batch.check()
    return count(graphs)


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


def enough(found: Counter[str], graphs: int) -> None:
    """What was tested is what the planner does: each occurs in at least this share of the networks."""
    shares = {
        "in place": 0.4,
        "shifted": 0.4,
        "stream": 0.3,
        "move": 0.2,
        "rows in place": 0.1,
        "sums": 0.02,
        "fed": 0.2,
    }
    assert {name: found[name] for name, share in shares.items() if found[name] < share * graphs} == {}


def test_random_networks_in_every_mode(tmp_path: Path, objects: Path) -> None:
    enough(check(range(BATCH), tmp_path, objects), BATCH)


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(1, 50))
def test_more_random_networks(batch: int, tmp_path: Path, objects: Path) -> None:
    enough(check(range(BATCH * batch, BATCH * (batch + 1)), tmp_path, objects), BATCH)


def convolution(folder: Path, objects: Path) -> tuple[Batch, Planned]:
    """A convolution whose output lies over its input, shifted."""
    maker = Networks(0)
    maker.images.append(maker.add(Tensor("input", (1, 10, 10, 4), "int8", maker.quantizations[0])))
    maker.convolve(0, (3, 3), (1, 1))
    maker.unread = [maker.images[-1]]
    graph = run_passes(maker.finished("one"))
    program = assemble(graph, HOST, [candidates(layer, HOST)[0] for layer in computed(graph)])
    return Batch(folder, objects), Planned("m", "one", program, plan_memory(program))


def run_with(batch: Batch, planned: Planned) -> None:
    graph = planned.program.graph
    batch.add(planned, reference_values(graph, [random_inputs(graph, seed) for seed in FILLS]))
    batch.check()


def moved(memory: MemoryMap, buffer: int, offset: int) -> MemoryMap:
    return replace(memory, arena=replace(memory.arena, offsets={**memory.arena.offsets, buffer: offset}))


def test_a_tighter_overlap_is_seen(tmp_path: Path, objects: Path) -> None:
    batch, planned = convolution(tmp_path, objects)
    (overlap,) = planned.memory.overlaps
    assert planned.memory.arena.offsets == {overlap.output: 0, overlap.input: 48}
    tighter = replace(planned, memory=moved(planned.memory, overlap.input, 32))
    with pytest.raises(AssertionError, match="bytes differ"):
        run_with(batch, tighter)


def test_memory_that_is_not_alive_is_seen(tmp_path: Path, objects: Path) -> None:
    batch, planned = convolution(tmp_path, objects)
    (overlap,) = planned.memory.overlaps
    buffers = tuple(replace(b, size=b.size - 1) if b.id == overlap.input else b for b in planned.memory.buffers)
    with pytest.raises(AssertionError, match="use-after-poison"):
        run_with(batch, replace(planned, memory=replace(planned.memory, buffers=buffers)))


def test_a_write_between_the_buffers_is_seen(tmp_path: Path, objects: Path) -> None:
    """By the comparison outside too: here the memory is alive, as far as the program knows."""
    batch, planned = convolution(tmp_path, objects)
    with pytest.raises(AssertionError, match="where no buffer is"):
        run_with(batch, _Short(**vars(planned)))


class _Short(Planned):
    def gaps(self) -> list[int]:
        return [self.memory.offset(self.program.graph.outputs[0])]


@pytest.mark.parametrize("seed", [9, 33, 69, 103, 155])
def test_limits_are_kept_or_missed_by_the_least(seed: int) -> None:
    """What the goal `ram` reaches, a limit reaches too; below that, the program that is the nearest is not the plain one."""
    graph = run_passes(memory_graph(seed))
    plain = choose(graph, HOST, "balanced").memory.size
    least = choose(graph, HOST, "ram").memory.size
    assert least < plain
    for limit in {least, (least + plain) // 2, plain - 1}:
        assert choose(graph, HOST, "balanced", Limits(ram=limit)).memory.size <= limit
    assert choose(graph, HOST, "balanced", Limits(ram=16)).memory.size <= least


def test_an_input_that_cannot_come_in_rows_is_an_error() -> None:
    """Some of these networks read their input again at the end."""
    graphs = [run_passes(memory_graph(seed)) for seed in range(0, 40, 2)]
    errors = 0
    for graph in filter(_can_be_fed, graphs):
        try:
            assert choose(graph, HOST, "balanced", Limits(ram=16), stream_input=True).program.fed == graph.inputs[0]
        except ModelError as error:
            errors += error.where == "--stream-input"
    assert errors > 2
